"""How well a specialist does its lane, measured through a running gateway: exact answers, with an interval."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass

from weighbridge.openai_api import Client

from .lanes import Item


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Answers that match to the letter, of how many, with the 95 % interval of Wilson (1927)."""

    right: int
    total: int
    wrong: tuple[tuple[str, str, str], ...]
    """Prompt, right answer and given answer of those that do not match."""

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.right / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Low and high, e.g. 198 of 200 -> 0.964 to 0.997."""
        z, n = 1.959963984540054, self.total
        middle = (self.share + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(self.share * (1 - self.share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return max(0.0, middle - half), min(1.0, middle + half)


async def measure(client: Client, model: str, items: Sequence[Item], parallel: int = 2) -> Accuracy:
    """Ask `model` each item at temperature 0, `parallel` at a time; answers are compared to the letter."""
    slots = asyncio.Semaphore(parallel)

    async def ask(item: Item) -> str:
        async with slots:
            messages = [{"role": "user", "content": item.prompt}]
            return "".join([piece.text async for piece in client.chat(messages, model, temperature=0)])

    answers = await asyncio.gather(*map(ask, items))
    wrong = tuple(
        (item.prompt, item.answer, answer) for item, answer in zip(items, answers, strict=True) if answer != item.answer
    )
    return Accuracy(len(items) - len(wrong), len(items), wrong)
