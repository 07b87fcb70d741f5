"""What is known of one engine that runs: how fast it answers, what it holds, and whether it is well."""

from __future__ import annotations

import asyncio
import collections
import json
import time
from dataclasses import dataclass
from typing import Protocol

from weighbridge.engines import Endpoint, Model, Running

# A plan counts as kept up to 5 % and 32 MiB over it: what Python, allocators and page tables take varies by so much.
_DRIFT_SHARE, _DRIFT_BYTES = 0.05, 32 << 20
_RATE_SECONDS = 5
# A health check may take as long as the pause between two, within these bounds.
_LEAST_HEALTH_SECONDS, _MOST_HEALTH_SECONDS = 1.0, 5.0
_MOST_MISSED = 2
# A token that a model computes to show that it is well takes a slot, and with it the prompt that the slot has cached.
_FIRST_PROBE_SECONDS, _LONGEST_PROBE_PAUSE_SECONDS = 60.0, 3600.0
_LONGEST_PROBE_SECONDS = 60.0


class Connection(Protocol):
    """How the gateway speaks to one engine."""

    endpoint: Endpoint

    async def text(self, path: str, seconds: float = 1.0) -> str | None:
        """What stands at a path; None where nothing answers in time."""

    async def status(self, path: str, body: bytes, seconds: float) -> int | None:
        """The status of an answer that came whole; None where it did not in time."""

    async def close(self) -> None:
        """Close all connections."""


class Rate:
    """Tokens per second over the last five seconds."""

    def __init__(self) -> None:
        self._counts: collections.deque[tuple[int, int]] = collections.deque(maxlen=_RATE_SECONDS + 1)

    def add(self, count: int, now: float) -> None:
        """So many tokens more."""
        second = int(now)
        if self._counts and self._counts[-1][0] == second:
            self._counts[-1] = (second, self._counts[-1][1] + count)
        else:
            self._counts.append((second, count))

    def per_second(self, now: float) -> float:
        """The mean over the last five seconds, or since the first token where that is less; 0 without any."""
        recent = [(second, count) for second, count in self._counts if second > now - _RATE_SECONDS]
        if not recent:
            return 0.0
        return sum(count for _, count in recent) / max(1.0, min(_RATE_SECONDS, now - recent[0][0]))


@dataclass(frozen=True, slots=True)
class Care:
    """How engines are watched."""

    interval_seconds: float
    """How often one is asked how it is."""
    silence_seconds: float
    """How long one may be silent while a request waits for it."""
    margin_bytes: int = 0
    """Where the machine has less memory available than this, the longest idle model is unloaded."""


class Health:
    """Whether an engine can answer, asked as seldom and as cheaply as will do.

    While it answers, a stream that goes on is health. One that is silent is asked for `/health`, which an engine that
    computes a long prompt answers and a hung one does not. An idle one is asked for a real token: soon after a request
    that went wrong, else after a minute of silence, and then twice as seldom each time.
    """

    def __init__(self, model: Model, connection: Connection, care: Care) -> None:
        self.is_doubted = asyncio.Event()
        self.heard = time.monotonic()
        self.serving = 0
        self._model = model
        self._connection = connection
        self._interval_seconds = care.interval_seconds
        self._health_seconds = max(_LEAST_HEALTH_SECONDS, min(care.interval_seconds, _MOST_HEALTH_SECONDS))
        self._probe_seconds = min(_LONGEST_PROBE_SECONDS, care.silence_seconds)
        self._pause_seconds = _FIRST_PROBE_SECONDS
        self._probed = self.heard

    def hear(self) -> None:
        """The engine has sent something."""
        self.heard = time.monotonic()
        self._pause_seconds = _FIRST_PROBE_SECONDS

    def hear_at(self, heard: float) -> None:
        """The engine has sent something to another process of the gateway, at this time."""
        self.heard = max(self.heard, heard)
        self._pause_seconds = _FIRST_PROBE_SECONDS

    async def until_ill(self) -> str:
        """Waits until the engine is not well; says how that shows."""
        missed = 0
        while missed < _MOST_MISSED:
            if not missed:  # after a first silence it is asked again at once
                await self._pause()
            if self.is_doubted.is_set() and not self.serving:
                self.is_doubted.clear()
                if not await self._gives_a_token():
                    return f"it was asked for a token, and gave none within {self._probe_seconds:g} s"
            elif not self._goes_on() and await self._connection.text("/health", self._health_seconds) is None:
                missed += 1
                continue
            elif self._is_due():
                self.is_doubted.set()
            missed = 0
        return f"it did not answer {_MOST_MISSED} health checks in a row"

    async def _pause(self) -> None:
        """Until the next look; a doubt is looked into at once, or when nothing is served any more."""
        if self.is_doubted.is_set():
            await asyncio.sleep(self._interval_seconds if self.serving else 0)
            return
        try:
            await asyncio.wait_for(self.is_doubted.wait(), self._interval_seconds)
        except TimeoutError:
            pass

    def _goes_on(self) -> bool:
        """Whether it serves, and has sent something not long ago."""
        return self.serving > 0 and time.monotonic() - self.heard < self._interval_seconds

    def _is_due(self) -> bool:
        """Whether an idle engine shall show a token; never with a single slot, which holds somebody's conversation."""
        plan = self._model.plan
        if self.serving or plan is None or plan.workload.parallel < 2:
            return False
        return time.monotonic() - max(self.heard, self._probed) > self._pause_seconds

    async def _gives_a_token(self) -> bool:
        """One token, or one vector; what an engine refuses in order, with a status below 500, is an answer too."""
        named = self._connection.endpoint.model or self._model.name
        plan = self._model.plan
        path, body = "/v1/completions", f'{{"model": {json.dumps(named)}, "prompt": "a", "max_tokens": 1}}'
        if plan is not None and "text" not in plan.facts.modalities.output:
            path, body = "/v1/embeddings", f'{{"model": {json.dumps(named)}, "input": "a"}}'
        status = await self._connection.status(path, body.encode(), self._probe_seconds)
        self._probed = time.monotonic()
        self._pause_seconds = min(self._pause_seconds * 2, _LONGEST_PROBE_PAUSE_SECONDS)
        return status is not None and status < 500


class Life:
    """One life of an engine: from when it was ready to its end."""

    def __init__(self, model: Model, running: Running, connection: Connection, care: Care) -> None:
        self.model = model
        self.running = running
        self.connection = connection
        self.rate = Rate()
        self.health = Health(model, connection, care)
        self.dead = asyncio.Event()
        """Set when it refused a connection."""
        self.over = asyncio.Event()
        """Set when nothing may be sent to it any more."""
        self.end = ""
        """How it ended by itself, in its own last words."""
        self.measured_bytes: int | None = None
        self.has_drifted = False
        self.lent = 0
        """Leases of it that other processes of the gateway hold."""
        self.recorded: tuple[int, str] | None = None
        """In which file of the ledger its row stands, and the row's hash."""

    async def measure(self) -> bool:
        """Look at its memory; True the first time that it holds more than its plan says."""
        self.measured_bytes = await self.running.memory_bytes()
        planned = self.model.need.get("memory")
        if not planned or self.measured_bytes is None:
            return False
        drifted = self.measured_bytes > planned * (1 + _DRIFT_SHARE) + _DRIFT_BYTES
        is_new = drifted and not self.has_drifted
        self.has_drifted = self.has_drifted or drifted
        return is_new
