"""Talk to the models that the gateway serves; without a gateway, one is started for the talk.

With a QUESTION, one answer is printed. Without, each line is a turn of one conversation; /new begins another and an
empty line or Ctrl-D ends the talk.

example:
  weigh chat "What is 37 plus 58?"
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import sys
import threading
from collections.abc import AsyncIterator

from weighbridge.cli import output
from weighbridge.cli.gateway_flags import add_address, read_settings
from weighbridge.cli.sources import find_models
from weighbridge.errors import GatewayUnreachable, WeighbridgeError
from weighbridge.gateway import serve
from weighbridge.openai_api import Client
from weighbridge.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("question", nargs="?", metavar="QUESTION", help="one question; without it, a conversation")
    parser.add_argument("--model", default="auto", metavar="NAME", help="who answers (default auto)")
    parser.add_argument("--temperature", type=float, default=0.0, metavar="T", help="0 (default): the likeliest answer")
    parser.add_argument("--json", action="store_true", help="print each answer as a line of JSON")
    add_address(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask and print."""
    asyncio.run(_chat(arguments, read_settings(arguments)))
    return 0


@contextlib.asynccontextmanager
async def _gateway(settings: Settings) -> AsyncIterator[Client]:
    async with Client(settings.url, settings.api_key) as client:
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
        async with Client(url, settings.api_key) as client:
            yield client


async def _chat(arguments: argparse.Namespace, settings: Settings) -> None:
    async with _gateway(settings) as client:
        if arguments.question is not None:
            await _answer(client, arguments, [{"role": "user", "content": arguments.question}])
            return
        messages: list[dict[str, str]] = []
        lines = _lines()
        while line := await lines.get():
            if line == "/new":
                messages = []
                continue
            messages.append({"role": "user", "content": line})
            try:
                messages.append({"role": "assistant", "content": await _answer(client, arguments, messages)})
            except WeighbridgeError as error:
                messages.pop()
                output.tell(f"weigh: {error}\n  {error.hint}")


def _lines() -> asyncio.Queue[str]:
    """What is typed, a line at a time; empty at the end. Read by a thread that nobody waits for, so that Ctrl-C ends
    the talk at once; it asks for the next line only when it is told that the last was answered."""
    loop = asyncio.get_running_loop()
    lines = _Lines()

    def read() -> None:
        while lines.wanted.acquire():
            try:
                line = input("> ") if sys.stdin.isatty() else sys.stdin.readline()
            except (EOFError, OSError, ValueError):
                line = ""
            loop.call_soon_threadsafe(lines.put_nowait, line.strip())

    threading.Thread(target=read, daemon=True).start()
    return lines


class _Lines(asyncio.Queue[str]):
    """A queue whose reader asks for each line before it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.wanted = threading.Semaphore(0)

    async def get(self) -> str:
        """The next line."""
        self.wanted.release()
        return await super().get()


async def _answer(client: Client, arguments: argparse.Namespace, messages: list[dict[str, str]]) -> str:
    text, model, reason = "", "", ""
    async for piece in client.chat(messages, arguments.model, temperature=arguments.temperature):
        if not model:
            model, reason = piece.model, piece.reason
            if not arguments.json:
                output.tell(f"[{model}: {reason}]")
        text += piece.text
        if not arguments.json:
            print(piece.text, end="", flush=True)
    if arguments.json:
        print(output.to_json({"answer": text, "model": model, "reason": reason}).replace("\n", " "), flush=True)
    else:
        print()
    return text
