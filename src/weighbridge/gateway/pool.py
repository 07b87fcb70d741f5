"""The models that are served: does what the scheduler decides, with real engines."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from weighbridge import engines
from weighbridge.engines import Model, Running, Surroundings
from weighbridge.errors import EngineFailed, WeighbridgeError
from weighbridge.openai_api import ApiError

from . import scheduler
from .scheduler import Phase, Refuse, Serve, Start, State, Stop
from .upstream import Upstream

_LOG = logging.getLogger("weighbridge")
_HEALTH_SECONDS, _MOST_MISSED = 5.0, 2


@dataclass
class Lease:
    """A request's hold on a ready model; `served` is set once the engine has begun to answer: so it works."""

    upstream: Upstream
    served: bool = False


class Pool:
    """All models by name, each with its engine while it runs."""

    def __init__(
        self,
        models: Sequence[Model],
        surroundings: Surroundings,
        read_timeout_seconds: float,
        health_interval_seconds: float,
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
        self._health_interval_seconds = health_interval_seconds
        self._tell = tell
        self._dead: dict[str, asyncio.Event] = {}
        self._tickets = itertools.count()
        self._answers: dict[int, asyncio.Future[None]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._settled = asyncio.Event()

    def phase(self, name: str) -> Phase:
        """Where the model is in its life."""
        return self.state.models[name].phase

    @contextlib.asynccontextmanager
    async def lease(self, name: str) -> AsyncIterator[Lease]:
        """Hold the model, started if need be. ApiError 503 with the engine's own cause where it can't be had."""
        ticket = next(self._tickets)
        lease: Lease | None = None
        try:
            while lease is None:
                self._answers[ticket] = asyncio.get_running_loop().create_future()
                self._happen(scheduler.Asked(name, ticket))
                await self._answers[ticket]
                if name in self.upstreams:
                    lease = Lease(self.upstreams[name])
                else:  # it died between the answer and this line
                    self._happen(scheduler.Left(name, ticket))
            yield lease
        finally:
            self._answers.pop(ticket, None)
            self._happen(scheduler.Left(name, ticket, served=lease is not None and lease.served))

    def can_serve(self, name: str, path: str) -> bool:
        """Whether the model is in order, and can do what is asked at this path; unknown counts as yes."""
        if self.phase(name) is Phase.FAILED:
            return False
        plan = self.models[name].plan
        if plan is None:
            return True
        if path.endswith("/embeddings"):
            return plan.embeddings
        return "text" in plan.facts.modalities.output

    def report_dead(self, name: str, upstream: Upstream) -> None:
        """An engine refused a connection: it is cleared away now, and the next lease gets a new one."""
        if self.upstreams.get(name) is upstream:
            self._happen(scheduler.Dying(name))
            self._dead[name].set()

    @property
    def is_closing(self) -> bool:
        """Whether no more requests are taken."""
        return self.state.is_closing

    async def drain(self, patience_seconds: float) -> None:
        """Take no more requests, and wait for those that are served, for so long."""
        self._happen(scheduler.Closing())
        until = time.monotonic() + patience_seconds
        while any(model.serving for model in self.state.models.values()) and time.monotonic() < until:
            await asyncio.sleep(0.02)

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
            self._dead[name] = asyncio.Event()
            self.failures.pop(name, None)
            self._happen(scheduler.Started(name))
            cause = f"{name}: {await self._until_ended(name, running)}"
            self.restarts[name] += 1
            self._tell(f"{cause}; it will be started again when it is asked for")
        except WeighbridgeError as error:
            self.failures[name] = error
            cause = str(error)
            self._tell(f"{cause}" + (f" ({error.hint})" if error.hint else ""))
        except Exception as error:
            _LOG.exception("a fault in the start of %s", name)
            cause = f"{name}: the engine did not start: {error!r}"
            self.failures[name] = EngineFailed(cause, hint="this is a fault of weighbridge, please report it")
        finally:
            self._happen(scheduler.Dying(name))
            self.running.pop(name, None)
            upstream = self.upstreams.pop(name, None)
            try:
                if running is not None:
                    await asyncio.shield(running.stop())
                if upstream is not None:
                    await upstream.close()
            finally:
                self._happen(scheduler.Ended(name, cause))

    async def _until_ended(self, name: str, running: Running) -> str:
        """Why the engine can't answer any more: it ended, refused a connection, or does not say how it is."""
        tasks = {asyncio.shield(running.ended), asyncio.create_task(self._refuses(name))}
        if running.pid is not None:  # an engine elsewhere is not ours to judge
            tasks.add(asyncio.create_task(self._falls_ill(name)))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        finally:
            for task in tasks:
                task.cancel()

    async def _refuses(self, name: str) -> str:
        await self._dead[name].wait()
        running = self.running[name]
        # The process itself may tell more, if it has just ended.
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(asyncio.shield(running.ended), 0.5)
        return "it refused a connection"

    async def _falls_ill(self, name: str) -> str:
        missed = 0
        while missed < _MOST_MISSED:
            await asyncio.sleep(self._health_interval_seconds)
            healthy = await self.upstreams[name].text("/health", _HEALTH_SECONDS) is not None
            missed = 0 if healthy else missed + 1
        return f"it did not answer {_MOST_MISSED} health checks in a row"
