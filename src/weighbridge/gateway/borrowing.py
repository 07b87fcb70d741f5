"""`Borrowed`: the models as a worker process has them. Engines are the first process's, and each request needs its
leave; most have it already, for a lease that was given back is kept for the next request until it is called back."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weighbridge.engines import Endpoint, Model, Surroundings
from weighbridge.openai_api import ApiError
from weighbridge.settings import Settings

from .channel import Channel
from .pool import Lease, Pool
from .scheduler import State
from .upstream import Upstream
from .watching import Care, Life, Rate


class _Elsewhere:
    """An engine that another process has started, as `Running` tells it."""

    def __init__(self, endpoint: Endpoint, pid: int | None) -> None:
        self.endpoint, self.pid = endpoint, pid
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def stop(self) -> None:
        """It is the other process's to stop."""

    async def memory_bytes(self) -> int | None:
        """The other process looks at it."""
        return None


class _Sum(Rate):
    """Tokens, for the first process to take them into its rate."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = 0

    def add(self, count: int, now: float) -> None:
        """So many tokens more."""
        self.tokens += count


@dataclass(slots=True)
class _Loan:
    """A leave to ask an engine: one request at a time, or any number where it is `shared`."""

    name: str
    number: int
    life: Life
    keeps: bool
    shared: bool
    count: int = 0
    """Requests that have it now."""
    served: bool = False
    doubted: bool = False
    is_used: bool = True
    """Whether somebody had it since it was last looked at."""


class Borrowed(Pool[Upstream]):
    """All models by name, with the engines that the first process has."""

    def __init__(self, models: Iterable[Model], state: State, settings: Settings, care: Care, channel: Channel) -> None:
        super().__init__(
            models,
            state,
            Surroundings(Path(), Path(), settings.start_timeout_seconds),
            care,
            lambda name, endpoint: Upstream(endpoint, self.settings.of(name)),
            lambda line: None,
        )
        self.settings = settings
        self._channel = channel
        self._numbers_of_asks = itertools.count(1)
        self._asked: dict[int, asyncio.Future[_Loan | None]] = {}
        self._loans: dict[int, _Loan] = {}
        self._free: dict[str, list[_Loan]] = {}
        self._numbers: dict[int, tuple[str, Life]] = {}
        self._heard: dict[int, float] = {}

    # As every pool.

    @property
    def state(self) -> State:
        """How all models are, as the first process last said."""
        return self._state

    def lease_now(self, name: str) -> Lease[Upstream] | None:
        """Hold the model by a leave that is here; None where it must be asked for."""
        free = self._free.get(name)
        if not free:
            return None
        loan = free[-1] if free[-1].shared else free.pop()
        return self._take(loan)

    def _take(self, loan: _Loan) -> Lease[Upstream]:
        loan.count += 1
        loan.is_used = True
        loan.life.health.serving += 1
        connection = loan.life.connection
        assert isinstance(connection, Upstream)
        return Lease(loan.name, loan.number, connection, loan.life)

    async def obtain(self, name: str, since: float | None = None) -> Lease[Upstream]:
        """As `Pool.obtain`: the first process's queue is waited in."""
        since = time.monotonic() if since is None else since
        lease = self.lease_now(name)
        while lease is None:
            number = next(self._numbers_of_asks)
            answer = self._asked[number] = asyncio.get_running_loop().create_future()
            self._channel.send("ask", number, name, since)
            try:
                loan = await answer
            except asyncio.CancelledError:
                if answer.done() and not answer.cancelled():
                    answer.exception()  # nobody else will look at it
                self._give_up(number)
                raise
            finally:
                self._asked.pop(number, None)
            if loan is None:
                continue
            if loan.life.over.is_set():
                self._return(loan)
                continue
            lease = self._take(loan)
            if loan.keeps and loan.shared:
                self._free.setdefault(name, []).append(loan)
        return lease

    def _give_up(self, number: int) -> None:
        """Nobody waits for it any more; the leave may be here by now, or on its way."""
        loan = self._loans.get(number)
        if loan is None:
            self._channel.send("left", number)
        elif loan.keeps and not loan.life.over.is_set():
            self._free.setdefault(loan.name, []).append(loan)
        else:
            self._return(loan)

    def give_back(self, lease: Lease[Upstream]) -> None:
        """The request is over."""
        life = lease.life
        life.health.serving -= 1
        loan = self._loans[lease.ticket]
        loan.count -= 1
        loan.served = lease.served
        if life.health.is_doubted.is_set():
            life.health.is_doubted.clear()
            loan.doubted = True
        if not lease.served or loan.doubted:
            self._keep_no_more(loan)
        if loan.keeps:
            if not loan.shared:
                self._free.setdefault(loan.name, []).append(loan)
        elif not loan.count:
            self._return(loan)

    def _keep_no_more(self, loan: _Loan) -> None:
        loan.keeps = False
        free = self._free.get(loan.name)
        if free and loan in free:
            free.remove(loan)

    def _return(self, loan: _Loan) -> None:
        del self._loans[loan.number]
        self._channel.send("back", loan.number, loan.served, loan.doubted)
        self._close_if_over(loan.life)

    def report_dead(self, name: str, upstream: Upstream) -> None:
        """An engine refused a connection: the first process sees to it, and nothing more is asked of it here."""
        life = self.lives.get(name)
        if life is None or life.connection is not upstream:
            return
        number = next((each for each, (_, known) in self._numbers.items() if known is life), None)
        self._channel.send("dead", number)
        self._end(name, life)

    # What the first process says.

    def know(self, state: State) -> None:
        """How models are now."""
        self._state = state

    def take_anew(self, models: Iterable[Model], settings: Settings, care: Care) -> None:
        """Serve these models from now on."""
        self.models = {model.name: model for model in models}
        self.settings, self._care = settings, care

    def begin(self, name: str, number: int, endpoint: Endpoint, pid: int | None) -> None:
        """An engine is ready."""
        model = self.models.get(name)
        if model is None:
            return  # it is not served any more, and about to end
        connection = self._connect(name, endpoint)
        life = Life(model, _Elsewhere(endpoint, pid), connection, self._care)
        life.rate = _Sum()
        self.lives[name] = life
        self._connections[name] = connection
        self._numbers[number] = name, life

    def over(self, number: int, end: str) -> None:
        """An engine may not be asked any more; `end` is how it ended by itself, or nothing."""
        known = self._numbers.pop(number, None)
        if known is None:
            return
        name, life = known
        life.end = end
        running = life.running
        if end and not running.ended.done():
            running.ended.set_result(end)
        self._end(name, life)

    def _end(self, name: str, life: Life) -> None:
        life.over.set()
        if self.lives.get(name) is life:
            del self.lives[name], self._connections[name]
        self.recall(name, life)
        self._close_if_over(life)

    def _close_if_over(self, life: Life) -> None:
        """Close the connections to an engine that is gone, once the last that was asked there is over."""
        connection = life.connection
        if life.over.is_set() and not life.health.serving and isinstance(connection, Upstream):
            connection.wire.close()

    def recall(self, name: str, life: Life | None = None) -> None:
        """Give back what is kept of a model, or of one life of it; what is in use once its request is over."""
        self._free[name] = [loan for loan in self._free.get(name, ()) if life is not None and loan.life is not life]
        for loan in [*self._loans.values()]:
            if loan.name == name and (life is None or loan.life is life):
                is_asked = loan.number in self._asked
                loan.keeps = False
                if not loan.count and not is_asked:
                    self._return(loan)

    def lend(self, number: int, life_number: int, keeps: bool, shared: bool) -> None:
        """What was asked for is granted."""
        answer = self._asked.get(number)
        known = self._numbers.get(life_number)
        if answer is None or answer.done() or known is None:
            # Whoever asked has gone, and said so; or the engine has, and it is asked for anew.
            self._channel.send("back", number, False, False)
            if answer is not None and not answer.done():
                answer.set_result(None)
            return
        loan = self._loans[number] = _Loan(known[0], number, known[1], keeps, shared)
        answer.set_result(loan)

    def refuse(self, number: int, said: Mapping[str, Any]) -> None:
        """What was asked for can't be had."""
        answer = self._asked.get(number)
        if answer is not None and not answer.done():
            answer.set_exception(ApiError(**said))

    # What it says of itself.

    def beat(self) -> None:
        """Give back what nobody has used of late, and tell what engines have sent."""
        for loan in [*self._loans.values()]:
            if loan.count or loan.number in self._asked:
                continue
            if loan.is_used:
                loan.is_used = False
            else:
                self._keep_no_more(loan)
                self._return(loan)
        told = []
        for number, (_, life) in self._numbers.items():
            rate, heard = life.rate, life.health.heard
            if isinstance(rate, _Sum) and heard != self._heard.get(number):
                self._heard[number] = heard
                told.append((number, heard, rate.tokens))
                rate.tokens = 0
        for gone in [number for number in self._heard if number not in self._numbers]:
            del self._heard[gone]
        if told:
            self._channel.send("heard", told)

    @property
    def serving(self) -> dict[str, int]:
        """Requests that engines have from here, by model."""
        return {name: life.health.serving for name, life in self.lives.items() if life.health.serving}

    def number_of(self, model: Model) -> int | None:
        """By which an engine that runs is named to the first process."""
        return next((number for number, (_, life) in self._numbers.items() if life.model is model), None)

    async def close(self) -> None:
        """Close all connections; engines are not its to stop."""
        for life in self.lives.values():
            with contextlib.suppress(OSError):
                await life.connection.close()
