"""The models that are served: does what the scheduler decides, with real engines."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Generic, TypeVar

from weighbridge import engines
from weighbridge.engines import Endpoint, Model, Running, Surroundings
from weighbridge.errors import EngineFailed, WeighbridgeError
from weighbridge.machine import detect_memory
from weighbridge.openai_api import ApiError
from weighbridge.sizes import show_bytes

from . import scheduler
from .scheduler import Leaving, Phase, Refusal, Refuse, Serve, Start, State, Stop
from .states import ABSENT
from .watching import Care, Connection, Life

_LOG = logging.getLogger("weighbridge")
_WATCH_SECONDS = 3.0
_RETIRE_SECONDS = 0.05
# How long after a broken connection the end of a process is waited for: the kernel tells it within milliseconds.
_END_SECONDS = 0.5
_STATUS = {Refusal.DOES_NOT_FIT: 507}

C = TypeVar("C", bound=Connection)


@dataclass
class Lease(Generic[C]):
    """A request's hold on a ready model; `served` is set while the engine answers, and taken back if that breaks."""

    name: str
    ticket: int
    upstream: C
    life: Life
    served: bool = False

    def hear(self, tokens: int = 0) -> None:
        """The engine has sent something: so it works, and has made so many tokens more."""
        self.served = True
        self.life.health.hear()
        if tokens:
            self.count(tokens)

    def count(self, tokens: int) -> None:
        """What came last were so many tokens."""
        self.life.rate.add(tokens, self.life.health.heard)

    def doubt(self) -> None:
        """The engine broke off or fell silent: it is looked at once nothing is served."""
        self.served = False
        self.life.health.is_doubted.set()

    async def why(self) -> str:
        """How the engine ended, in its own last words; empty where it has not, or nobody can say."""
        if await self.is_over() and not self.life.end:
            with contextlib.suppress(TimeoutError):
                self.life.end = await asyncio.wait_for(asyncio.shield(self.life.running.ended), _END_SECONDS)
        return self.life.end

    async def is_over(self) -> bool:
        """Whether the engine has ended, or is about to: then a request of which nothing was answered may be asked
        again, and a new one takes it. Never of an engine elsewhere, which may be at work still."""
        if self.life.running.pid is None:
            return False
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.life.over.wait(), _END_SECONDS)
        return self.life.over.is_set()


