"""A talk with a model: one question, or a conversation line by line. Answers on stdout, who answers on stderr."""

from __future__ import annotations

import asyncio
import sys
import threading
from dataclasses import dataclass

from weighbridge.cli import output
from weighbridge.errors import WeighbridgeError
from weighbridge.openai_api import Client


@dataclass(frozen=True, slots=True)
class Manner:
    """Who is asked, and how answers are printed."""

    model: str
    temperature: float = 0.0
    as_json: bool = False
    tells_model: bool = True
    """Whether each answer says who gives it, and why."""


async def talk(client: Client, question: str | None, manner: Manner) -> None:
    """Ask the one question; without it each line that is typed, /new beginning anew, until an empty line."""
    if question is not None:
        await _answer(client, manner, [{"role": "user", "content": question}])
        return
    messages: list[dict[str, str]] = []
    lines = _lines()
    while line := await lines.get():
        if line == "/new":
            messages = []
            continue
        messages.append({"role": "user", "content": line})
        try:
            messages.append({"role": "assistant", "content": await _answer(client, manner, messages)})
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


async def _answer(client: Client, manner: Manner, messages: list[dict[str, str]]) -> str:
    text, model, reason = "", "", ""
    async for piece in client.chat(messages, manner.model, temperature=manner.temperature):
        if not model:
            model, reason = piece.model, piece.reason
            if manner.tells_model and not manner.as_json:
                output.tell(f"[{model}: {reason}]")
        text += piece.text
        if not manner.as_json:
            print(piece.text, end="", flush=True)
    if manner.as_json:
        print(output.to_json({"answer": text, "model": model, "reason": reason}, indent=None), flush=True)
    else:
        print()
    return text
