"""How a process that serves is run: on the quickest event loop there is, without pauses for the collector."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

# A request leaves no circle of objects behind: what is collected is little, and looking for it seldom is enough.
_THRESHOLDS = (50_000, 50, 100)


def run_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run it to its end as `asyncio.run` does, Ctrl-C included; on uvloop where that is installed."""
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        return runner.run(work)


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # not on every system
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def settle() -> None:
    """All that serves is loaded: the collector need not look through it again, which held up every stream for
    milliseconds."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
