"""Talk to the models that the gateway serves; without a gateway, one is started for the talk.

With a QUESTION, one answer is printed. Without, each line is a turn of one conversation; /new begins another and an
empty line or Ctrl-D ends the talk.

example:
  weigh chat "What is 37 plus 58?"
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from collections.abc import AsyncIterator

from weighbridge.cli import output
from weighbridge.cli.flag_values import temperature
from weighbridge.cli.gateway_flags import add_address, client_of, read_settings
from weighbridge.cli.sources import find_models
from weighbridge.cli.talk import Manner, talk
from weighbridge.errors import GatewayUnreachable
from weighbridge.gateway import run_loop, serve
from weighbridge.openai_api import Client
from weighbridge.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("question", nargs="?", metavar="QUESTION", help="one question; without it, a conversation")
    parser.add_argument("--model", default="auto", metavar="NAME", help="who answers (default auto)")
    parser.add_argument(
        "--temperature", type=temperature, default=0.0, metavar="T", help="0 (default): the likeliest answer"
    )
    parser.add_argument("--json", action="store_true", help="print each answer as a line of JSON")
    add_address(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask and print."""
    run_loop(_chat(arguments, read_settings(arguments)))
    return 0


@contextlib.asynccontextmanager
async def _gateway(settings: Settings) -> AsyncIterator[Client]:
    async with client_of(settings) as client:
        try:
            await client.get("/health")
        except GatewayUnreachable:
            output.tell(f"no gateway at {settings.url}: starting the bundled models for this talk")
        else:
            yield client
            return
    settings = dataclasses.replace(settings, port=0)
    async with serve(find_models([], settings), settings, output.tell) as (gateway, url):
        await gateway.pool.preload()
        async with client_of(settings, url) as client:
            yield client


async def _chat(arguments: argparse.Namespace, settings: Settings) -> None:
    async with _gateway(settings) as client:
        await talk(client, arguments.question, Manner(arguments.model, arguments.temperature, arguments.json))
