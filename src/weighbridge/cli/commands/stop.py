"""Unload models, or stop the gateway and every engine that it started.

MODEL is unloaded once the answers that it gives are complete; the next request for it loads it again, also one that
failed. Without any, the gateway takes no more requests, lets answers go on for a while (drain_timeout_seconds), and
ends.

example:
  weigh stop arithmetic
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from typing import Any
from urllib.parse import quote

import psutil

from weighbridge.cli import output
from weighbridge.cli.gateway_flags import add_address, client_of, read_place
from weighbridge.errors import GatewayUnreachable
from weighbridge.settings import Settings

# What the gateway may take to end its engines, after the answers.
_PATIENCE_SECONDS = 20
_LOOK_SECONDS = 0.02


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("models", nargs="*", metavar="MODEL", help="what to unload (default: end the gateway)")
    add_address(parser)


def run(arguments: argparse.Namespace) -> int:
    """Unload what is named, or send the gateway's process the signal to end, and wait until it is gone."""
    settings = read_place(arguments)
    if arguments.models:
        asyncio.run(_unload(arguments.models, settings))
    else:
        _end(asyncio.run(_ask(settings)), settings)
    return 0


async def _unload(models: list[str], settings: Settings) -> None:
    async with client_of(settings) as client:
        for name in models:
            await client.post(f"/admin/models/{quote(name, safe='')}/unload")
            output.tell(f"unloaded {name}")


async def _ask(settings: Settings) -> Any:
    async with client_of(settings) as client:
        return await client.get("/ps")


def _end(said: Any, settings: Settings) -> None:
    try:
        pid, create_time = int(said["pid"]), float(said["create_time"])
        patience_seconds = float(said["drain_timeout_seconds"]) + _PATIENCE_SECONDS
    except (KeyError, TypeError, ValueError):
        raise GatewayUnreachable(f"what answers at {settings.url} is no gateway", hint="check --port") from None
    try:
        process = psutil.Process(pid)
        # The gateway names itself by number and birth: a number alone could be another program's by now, or here.
        if abs(process.create_time() - create_time) > 0.01:
            raise GatewayUnreachable(f"process {pid} is no gateway on this machine", hint="stop it where it runs")
        process.terminate()
        _wait(process, patience_seconds)
    except psutil.NoSuchProcess:
        raise GatewayUnreachable(f"process {pid} is not on this machine", hint="stop it where it runs") from None
    except psutil.AccessDenied:
        raise GatewayUnreachable(f"process {pid} belongs to another user", hint="ask its owner") from None
    except TimeoutError:
        process.kill()
        output.tell(f"it did not end within {patience_seconds:g} s and was killed; its engines end with it")
    output.tell(f"stopped process {pid}")


def _wait(process: psutil.Process, seconds: float) -> None:
    """Until it has ended. TimeoutError where it does not; one whose parent has not asked for its end is over too."""
    until = time.monotonic() + seconds
    with contextlib.suppress(psutil.NoSuchProcess):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > until:
                raise TimeoutError
            time.sleep(_LOOK_SECONDS)
