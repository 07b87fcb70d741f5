"""The models that the gateway serves: state, process, memory planned and measured, requests.

example:
  weigh ps --json | jq '.models[].state'
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from weighbridge.cli import output
from weighbridge.cli.gateway_flags import add_address, read_settings
from weighbridge.errors import GatewayUnreachable
from weighbridge.openai_api import Client
from weighbridge.settings import Settings
from weighbridge.sizes import show_bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("--json", action="store_true", help="print the same data as JSON")
    add_address(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the table."""
    settings = read_settings(arguments)
    data = asyncio.run(_ask(settings))
    if not isinstance(data.get("models"), list):
        raise GatewayUnreachable(f"what answers at {settings.url} is no gateway", hint="check --port")
    print(output.to_json(data) if arguments.json else _page(data, settings.url))
    return 0


async def _ask(settings: Settings) -> Any:
    async with Client(settings.url, settings.api_key) as client:
        return await client.get("/ps")


def _size(count: int | None) -> str:
    return "-" if count is None else show_bytes(count)


def _page(data: Any, url: str) -> str:
    rows = [
        (
            model["name"],
            model["state"],
            model["engine"],
            str(model["pid"] or "-"),
            _size(model["memory_planned_bytes"]),
            _size(model["memory_measured_bytes"]),
            f"{model['requests_in_flight']}+{model['requests_waiting']}",
        )
        for model in data["models"]
    ]
    head = ("model", "state", "engine", "pid", "planned", "measured", "now+wait")
    notes = [f"{model['name']}: {model['cause']}" for model in data["models"] if model["cause"]]
    notes += [
        f"{model['name']}: ended by itself {model['restarts']} times" for model in data["models"] if model["restarts"]
    ]
    return "\n".join([output.table(head, rows, right=(3, 4, 5, 6)), *notes, f"gateway {url}, process {data['pid']}"])
