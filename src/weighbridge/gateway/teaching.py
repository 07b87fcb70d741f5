"""What answers teach: how long they took goes to `fit.Learner`, after the answer and on a thread of its own."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from weighbridge import fit
from weighbridge.engines import Model

_LOG = logging.getLogger("weighbridge")
_TIMINGS = re.compile(rb'"timings"\s*:\s*(\{[^{}]{1,2000}\})')
_CACHED = re.compile(rb'"cached_tokens"\s*:\s*(\d{1,12})')
# An answer teaches little that a hundred before it did not: what can't be taken in as fast as it comes is passed over.
_MOST_WAITING = 64


@dataclass(frozen=True, slots=True)
class Timing:
    """How long one answer took, as the engine or the clock says; the first token comes of the prompt."""

    prompt_tokens: int
    cached_tokens: int
    prompt_seconds: float
    generated_tokens: int
    """Those after the first one."""
    decode_seconds: float
    """From the first token to the last."""


def stated(tail: bytes) -> Timing | None:
    """What llama.cpp writes at the end of an answer, of its body's last bytes; None where nothing sensible is there.

    {"timings": {"cache_n": 236, "prompt_n": 1, "prompt_ms": 30.9, "predicted_n": 35, "predicted_ms": 661.1, ...}}:
    milliseconds, and of `prompt_n` tokens what was cached (`cache_n`) is no part.
    """
    # The search for the pattern costs ten times as much as that for its word.
    found = _TIMINGS.findall(tail) if b'"timings"' in tail else None
    if not found:
        return None
    try:
        said = json.loads(found[-1])
        cached, computed, generated = int(said.get("cache_n", 0)), int(said["prompt_n"]), int(said["predicted_n"])
        seconds = float(said["prompt_ms"]) / 1000, float(said["predicted_ms"]) / 1000
    except (ValueError, KeyError, TypeError, OverflowError):
        return None
    if min(cached, computed) < 0 or generated < 1 or not all(map(math.isfinite, seconds)) or min(seconds) < 0:
        return None
    return Timing(cached + computed, cached, seconds[0], generated - 1, seconds[1])


def counted(tail: bytes) -> dict[str, int]:
    """Tokens by kind, as `usage_of` has them, of a stream of llama.cpp's whose client did not ask for usage."""
    timing = stated(tail)
    if timing is None:
        return {}
    return {"prompt": timing.prompt_tokens, "cached": timing.cached_tokens, "completion": timing.generated_tokens + 1}


def measured(tail: bytes, usage: Mapping[str, int], first_seconds: float, last_seconds: float) -> Timing | None:
    """What the clock says of a stream: seconds from asking until its first and its last piece came. None where the
    engine does not say how many tokens they were.

    Where it does not say either how much of the prompt it had cached, all counts as cached: nothing is learnt of it.
    """
    if "prompt" not in usage or usage.get("completion", 0) < 1:
        return None
    cached = _CACHED.findall(tail)
    known = min(int(cached[-1]), usage["prompt"]) if cached else usage["prompt"]
    return Timing(usage["prompt"], known, first_seconds, usage["completion"] - 1, last_seconds - first_seconds)


class Teacher:
    """Hands what answers teach to a learner, which writes small files now and then: never on the event loop."""

    def __init__(self, state_path: Path) -> None:
        self._state_path = state_path
        self._learner: fit.Learner | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="learn")
        self._waiting = 0
        self._has_failed = False

    def heard(self, model: Model, timing: Timing, parallel: int) -> None:
        """An answer was complete, while so many (this one counted) were being given."""
        if model.plan is None or model.plan.speed is None or self._waiting >= _MOST_WAITING:
            return
        self._waiting += 1
        self._thread.submit(self._learn, model, timing, parallel)

    async def close(self) -> None:
        """Write what was learnt; returns when that is done."""
        self._thread.submit(self._end)
        await asyncio.to_thread(self._thread.shutdown)

    def _end(self) -> None:
        if self._learner is not None:
            self._learner.close()

    def _learn(self, model: Model, timing: Timing, parallel: int) -> None:
        try:
            assert model.plan is not None
            if self._learner is None:
                self._learner = fit.Learner(self._state_path)
            self._learner.answered(
                model.plan,
                prompt_tokens=timing.prompt_tokens,
                prompt_seconds=timing.prompt_seconds,
                generated_tokens=timing.generated_tokens,
                decode_seconds=timing.decode_seconds,
                cached_tokens=timing.cached_tokens,
                parallel=parallel,
            )
        except Exception:
            if not self._has_failed:  # the next answers would say the same
                _LOG.exception("a fault while %s taught how fast it is", model.name)
            self._has_failed = True
        finally:
            self._waiting -= 1
