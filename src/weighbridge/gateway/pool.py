"""The models that are served: does what the scheduler decides, with real engines."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from weighbridge import engines
from weighbridge.engines import Model, Running
from weighbridge.engines.start import Surroundings
from weighbridge.errors import WeighbridgeError
from weighbridge.openai_api import ApiError

from . import scheduler
from .scheduler import Phase, Refuse, Serve, Start, State, Stop
from .upstream import Upstream


@dataclass
class Lease:
    """A request's hold on a ready model; `served` is set once an answer has gone out."""

    upstream: Upstream
    served: bool = False


class Pool:
    """All models by name, each with its engine while it runs."""

    def __init__(
        self,
        models: Sequence[Model],
        surroundings: Surroundings,
        read_timeout_seconds: float,
        tell: Callable[[str], None],
    ) -> None:
        self.models = {model.name: model for model in models}
        self.state = State({model.name: scheduler.ModelState() for model in models})
        self.running: dict[str, Running] = {}
        self.upstreams: dict[str, Upstream] = {}
        self.restarts = dict.fromkeys(self.models, 0)
        self.failures: dict[str, WeighbridgeError] = {}
        self._surroundings = surroundings
        self._read_timeout_seconds = read_timeout_seconds
        self._tell = tell
        self._tickets = itertools.count()
        self._answers: dict[int, asyncio.Future[None]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._settled = asyncio.Event()

    def phase(self, name: str) -> Phase:
        """Where the model is in its life."""
        return self.state.models[name].phase

    @contextlib.asynccontextmanager
    async def lease(self, name: str) -> AsyncIterator[Lease]:
        """Hold the model, started first if need be. ApiError 503 with the engine's own cause where it can't be had."""
        ticket = next(self._tickets)
        answer = asyncio.get_running_loop().create_future()
        self._answers[ticket] = answer
        lease: Lease | None = None
        try:
            self._happen(scheduler.Asked(name, ticket))
            await answer
            lease = Lease(self.upstreams[name])
            yield lease
        finally:
            self._answers.pop(ticket, None)
            self._happen(scheduler.Left(name, ticket, served=lease is not None and lease.served))

    async def preload(self) -> None:
        """Start every model, side by side; returns when each is ready or has failed."""
        for name in self.models:
            self._happen(scheduler.Preload(name))
        while any(self.phase(name) is Phase.STARTING for name in self.models):
            self._settled.clear()
            await self._settled.wait()

    async def close(self) -> None:
        """Stop every engine; returns when none is left."""
        self._happen(scheduler.Shutdown())
        while tasks := [task for task in self._tasks.values() if not task.done()]:
            await asyncio.wait(tasks)

    def _happen(self, event: scheduler.Event) -> None:
        self.state, actions = scheduler.decide(self.state, event, time.monotonic())
        for action in actions:
            match action:
                case Serve(ticket=ticket):
                    self._settle(ticket, None)
                case Refuse(ticket=ticket, cause=cause, retry_after_seconds=seconds):
                    error = ApiError(
                        503, cause, kind="server_error", code="engine_unavailable", source="engine",
                        retry_after_seconds=seconds,
                    )  # fmt: skip
                    self._settle(ticket, error)
                case Start(model=name):
                    self._tasks[name] = asyncio.create_task(self._live(name))
                case Stop(model=name):
                    if name in self._tasks:
                        self._tasks[name].cancel()
        self._settled.set()

    def _settle(self, ticket: int, error: ApiError | None) -> None:
        answer = self._answers.get(ticket)
        if answer is None or answer.done():
            return
        if error is None:
            answer.set_result(None)
        else:
            answer.set_exception(error)

    async def _live(self, name: str) -> None:
        """One life of an engine: start, ready, and to its end. Cancelling this task stops the engine."""
        running: Running | None = None
        cause = "stopped"
        try:
            running = await engines.start(self.models[name], self._surroundings)
            self.running[name] = running
            self.upstreams[name] = Upstream(running.endpoint, self._read_timeout_seconds)
            self.failures.pop(name, None)
            self._happen(scheduler.Started(name))
            cause = f"{name}: {await asyncio.shield(running.ended)}"
            self.restarts[name] += 1
            self._tell(f"{cause}; it will be started again when it is asked for")
        except WeighbridgeError as error:
            self.failures[name] = error
            cause = str(error)
            self._tell(f"{cause}" + (f" ({error.hint})" if error.hint else ""))
        finally:
            self.running.pop(name, None)
            upstream = self.upstreams.pop(name, None)
            if running is not None:
                await asyncio.shield(running.stop())
            if upstream is not None:
                await upstream.close()
            self._happen(scheduler.Ended(name, cause))
