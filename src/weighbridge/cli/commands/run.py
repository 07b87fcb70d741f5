"""Fetch a model, plan it, serve it, and talk with it.

MODEL is named as for `weigh up`: a .gguf file, org/name:Q4_K_M on the hub, a name of the catalogue, a bundled model.
What does not fit is refused before it is fetched. While the talk lasts, other programs may ask the model too. A gateway
that serves the model already is talked to as it is.

example:
  weigh run arithmetic "What is 37 plus 58?"
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from collections.abc import AsyncIterator

from weighbridge.cli import output
from weighbridge.cli.flag_values import temperature
from weighbridge.cli.gateway_flags import add_address, add_planning, api_at, client_of, planning, read_settings
from weighbridge.cli.sources import find_models, introduce
from weighbridge.cli.talk import Manner, talk
from weighbridge.engines import Model
from weighbridge.errors import AddressInUse, EngineFailed, GatewayUnreachable
from weighbridge.gateway import run_loop, serve
from weighbridge.gateway.scheduler import Phase
from weighbridge.openai_api import Client
from weighbridge.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("source", metavar="MODEL", help="a file, org/name[:QUANTIZATION], a catalogue name, a URL")
    parser.add_argument("question", nargs="?", metavar="QUESTION", help="one question; without it, a conversation")
    add_planning(parser)
    parser.add_argument(
        "--temperature", type=temperature, default=0.0, metavar="T", help="0 (default): the likeliest answer"
    )
    parser.add_argument("--json", action="store_true", help="print each answer as a line of JSON")
    add_address(parser)


def run(arguments: argparse.Namespace) -> int:
    """Have the model answer, and print what it says."""
    settings = read_settings(arguments, parallel=1, preload=False, **planning(arguments))
    # Before the loop: what must be fetched takes its time, and Ctrl-C ends it.
    [model] = find_models([arguments.source], settings)
    manner = Manner(model.name, arguments.temperature, arguments.json, tells_model=False)
    run_loop(_run(model, arguments, settings, manner))
    return 0


async def _run(model: Model, arguments: argparse.Namespace, settings: Settings, manner: Manner) -> None:
    async with _served(model, settings) as client:
        if arguments.question is None:
            output.tell("a line is a turn, /new begins another talk, an empty line ends it")
        await talk(client, arguments.question, manner)


@contextlib.asynccontextmanager
async def _served(model: Model, settings: Settings) -> AsyncIterator[Client]:
    """A client of the gateway that serves the model, or of one that is started for this talk."""
    async with client_of(settings) as client:
        if model.name in await _models_of(client):
            output.tell(f"{model.name} is served already: {api_at(settings.url)}")
            yield client
            return
    output.tell(introduce(model))
    is_loaded = False

    def tell(line: str) -> None:
        # Why the model does not load is told by the error that ends the command.
        if is_loaded:
            output.tell(line)

    async with contextlib.AsyncExitStack() as stack:
        try:
            gateway, url = await stack.enter_async_context(serve([model], settings, tell))
        except AddressInUse:
            free = dataclasses.replace(settings, port=0)
            gateway, url = await stack.enter_async_context(serve([model], free, tell))
        await gateway.pool.preload([model.name])
        is_loaded = True
        if gateway.pool.phase(model.name) is not Phase.READY:
            raise gateway.pool.failures.get(model.name, EngineFailed(f"{model.name}: is not ready"))
        output.tell(f"OpenAI API: {api_at(url)}   (model: {model.name})")
        yield await stack.enter_async_context(client_of(settings, url))


async def _models_of(client: Client) -> set[str]:
    """The names that a gateway at that address serves; nothing where there is none."""
    try:
        found = await client.get("/v1/models")
        return {str(entry["id"]) for entry in found["data"]}
    except (GatewayUnreachable, KeyError, TypeError):
        return set()