class Pool(Generic[C]):
    """All models by name, each with its engine while it runs.

    `state` is how they begin (`terms.initial_state`), `connect` makes the connection to an engine that is ready, and
    `tell` hears what an operator should know, a line each.
    """

    def __init__(
        self,
        models: Iterable[Model],
        state: State,
        surroundings: Surroundings,
        care: Care,
        connect: Callable[[str, Endpoint], C],
        tell: Callable[[str], None],
    ) -> None:
        self.models = {model.name: model for model in models}
        self._state = state
        # Two decisions for each request cost more than all else that is done for it.
        self.passing: dict[str, set[int]] = {name: set() for name in self.models}
        self.passed: dict[str, float] = {}
        """Requests that the scheduler has not been told of, since nothing could follow from them, by their tickets; and
        when the last of them left."""
        self.lives: dict[str, Life] = {}
        self.restarts = dict.fromkeys(self.models, 0)
        self.loads = dict.fromkeys(self.models, 0)
        self.failures: dict[str, WeighbridgeError] = {}
        self.ends: dict[str, str] = {}
        """How engines that had been ready ended by themselves, the last time."""
        self.is_preloaded = False
        """Whether what shall be loaded at the start is ready, or has failed."""
        self._surroundings = surroundings
        self._care = care
        self._connect = connect
        self._to_operator = tell
        self.on_change: Callable[[], None] | None = None
        """Called after each decision: other processes of the gateway go by what was decided."""
        self._connections: dict[str, C] = {}
        self.tickets = itertools.count()
        self._answers: dict[int, asyncio.Future[None]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stops: dict[str, asyncio.Event] = {}
        self._changes: set[asyncio.Task[None]] = set()
        self._settled = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def state(self) -> State:
        """How all models are now, as the scheduler sees them."""
        for name in [name for name, passing in self.passing.items() if passing or name in self.passed]:
            model, passing = self._state.models[name], self.passing[name]
            serving, left = model.serving | passing, self.passed.pop(name, None)
            idle_since = model.idle_since if serving or left is None else left
            self._state = self._state.calm_with(name, model.serve(serving, model.failures, idle_since))
            passing.clear()
        return self._state

    @property
    def glance(self) -> State:
        """How all models were when the scheduler last decided, at no cost: requests that passed it by are not in it."""
        return self._state

    @property
    def running(self) -> dict[str, Running]:
        """The engines that are ready."""
        return {name: life.running for name, life in self.lives.items()}

    def phase(self, name: str) -> Phase:
        """Where the model is in its life."""
        return self._state.models[name].phase

    @contextlib.asynccontextmanager
    async def lease(self, name: str, since: float | None = None) -> AsyncIterator[Lease[C]]:
        """Hold the model as `obtain` does; leaving the context gives it back."""
        lease = await self.obtain(name, since)
        try:
            yield lease
        finally:
            self.give_back(lease)

    async def obtain(self, name: str, since: float | None = None) -> Lease[C]:
        """Hold the model, loaded if need be. Whoever holds it gives it back.

        Waits in the model's queue until the engine may have the request. `since` is when a request that is asked again
        came first: it keeps its place. ApiError says why the model can't be had, in the engine's own words where it
        failed: 503 with a time to come back, or 507 where it can never fit.
        """
        since = time.monotonic() if since is None else since
        lease = self.lease_now(name)
        while lease is None:
            ticket = next(self.tickets)
            answer = self._answers[ticket] = asyncio.get_running_loop().create_future()
            try:
                self._happen(scheduler.Asked(name, ticket, since))
                await answer
                lease = self._hold(name, ticket)
            finally:
                del self._answers[ticket]
                if lease is None:  # refused, or the client left, or the engine died before this line
                    self._happen(scheduler.Left(name, ticket))
        return lease

    def lease_now(self, name: str) -> Lease[C] | None:
        """Hold the model if it can be had without waiting; else None. Whoever holds it gives it back."""
        passing = self.passing[name]
        if scheduler.is_passed_by(self._state, name, len(passing)) and name in self.lives:
            ticket = next(self.tickets)
            passing.add(ticket)
            return self._hold(name, ticket)
        if not scheduler.is_free(self.state, name):
            return None
        ticket = next(self.tickets)
        self._happen(scheduler.Asked(name, ticket))
        return self._hold(name, ticket)

    def give_back(self, lease: Lease[C]) -> None:
        """The request is over."""
        lease.life.health.serving -= 1
        passing = self.passing[lease.name]
        if lease.ticket in passing:
            passing.remove(lease.ticket)
            self.passed[lease.name] = time.monotonic()
            if not passing and self._state.models[lease.name].terms.keep_alive_seconds != inf:
                self.rest(lease.name)
            return
        self.left(lease.name, lease.ticket, served=lease.served)

    def left(self, name: str, ticket: int, *, served: bool = True) -> None:
        """A request is over that the scheduler was told of."""
        self._happen(scheduler.Left(name, ticket, served))

    def rest(self, name: str) -> None:
        """A model that goes when nobody asks for it has nothing to do: the clock shall ring when it is to go. One that
        rings earlier is set again then, and so a request costs no decision."""
        due = asyncio.get_running_loop().time() + self._state.models[name].terms.keep_alive_seconds
        if self._timer is None or self._timer.when() > due:
            self._happen(scheduler.Tick())

    def _hold(self, name: str, ticket: int) -> Lease[C] | None:
        if name not in self.lives:
            return None
        lease = Lease(name, ticket, self._connections[name], self.lives[name])
        lease.life.health.serving += 1
        return lease

    def can_serve(self, name: str, path: str) -> bool:
        """Whether the model is in order, can fit, and can do what is asked at this path; unknown counts as yes."""
        if self.phase(name) is Phase.FAILED or scheduler.shortage(self._state, name):
            return False
        plan = self.models[name].plan
        if plan is None:
            return True
        if path.endswith("/embeddings"):
            return plan.embeddings
        return "text" in plan.facts.modalities.output

    def report_dead(self, name: str, upstream: C) -> None:
        """An engine refused a connection: it is cleared away now, and the next lease gets a new one."""
        if self._connections.get(name) is upstream:
            life = self.lives[name]
            self._happen(scheduler.Dying(name))
            life.over.set()
            life.dead.set()

    @property
    def is_closing(self) -> bool:
        """Whether no more requests are taken."""
        return self._state.is_closing

    async def drain(self, patience_seconds: float) -> None:
        """Take no more requests, and wait for those that are served, for so long."""
        self._happen(scheduler.Closing())
        until = time.monotonic() + patience_seconds
        while any(model.serving for model in self.state.models.values()) and time.monotonic() < until:
            await asyncio.sleep(0.02)

    async def preload(self, names: Iterable[str] | None = None) -> None:
        """Start these models side by side, or those that shall be loaded at the start: pinned ones first, then as many
        as there is room for; returns when each is ready or has failed. Nobody is unloaded for them, and what can't be
        kept idle is not loaded."""
        terms = {name: model.terms for name, model in self.state.models.items()}
        wanted = [name for name in terms if terms[name].preload or terms[name].pinned] if names is None else [*names]
        for name in sorted(wanted, key=lambda name: not terms[name].pinned):
            if terms[name].keep_alive_seconds or terms[name].pinned:
                self._happen(scheduler.Preload(name))
        while any(self.phase(name) is Phase.STARTING for name in wanted):
            self._settled.clear()
            await self._settled.wait()
        self.is_preloaded = True

    async def load(self, name: str) -> None:
        """Have the model ready, as a request would: others may have to go for it. One that failed is tried again.
        ApiError where it can't be had."""
        if self.phase(name) is Phase.READY:
            return
        if self.phase(name) is Phase.FAILED:
            self._happen(scheduler.Unload(name))
        async with self.lease(name):
            pass

    async def unload(self, name: str) -> None:
        """Unload the model once its answers are complete; returns when its memory is free. The next request for it
        loads it again; one that failed is tried again then."""
        ending = self._tasks.get(name)
        self._happen(scheduler.Unload(name))
        if ending is not None:
            await asyncio.wait({ending})

    def rearrange(self, models: Iterable[Model], state: State, care: Care, surroundings: Surroundings) -> None:
        """Serve these models from now on, by `terms.rearranged`. One that is gone answers all that it was asked, and
        ends; one that is another now (another file, another context) ends its answers, and the next request starts it
        anew. Those that are new and shall be loaded are."""
        had, self.models = self.models, {model.name: model for model in models}
        self._care, self._surroundings = care, surroundings
        for name in self.models:
            self.passing.setdefault(name, set())
            self.restarts.setdefault(name, 0)
            self.loads.setdefault(name, 0)
        self._state = state
        self._happen(scheduler.Tick())
        added = [name for name in self.models if name not in had]
        for name in [name for name in had if name not in self.models]:
            self._begin_change(self._retire(name))
        for name, model in self.models.items():
            if name in had and had[name] != model:
                self._begin_change(self._renew(name, model))
        wanted = [name for name in added if state.models[name].terms.preload or state.models[name].terms.pinned]
        if wanted:
            self._begin_change(self.preload(wanted))

    def _begin_change(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)

    async def _retire(self, name: str) -> None:
        """Have a model that is not served any more end, once nobody waits for it or is answered by it."""
        while (model := self.state.models[name]).waiting or model.serving:
            await asyncio.sleep(_RETIRE_SECONDS)
        if name in self.models:
            return  # it is back
        await self.unload(name)
        model = self.state.models[name]
        if name in self.models or model.phase not in ABSENT:
            return
        self._state = replace(
            self._state, models={key: each for key, each in self._state.models.items() if key != name}
        )
        for counted in (self.passing, self.passed, self.restarts, self.loads, self.failures, self.ends):
            counted.pop(name, None)

    async def _renew(self, name: str, model: Model) -> None:
        """Have the engine of before end; what is needed by the new one counts from then on."""
        await self.unload(name)
        if self.models.get(name) is model:
            old = self.state.models[name]
            changed = replace(old, terms=replace(old.terms, need=model.need))
            self._state = replace(self._state, models={**self._state.models, name: changed}, is_calm=False)
            self._happen(scheduler.Tick())
            if changed.terms.preload or changed.terms.pinned:
                await self.preload([name])

    async def close(self) -> None:
        """Stop every engine; returns when none is left."""
        for change in self._changes:
            change.cancel()
        self._happen(scheduler.Shutdown())
        while tasks := [task for task in self._tasks.values() if not task.done()]:
            await asyncio.wait(tasks)
        if self._timer is not None:
            self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait({self._watching})

    def _happen(self, event: scheduler.Event) -> None:
        now = time.monotonic()
        self._state, actions = scheduler.decide(self.state, event, now)
        for action in actions:
            match action:
                case Serve(ticket=ticket):
                    self._settle(ticket, None)
                case Refuse(ticket=ticket):
                    self._settle(ticket, _as_error(action))
                case Start(model=name):
                    stop = self._stops[name] = asyncio.Event()
                    self._tasks[name] = asyncio.create_task(self._live(name, stop))
                case Stop(model=name):
                    self._tell_why(name)
                    self._stops[name].set()
        self._settled.set()
        self._arm(now)
        if self.on_change is not None:
            self.on_change()

    def _arm(self, now: float) -> None:
        """Have the clock ring when something is due. One that rings too early does no harm, and is set again."""
        due = scheduler.next_time(self.state, now)
        if due is None:
            return
        loop = asyncio.get_running_loop()
        at = loop.time() + (due - now)
        if self._timer is None or self._timer.when() > at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._happen(scheduler.Tick())

    def _settle(self, ticket: int, error: ApiError | None) -> None:
        answer = self._answers.get(ticket)
        if answer is None or answer.done():
            return
        if error is None:
            answer.set_result(None)
        else:
            answer.set_exception(error)

    def _tell_why(self, name: str) -> None:
        model = self.state.models[name]
        if model.leaving is Leaving.ROOM:
            self._tell(f"{name}: unloaded, its memory is needed")
        elif model.leaving is Leaving.IDLE and model.terms.keep_alive_seconds:
            self._tell(f"{name}: unloaded, nobody asked for it for {model.terms.keep_alive_seconds:g} s")

    async def _live(self, name: str, stop: asyncio.Event) -> None:
        """One life of an engine: start, ready, and to its end, which `stop` brings about."""
        running: Running | None = None
        connection: C | None = None
        life: Life | None = None
        cause = "stopped"
        try:
            running = await _start_unless(stop, self.models[name], self._surroundings)
            if running is not None and not stop.is_set():
                connection = self._connect(name, running.endpoint)
                life = Life(self.models[name], running, connection, self._care)
                self._begin(name, life, connection)
                ended = await _until_ended(life, stop)
                if ended is not None:
                    life.end = self.ends[name] = ended
                    cause = f"{name}: {ended}"
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
            self.lives.pop(name, None)
            self._connections.pop(name, None)
            if life is not None:
                life.over.set()
            try:
                if running is not None:
                    await asyncio.shield(running.stop())
                if connection is not None:
                    await connection.close()
            except Exception:
                _LOG.exception("a fault in the end of %s", name)
            finally:
                self._happen(scheduler.Ended(name, cause))

    def _begin(self, name: str, life: Life, connection: C) -> None:
        self.lives[name] = life
        self._connections[name] = connection
        self.failures.pop(name, None)
        self.loads[name] += 1
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())
        self._happen(scheduler.Started(name))

    async def _watch(self) -> None:
        """Looks every few seconds at what engines hold, against their plans, and at what the machine has left."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            try:
                await self._look()
            except Exception:
                _LOG.exception("a fault while memory was looked at")

    async def measure(self, life: Life) -> None:
        """Look at what an engine holds; the operator is told, once, where that is more than its plan says."""
        if await life.measure():
            self._tell(
                f"{life.model.name}: holds {show_bytes(life.measured_bytes or 0)}, planned were "
                f"{show_bytes(life.model.need['memory'])}"
            )

    def _tell(self, line: str) -> None:
        # Where nobody listens any more (a pipe that is closed), models are served on.
        with contextlib.suppress(OSError, ValueError):
            self._to_operator(line)

    async def _look(self) -> None:
        for life in list(self.lives.values()):
            await self.measure(life)
        available = detect_memory().available_bytes
        if available < self._care.margin_bytes:
            self._tell_pressure(available)
            self._happen(scheduler.Pressure())

    def _tell_pressure(self, available: int) -> None:
        if any(model.is_idle and not model.terms.pinned for model in self.state.models.values()):
            self._tell(f"only {show_bytes(available)} of memory are available: the longest idle model goes")


def _as_error(refused: Refuse) -> ApiError:
    return ApiError(
        _STATUS.get(refused.reason, 503),
        refused.cause,
        kind="server_error",
        code=refused.reason,
        source="engine" if refused.reason is Refusal.UNAVAILABLE else "gateway",
        retry_after_seconds=refused.retry_after_seconds,
    )


async def _start_unless(stop: asyncio.Event, model: Model, surroundings: Surroundings) -> Running | None:
    """The engine, started; None if it was told to stop before."""
    starting = asyncio.ensure_future(engines.start(model, surroundings))
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})
    if starting.cancelled() or (stop.is_set() and starting.exception() is not None):
        return None
    return starting.result()


async def _until_ended(life: Life, stop: asyncio.Event) -> str | None:
    """Why the engine can't answer any more: it ended, refused a connection, or is not well; None: it was told to."""
    ended = life.running.ended
    stopping = asyncio.create_task(stop.wait())
    tasks = [asyncio.create_task(_refuses(life))]
    if life.running.pid is not None:  # an engine elsewhere is not ours to judge
        tasks.append(asyncio.create_task(life.health.until_ill()))
    watched: set[asyncio.Future[Any]] = {ended, *tasks, stopping}
    try:
        done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        if stopping in done:
            return None
        # What is not well may just have ended: then its end tells more.
        await asyncio.wait({ended}, timeout=_END_SECONDS)
        return ended.result() if ended.done() else next(task for task in tasks if task in done).result()
    finally:
        watched.discard(ended)
        for each in watched:
            each.cancel()
        await asyncio.wait(watched)


async def _refuses(life: Life) -> str:
    await life.dead.wait()
    return "it refused a connection"
