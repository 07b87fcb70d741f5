"""`Footprint`: the memory and energy that a model took while it was asked, where somebody can tell."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from .energy import Energy
from .http import Target


@dataclass(slots=True)
class Footprint:
    """Filled while a run goes on, and whole when it is over."""

    memory_bytes: int | None = None
    """The most that the model's processes were seen to hold; None: not known."""
    energy: Energy | None = None
    """Of the whole machine during the run; None: not known."""
    energy_unknown: str = ""
    """Why it is not."""

    def see(self, memory_bytes: int | None) -> None:
        """The processes hold so much now."""
        if memory_bytes is not None:
            self.memory_bytes = max(memory_bytes, self.memory_bytes or 0)


Watch = Callable[[Target], AbstractAsyncContextManager[Footprint]]
"""Watches what a target takes while the context is open; `cli` knows where its models run, evals do not."""
