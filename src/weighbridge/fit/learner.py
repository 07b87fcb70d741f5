"""`Learner`: the door by which whoever serves answers tells how long they took, so that later plans know."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from weighbridge.figures import Range
from weighbridge.machine import Machine, detect

from . import calibration
from .learning import Learned, Observation, keep, learn, recall
from .plan import Plan
from .speed import estimate, of_model, of_prompts, place_of
from .touched import touched

_WRITE_SECONDS = 30.0
# A prompt of which more than this share lay in the cache tells little of how fast prompts are read.
_MOST_CACHED = 0.1


class Learner:
    """Learns from every answer that is served, and keeps it for `weigh fit`; safe to use from several threads.

    An answer costs some tenths of a millisecond, and at most every 30 seconds a small file is written. A file that is
    damaged, or a folder that cannot be written, costs what was learnt and is never an error.
    """

    def __init__(
        self,
        state_path: Path,
        machine: Machine | None = None,
        *,
        engine: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`state_path` is the folder of state. `machine` None: this one is detected when the first answer comes.
        `engine` names the embedded engine with its version: a calibration of another one is not learnt against."""
        self._folder, self._machine, self._engine, self._clock = state_path, machine, engine, clock
        self._lock = threading.Lock()
        self._known: calibration.Calibration | None = None
        self._learned: dict[str, Learned] | None = None
        self._identity = self._against = ""
        self._written = -math.inf
        self._is_new = False

    def answered(
        self,
        plan: Plan,
        *,
        prompt_tokens: int,
        prompt_seconds: float,
        generated_tokens: int,
        decode_seconds: float,
        cached_tokens: int = 0,
        parallel: int = 1,
    ) -> None:
        """One answer was served by a model that runs as planned.

        `prompt_tokens` are all of the prompt, of which `cached_tokens` were not computed again; `prompt_seconds` went
        by until the first token, and `decode_seconds` for `generated_tokens` from there on, while so many requests
        (`parallel`, this one counted) were answered at once. Numbers that cannot be are passed over.
        """
        if plan.speed is None or not plan.speed.shares or min(prompt_tokens, generated_tokens, cached_tokens) < 0:
            return
        with self._lock:
            here, learned = self._begin()
            model = touched(plan.facts)
            if model is None:
                return
            computed = prompt_tokens - cached_tokens
            work = replace(
                plan.workload,
                context_tokens=plan.context_tokens,
                depth_tokens=prompt_tokens + generated_tokens // 2,
                prompt_tokens=max(1, computed),
                parallel=max(1, parallel),
            )
            speed = estimate(
                model, here, plan.speed.shares, work, self._known, threads=plan.threads, engine=plan.engine
            )
            place = place_of(here, plan.speed.shares, plan.engine)
            for place_of_model in (place, of_model(place, model)):
                if speed.batch_decode:
                    seconds = generated_tokens * work.parallel / _middle(speed.batch_decode)
                    learned = learn(learned, Observation(place_of_model, generated_tokens, decode_seconds, seconds))
                alone = parallel <= 1 and cached_tokens <= _MOST_CACHED * prompt_tokens
                if speed.prefill and alone:
                    seconds = computed / _middle(speed.prefill)
                    prompts = of_prompts(place_of_model)
                    learned = learn(learned, Observation(prompts, computed, prompt_seconds, seconds))
            self._is_new = self._is_new or learned != self._learned
            self._learned = learned
            if self._clock() - self._written >= _WRITE_SECONDS:
                self._write()

    def close(self) -> None:
        """Write what was not yet written."""
        with self._lock:
            self._write()

    def _begin(self) -> tuple[Machine, dict[str, Learned]]:
        if self._machine is None:
            self._machine = detect(self._folder)
        if self._learned is None:
            known, _ = calibration.load(self._folder, self._machine, self._engine)
            self._identity = calibration.identity(self._machine)
            self._against = calibration.digest(known)
            self._known = replace(known, learned={}) if known else None
            self._learned = recall(self._folder, self._identity, self._against)
        return self._machine, self._learned

    def _write(self) -> None:
        if self._is_new and self._learned is not None:
            # One that cannot be written is tried again with the next answer after the same time.
            self._is_new = not keep(self._folder, self._identity, self._against, self._learned)
            self._written = self._clock()


def _middle(found: Range) -> float:
    return math.sqrt(found.low * found.high)
