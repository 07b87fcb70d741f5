"""`Party`: what one worker process has of the gateway's first process, which alone has engines: leases of models, and
what is set aside of keys' limits. All of it comes back when the worker is gone.

A worker may keep a lease for its next request, so that most requests cost no question: while nobody waits for anything,
and only until it is called back. What a worker keeps counts as served here, so that no engine ever gets more requests
than it may have, and none is ended while a worker might still ask it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import logging
import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weighbridge.engines import Model
from weighbridge.ledger import Served
from weighbridge.openai_api import ApiError, gateway_fault
from weighbridge.settings import Settings

from .channel import Channel, Message
from .pool import Lease
from .rates import Refused
from .scheduler import Phase, State
from .teaching import Timing
from .upstream import Upstream
from .watching import Life

if TYPE_CHECKING:
    from .serving import Gateway

_LOG = logging.getLogger("weighbridge")
# A model that is to go so soon once nobody asks for it is not kept by anybody.
_LEAST_KEPT_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class Setup:
    """What a worker begins with; it listens as `settings` say, and asks for pages at the Unix socket `pages`."""

    settings: Settings
    models: tuple[Model, ...]
    state: State
    pages: Path


def said(error: ApiError) -> dict[str, Any]:
    """An error as plain values, for `ApiError(**said)`."""
    return {
        "status": error.status,
        "message": error.message,
        "kind": error.kind,
        "code": error.code,
        "param": error.param,
        "source": error.source,
        "retry_after_seconds": error.retry_after_seconds,
    }


def outline(state: State) -> State:
    """How models are, without the requests that wait or are served: what workers decide by."""
    models = {
        name: dataclasses.replace(model, waiting=(), serving=frozenset(), idle_since=0.0)
        for name, model in state.models.items()
    }
    return dataclasses.replace(state, models=models)


class Party:
    """One worker, as the first process sees it. What a worker sends is plain JSON: it reads what strangers write."""

    def __init__(
        self, gateway: Gateway, lost: Callable[[Party], None], share: Callable[[Party, Message], None]
    ) -> None:
        self._gateway = gateway
        self._share = share
        self.channel = Channel(pickle.dumps, json.loads, self._hear, lambda: lost(self))
        self.is_ready = False
        self.in_flight: dict[str, int] = {}
        """Its requests that wait or are answered, by model, and those that its engines have."""
        self.serving: dict[str, int] = {}
        self.told: dict[str, Any] = {}
        """What it was told last, by what it is about."""
        self.on_ready: Callable[[bool], None] = lambda is_ready: None
        self.gone = asyncio.Event()
        """Set once it does not speak any more."""
        self._leases: dict[int, Lease[Upstream]] = {}
        self._asks: dict[int, asyncio.Task[None]] = {}
        self._spent: dict[int, tuple[str, int]] = {}
        self._kept: set[str] = set()
        self._lives: dict[str, tuple[int, Life]] = {}
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._heard_by: Mapping[str, Callable[..., None]] = {
            "ask": self._ask,
            "left": self._leave,
            "back": self._take_back,
            "dead": self._report_dead,
            "heard": self._heard,
            "taught": self._taught,
            "warm": self._warm,
            "admit": self._admit,
            "settle": self._settle,
            "counts": self._count,
            "uses": self._note_uses,
            "served": self._served,
            "done": self._done,
            "ready": self._ready,
        }

    def _hear(self, message: Message) -> None:
        kind, *rest = message
        self._heard_by[kind](*rest)

    def tell(self, about: str, what: Any) -> None:
        """Have it know this, unless it does."""
        if self.told.get(about) != what:
            self.told[about] = what
            self.channel.send(about, what)

    async def ask(self, *message: Any, seconds: float) -> Any:
        """Have it do something; returns what it says when it has, or None when it is gone, or after so long."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        self.channel.send(*message, number)
        try:
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError:
            _LOG.warning("a worker has not answered within %g s", seconds)
            return None
        finally:
            self._answers.pop(number, None)

    def _done(self, number: int, said: Any = None) -> None:
        answer = self._answers.get(number)
        if answer is not None and not answer.done():
            answer.set_result(said)

    def _ready(self, is_ready: bool) -> None:
        self.is_ready = is_ready
        self.on_ready(is_ready)

    # Engines, and leases of them.

    def look(self, state: State) -> None:
        """Tell it of engines that have come or gone, and of `state` where that is another one."""
        lives = self._gateway.pool.lives
        for name, (number, life) in [*self._lives.items()]:
            if lives.get(name) is not life or life.over.is_set():
                del self._lives[name]
                self._kept.discard(name)
                self.channel.send("over", number, life.end)
        for name, life in lives.items():
            if name not in self._lives and not life.over.is_set():
                number = next(self._numbers)
                self._lives[name] = number, life
                self.channel.send("life", name, number, life.running.endpoint, life.running.pid)
        if self.told.get("state") is not state:
            self.told["state"] = state
            self.channel.send("state", state)

    def call_back(self) -> None:
        """Have it give back what it keeps, at once or when its request is over."""
        for name in self._kept:
            self.channel.send("recall", name)
        self._kept.clear()

    def lent(self, life: Life) -> int:
        """How many leases of an engine it has."""
        return sum(lease.life is life for lease in self._leases.values())

    def _ask(self, number: int, name: str, since: float) -> None:
        pool = self._gateway.pool
        try:
            lease = pool.lease_now(name)
        except KeyError:  # the settings were taken anew, and it does not know yet
            self._refuse(number, _gone(name))
            return
        if lease is not None:
            self._grant(number, lease)
        else:
            self._asks[number] = asyncio.get_running_loop().create_task(self._wait(number, name, since))

    async def _wait(self, number: int, name: str, since: float) -> None:
        try:
            self._grant(number, await self._gateway.pool.obtain(name, since))
        except ApiError as error:
            self._refuse(number, error)
        except KeyError:
            self._refuse(number, _gone(name))
        except Exception:
            _LOG.exception("a fault of the gateway")
            self._refuse(number, gateway_fault())
        finally:
            self._asks.pop(number, None)

    def _refuse(self, number: int, error: ApiError) -> None:
        self.channel.send("no", number, said(error))

    def _grant(self, number: int, lease: Lease[Upstream]) -> None:
        pool, name = self._gateway.pool, lease.name
        self.look(self.told["state"])
        known = self._lives.get(name)
        self._leases[number] = lease
        lease.life.lent += 1
        state = pool.glance
        model = state.models[name]
        keeps = (
            state.is_calm
            and not state.is_closing
            and model.phase is Phase.READY
            and not model.failures
            and model.terms.keep_alive_seconds >= _LEAST_KEPT_SECONDS
        )
        if keeps:
            self._kept.add(name)
        # One that may be asked any number of things needs one lease for all of them.
        self.channel.send("lease", number, known[0] if known else 0, keeps, keeps and model.terms.at_once is None)

    def _leave(self, number: int) -> None:
        task = self._asks.get(number)
        if task is not None:
            task.cancel()
        else:
            self._take_back(number, False, False)

    def _take_back(self, number: int, served: bool, doubted: bool) -> None:
        lease = self._leases.pop(number, None)
        if lease is None:
            return
        lease.life.lent -= 1
        lease.served = served
        if doubted:
            lease.life.health.is_doubted.set()
        self._gateway.pool.give_back(lease)

    def _report_dead(self, number: int) -> None:
        for name, (known, life) in self._lives.items():
            if known == number:
                connection = life.connection
                assert isinstance(connection, Upstream)
                self._gateway.pool.report_dead(name, connection)
                return

    def _heard(self, told: Sequence[tuple[int, float, int]]) -> None:
        """What engines have sent to it of late: their numbers, when, and how many tokens."""
        now = time.monotonic()
        for number, heard, tokens in told:
            for known, life in self._lives.values():
                if known == number:
                    life.health.hear_at(min(heard, now))
                    if tokens:
                        life.rate.add(tokens, now)

    # What answers teach.

    def _taught(self, number: int, timing: Sequence[float], parallel: int) -> None:
        """An answer tells how fast its engine is, if nobody else's requests were there."""
        for known, life in self._lives.values():
            if known == number and life.health.serving == self.lent(life):
                prompt, cached, prompt_seconds, generated, decode_seconds = timing
                self._gateway.teacher.heard(
                    life.model,
                    Timing(int(prompt), int(cached), prompt_seconds, int(generated), decode_seconds),
                    parallel,
                )

    def _warm(self, conversation: str, model: str) -> None:
        self._gateway.chooser.keep_warm(conversation, model)
        self._share(self, ("warm", conversation, model))

    # Keys.

    def _admit(self, number: int, key: str, tokens: int, anthropic: bool) -> None:
        guard, now = self._gateway.guard, time.time()
        guard.look_for(key)
        limiter = guard.limiter
        admitted = limiter.admit(key, tokens, now)
        if not isinstance(admitted, Refused):
            self._spent[number] = key, admitted
        self.channel.send("admitted", number, admitted, limiter.lines(key, now, anthropic=anthropic))

    def _settle(self, number: int, used: int) -> None:
        spent = self._spent.pop(number, None)
        if spent is not None:
            self._gateway.guard.limiter.settle(*spent, used, time.time())

    def _note_uses(self, used_at: Mapping[str, float]) -> None:
        self._gateway.guard.note_uses(used_at)

    # What is counted and told.

    def _count(self, told: Mapping[str, Any]) -> None:
        metrics = self._gateway.metrics
        metrics.add(told["counted"])
        for name, count in told["tallies"].items():
            metrics.elsewhere[name] = metrics.elsewhere.get(name, 0) + count
        self.in_flight, self.serving = told["in_flight"], told["serving"]

    def _served(self, row: Sequence[Any]) -> None:
        self._gateway.recorder.tell(Served(*row))

    # The end.

    def forget(self) -> None:
        """It is gone: all that it had is free again."""
        self.gone.set()
        for task in self._asks.values():
            task.cancel()
        for number in [*self._leases]:
            self._take_back(number, False, False)
        for number in [*self._spent]:
            self._settle(number, 0)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result(None)
        self.is_ready = False
        self.in_flight, self.serving = {}, {}


def _gone(name: str) -> ApiError:
    return ApiError(404, f"The model {name[:100]!r} is not served any more.", code="model_not_found", param="model")
