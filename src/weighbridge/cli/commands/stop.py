"""Stop the gateway at the given address, and every engine that it started.

example:
  weigh stop
"""

from __future__ import annotations

import argparse
import asyncio

import psutil

from weighbridge.cli import output
from weighbridge.cli.gateway_flags import add_address, read_settings
from weighbridge.errors import GatewayUnreachable
from weighbridge.openai_api import Client
from weighbridge.settings import Settings

_PATIENCE_SECONDS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    add_address(parser)


def run(arguments: argparse.Namespace) -> int:
    """Send the gateway's process the signal to end, and wait until it is gone."""
    settings = read_settings(arguments)
    pid, create_time = asyncio.run(_process(settings))
    try:
        process = psutil.Process(pid)
        # The gateway names itself by number and birth: a number alone could be another program's by now, or here.
        if abs(process.create_time() - create_time) > 0.01:
            raise GatewayUnreachable(f"process {pid} is no gateway on this machine", hint="stop it where it runs")
        process.terminate()
        process.wait(_PATIENCE_SECONDS)
    except psutil.NoSuchProcess:
        raise GatewayUnreachable(f"process {pid} is not on this machine", hint="stop it where it runs") from None
    except psutil.AccessDenied:
        raise GatewayUnreachable(f"process {pid} belongs to another user", hint="ask its owner") from None
    except psutil.TimeoutExpired:
        process.kill()
        output.tell(f"it did not end within {_PATIENCE_SECONDS} s and was killed; its engines end with it")
    output.tell(f"stopped process {pid}")
    return 0


async def _process(settings: Settings) -> tuple[int, float]:
    async with Client(settings.url, settings.api_key) as client:
        said = await client.get("/ps")
    try:
        return int(said["pid"]), float(said["create_time"])
    except (KeyError, TypeError, ValueError):
        raise GatewayUnreachable(f"what answers at {settings.url} is no gateway", hint="check --port") from None
