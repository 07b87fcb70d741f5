"""The models that the gateway serves: state, memory planned and measured, requests, speed, and how long they stay.

`measured` is what a model's processes hold now; a `!` behind it says that they have held over 5 % and 32 MiB more than
planned. `now+wait` are the requests that are answered and those that wait, `tok/s` the tokens of the last five seconds.
An idle model says for how long it has been, and when it goes.

example:
  weigh ps --json | jq '.models[].state'
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from weighbridge.cli import output
from weighbridge.cli.gateway_flags import add_address, client_of, read_place
from weighbridge.errors import GatewayUnreachable
from weighbridge.settings import Settings
from weighbridge.sizes import show_bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("--json", action="store_true", help="print the same data as JSON")
    add_address(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the table."""
    settings = read_place(arguments)
    data = asyncio.run(_ask(settings))
    if not isinstance(data.get("models"), list):
        raise GatewayUnreachable(f"what answers at {settings.url} is no gateway", hint="check --port")
    print(output.to_json(data) if arguments.json else _page(data, settings.url))
    return 0


async def _ask(settings: Settings) -> Any:
    async with client_of(settings) as client:
        return await client.get("/ps")


def _size(count: int | None) -> str:
    return "-" if count is None else show_bytes(count)


def _time(seconds: float) -> str:
    """A time in the largest unit of which there is one at least: 12 s, 3 min, 2 h."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _idle(model: Any) -> str:
    if model["pinned"]:
        return "pinned"
    if model["idle_seconds"] is None:
        return "-"
    left = model["keep_alive_left_seconds"]
    return _time(model["idle_seconds"]) + ("" if left is None else f", {_time(left)} left")


def _row(model: Any) -> tuple[str, ...]:
    return (
        model["name"],
        model["state"],
        model["engine"],
        str(model["pid"] or "-"),
        _size(model["memory_planned_bytes"]),
        _size(model["memory_measured_bytes"]) + ("!" if model["memory_over_plan"] else ""),
        f"{model['requests_in_flight']}+{model['requests_waiting']}",
        f"{model['tokens_per_second']:.0f}",
        _idle(model),
    )


def _notes(model: Any) -> list[str]:
    name, found = model["name"], []
    if model["cause"]:
        found.append(f"{name}: {model['cause'].removeprefix(name + ': ')}")
    if model["breaker"] == "open":
        found.append(f"{name}: left alone after failures, tried again in {_time(model['retry_seconds'] or 0)}")
    elif model["breaker"] == "half-open":
        found.append(f"{name}: failed again and again, the next request tries it")
    if model["restarts"]:
        last = "" if model["cause"] or not model["last_end"] else f", the last time: {model['last_end']}"
        found.append(f"{name}: ended by itself {model['restarts']} times{last}")
    return found


def _place(place: str) -> str:
    return "main memory" if place == "memory" else place.replace("gpu", "GPU ")


def _page(data: Any, url: str) -> str:
    models = data["models"]
    head = ("model", "state", "engine", "pid", "planned", "measured", "now+wait", "tok/s", "idle")
    lines = [output.table(head, [_row(model) for model in models], right=range(3, 8), droppable=(3, 2, 7), name=0)]
    lines += [output.printable(note) for model in models for note in _notes(model)]
    lines += [
        f"{_place(place)}: {show_bytes(memory['used_bytes'])} of {show_bytes(memory['budget_bytes'])} promised"
        for place, memory in data["memory"].items()
    ]
    return "\n".join([*lines, f"gateway {url}, process {data['pid']}" + _workers(data.get("workers") or ())])


def _workers(workers: Any) -> str:
    """The other processes that answer clients."""
    told = [
        str(each["pid"]) if each["state"] == "ready" else f"{each['pid'] or '-'} ({each['state']})" for each in workers
    ]
    return f", {len(told) + 1} workers: this one and {', '.join(told)}" if told else ""
