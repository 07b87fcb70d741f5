"""What is done when a model fails before anything of an answer was sent: ask it again, ask another, or ask two at once.

Only for models of which the settings want that; all others' answers never come by here. Nothing is asked again once the
client has the first byte.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import inf, isfinite
from typing import TYPE_CHECKING

from weighbridge.engines import Model
from weighbridge.openai_api import ApiError, gateway_fault
from weighbridge.routing import Route
from weighbridge.settings import Settings

from . import wire
from .adapted import is_event_stream
from .cascading import Answering, Cascade
from .scheduler import Phase, back_off_seconds
from .wire import Body, Form, Response
from .wire.connection import Writer

if TYPE_CHECKING:
    from .door import Door

_LOG = logging.getLogger("weighbridge")
# Too busy, or broken; what a client did wrong would be wrong elsewhere too.
_PASSING = frozenset({408, 429, 500, 502, 503, 504, 507, 529})
_IN_WORDS = {
    "engine_unavailable": "could not be started or reached",
    "engine_died": "broke off",
    "engine_timeout": "was silent for too long",
    "queue_full": "has a full queue",
    "queue_timeout": "was not free in time",
    "does_not_fit": "does not fit",
}
_OURS = frozenset({"gateway_closing", "gateway_overloaded"})
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.25, 8.0
# A server that wants a longer pause is not waited for: the client hears of it, or another model is asked.
_MOST_RETRY_AFTER_SECONDS = 10.0
_LONGEST_REST_SECONDS = 60.0
_RETRY_AFTER = re.compile(rb"^retry-after:[ \t]*(\d{1,9})[ \t]*\r$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done for one model. Times are seconds."""

    fallback: tuple[str, ...]
    retries: int
    hedge_seconds: float
    """0: never."""
    request_seconds: float
    """Infinite: as long as it takes."""


@dataclass(slots=True)
class _Standing:
    """How a model has done of late, and until when others are asked in its place."""

    failures: int = 0
    rests_until: float = 0.0


class Fallbacks:
    """The plans of all models that have one, by name, and how these do: a model that fails again and again rests, and
    its fallbacks are asked at once. Servers elsewhere that answer, but only with errors, are known by nothing else.
    `tell` hears of a fallback that is not served."""

    def __init__(self, settings: Settings, models: Collection[Model], tell: Callable[[str], None]) -> None:
        names = {model.name for model in models}
        self.plans: dict[str, Plan] = {}
        self._most_failures = settings.breaker_failures
        self._standings: dict[str, _Standing] = {}
        for model in models:
            own = settings.of(model.name)
            plan = Plan(
                own.fallback,
                (own.retries or 0) if model.engine == "remote" else 0,
                own.hedge_seconds or 0.0,
                own.request_timeout_seconds or inf,
            )
            for missing in sorted({*own.fallback} - names):
                tell(f"[models.{model.name}]: fallback names {missing}, which is not served")
            if plan.fallback or plan.retries or isfinite(plan.request_seconds):
                self.plans[model.name] = plan

    def failed(self, name: str, again_seconds: float | None) -> None:
        """A model failed; `again_seconds` is how long its server wants to be left alone."""
        standing = self._standings.setdefault(name, _Standing())
        standing.failures += 1
        pause = back_off_seconds(standing.failures - self._most_failures + 2)
        if standing.failures < self._most_failures:
            pause = 0.0
        pause = min(max(pause, again_seconds or 0.0), _LONGEST_REST_SECONDS)
        standing.rests_until = max(standing.rests_until, time.monotonic() + pause)

    def worked(self, name: str) -> None:
        """A model answers."""
        self._standings.pop(name, None)

    def rests(self, name: str) -> bool:
        """Whether a model is left alone; once its rest is over, one request a second tries it."""
        standing, now = self._standings.get(name), time.monotonic()
        if standing is None:
            return False
        if now < standing.rests_until:
            return True
        if standing.failures >= self._most_failures:
            standing.rests_until = now + 1.0
        return False


def pause_seconds(attempt: int, again_seconds: float | None) -> float | None:
    """How long to wait before a server is asked for the `attempt`-th time more: 0.25, 0.5, 1 to 8 s, more or less, so
    that many do not come back at one moment; as long as it says, where it does. None where that is too long."""
    if again_seconds is not None and again_seconds > _MOST_RETRY_AFTER_SECONDS:
        return None
    pause: float = min(_FIRST_PAUSE_SECONDS * 2 ** (attempt - 1), _LONGEST_PAUSE_SECONDS) * random.uniform(0.75, 1.25)
    return max(pause, again_seconds or 0.0)


class _Attempt(Response):
    """Stands where the client's response would, for one asking of one model: what has failed does not get through."""

    __slots__ = ("_own_status", "_own_writer", "_resort", "answer", "is_stream", "route")

    def __init__(self, resort: Resort, route: Route) -> None:
        self._resort: Resort | None = resort
        self.route = route
        self.answer: Answering | None = None
        self.is_stream = False
        self._own_status = 0
        self._own_writer: Writer | None = None

    @property
    def status(self) -> int:  # type: ignore[override]
        """0 while nothing of it was sent."""
        return self._own_status

    @property
    def is_over(self) -> bool:  # type: ignore[override]
        """Whether it is complete, was cut, or is not wanted any more."""
        return self._resort is None

    @property
    def is_paused(self) -> bool:
        """Whether so much waits to be sent that no more should be written."""
        return self._resort is not None and self._resort.response.is_paused

    @property
    def writer(self) -> Writer | None:
        """Who writes it."""
        return self._own_writer

    @writer.setter
    def writer(self, writer: Writer | None) -> None:
        self._own_writer = writer

    def begin(
        self,
        status: int,
        headers: bytes,
        length: int | None,
        body: bytes = b"",
        framed: bytes | None = None,
        *,
        has_length: bool = False,
    ) -> None:
        """Its first byte: from here on it is the answer."""
        resort = self._resort
        if resort is None or self._own_status:
            return
        resort.take(self)
        self._own_status = status
        self.is_stream = is_event_stream(headers)
        resort.response.begin(status, headers, length, body, framed, has_length=has_length)

    def write(self, body: bytes, framed: bytes | None = None) -> None:
        """More of it."""
        if self._resort is not None:
            self._resort.response.write(body, framed)

    def end(self) -> None:
        """It is complete."""
        resort = self._resort
        if resort is not None:
            self._hand_over(resort)
            resort.response.end()
            self._own_status = resort.response.status

    def send(self, status: int, headers: bytes, body: bytes = b"") -> None:
        """A whole answer."""
        resort = self._resort
        if resort is None:
            return
        if status in _PASSING and resort.goes_on(self, status, _again(headers), f"answered {status}"):
            return
        resort.take(self, works=status < 500)
        self._hand_over(resort)
        resort.response.send(status, headers, body)
        self._own_status = resort.response.status

    def error(self, error: ApiError, headers: bytes = b"") -> None:
        """A whole answer that is an error; after it has begun, the cut of it."""
        if self._own_status:
            self.cut()
            return
        if not self.keeps_back(error, headers):
            self.tell(error, headers)

    def keeps_back(self, error: ApiError, headers: bytes = b"") -> bool:
        """Whether an error does not get through, since the request goes on in another way."""
        resort = self._resort
        if resort is None:
            return True
        ours = error.code in _OURS or (error.status == 500 and error.source == "gateway")
        again = error.retry_after_seconds or _again(headers)
        what = _IN_WORDS.get(error.code or "", f"answered {error.status}")
        return error.status in _PASSING and not ours and resort.goes_on(self, error.status, again, what)

    def tell(self, error: ApiError, headers: bytes) -> None:
        """Give an error to the client."""
        resort = self._resort
        if resort is None:
            return
        resort.take(self, works=error.status < 500)
        self._hand_over(resort)
        resort.response.error(error, headers)
        self._own_status = resort.response.status

    def cut(self, last: bytes = b"") -> None:
        """It broke off."""
        resort = self._resort
        if resort is None or (not self._own_status and resort.goes_on(self, 502, None, "broke off")):
            return
        self._hand_over(resort)
        resort.response.cut(last)
        self._own_status = resort.response.status

    def drop(self, why: str) -> None:
        """Nobody wants it any more: its engine is told at once."""
        answer = self.answer
        self.fail(why)
        if answer is not None:
            answer.abandon()

    def fail(self, why: str) -> None:
        """It came to nothing; its own end follows by itself, and its row says why."""
        if self.answer is not None:
            self.answer.retell(dataclasses.replace(self.route, reason=f"{self.route.reason}; {why}"))
        self.let_go()

    def expire(self, error: ApiError, headers: bytes) -> None:
        """The time for the request is over, and this is what its client is told."""
        resort, answer = self._resort, self.answer
        assert resort is not None
        self._hand_over(resort)
        if self._own_status:
            resort.response.cut(b"\n\n" + error.event() if self.is_stream else b"")
        else:
            resort.response.error(error, headers)
        self._own_status = resort.response.status
        if answer is not None:
            answer.abandon(error)

    def _hand_over(self, resort: Resort) -> None:
        resort.over()
        self.let_go()

    def let_go(self) -> None:
        """Be over: no circle of objects may be left for each request."""
        self._resort = self._own_writer = self.answer = None


def _again(headers: bytes) -> float | None:
    found = _RETRY_AFTER.search(headers)
    return float(found[1]) if found else None


class Resort:
    """One request to a model that has a plan: its attempts, one after the other, or two side by side."""

    def __init__(
        self, door: Door, request: wire.Request, response: Response, body: Body | Form, route: Route, plan: Plan
    ) -> None:
        self._door, self._request, self._body, self._plan = door, request, body, plan
        self.response = response
        self._route = route
        self._loop = asyncio.get_running_loop()
        self._running: list[_Attempt] = []
        self._winner: _Attempt | None = None
        self._answer: Answering | None = None
        """Of the one that has answered, once it has."""
        self._is_over = False
        self._tried: list[str] = []
        self._repeated = 0
        self._timers: list[asyncio.TimerHandle] = []
        self._pending = False
        self._began = self._loop.time()

    def start(self) -> Resort:
        """Ask."""
        plan, name = self._plan, self._route.model
        self.response.writer = self
        if isfinite(plan.request_seconds):
            self._timers.append(self._loop.call_later(plan.request_seconds, self._too_late))
        other = self._next() if self._door.fallbacks.rests(name) else None
        if other is not None:
            self._tried.append(name)
            self._ask(self._instead(other, f"{name} has failed again and again and rests"))
            return self
        if plan.hedge_seconds and plan.fallback:
            self._timers.append(self._loop.call_later(plan.hedge_seconds, self._hedge))
        self._ask(self._route)
        return self

    # What an attempt calls.

    def take(self, attempt: _Attempt, *, works: bool = True) -> None:
        """It answers: nobody else is asked any more."""
        if works:
            self._door.fallbacks.worked(attempt.route.model)
        self._winner = attempt
        others, self._running = [each for each in self._running if each is not attempt], [attempt]
        for each in others:
            each.drop(f"{attempt.route.model} answered first")

    def goes_on(self, attempt: _Attempt, status: int, again_seconds: float | None, what: str) -> bool:
        """Whether what it brought is kept back, and the request goes on in another way."""
        name = attempt.route.model
        self._door.fallbacks.failed(name, again_seconds if status in (429, 503) else None)
        if self._winner is not None or self._is_over:
            return False
        if attempt in self._running:
            self._running.remove(attempt)
        if self._running or self._pending:
            attempt.fail(f"it {what}")
            return True
        pause = self._pause(name, again_seconds)
        if pause is not None:
            self._repeated += 1
            again = dataclasses.replace(attempt.route, reason=f"{self._route.reason}; asked again, as it {what}")
        else:
            pause, other = 0.0, self._next(name)
            if other is None:
                return False
            again = self._instead(other, f"{name} {what}")
        attempt.fail(f"it {what}")
        self._pending = True
        # Once the attempt's own end is done, so that its room is free.
        self._timers.append(self._loop.call_later(pause, self._ask, again))
        return True

    def over(self) -> None:
        """The client has its answer."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._running = []
        if self._winner is not None:
            self._answer, self._winner = self._winner.answer, None
        self._is_over = True
        self.response.writer = None

    # Whom to ask.

    def _pause(self, name: str, again_seconds: float | None) -> float | None:
        """How long until the same model is asked once more; None where it is not."""
        if name != self._route.model or self._repeated >= self._plan.retries:
            return None
        pause = pause_seconds(self._repeated + 1, again_seconds)
        left = self._plan.request_seconds - (self._loop.time() - self._began)
        return pause if pause is not None and pause < left else None

    def _next(self, *tried: str) -> str | None:
        """The first fallback that was not asked yet and may be."""
        self._tried += tried
        door, caller = self._door, self._request.caller
        for name in self._plan.fallback:
            if name in self._tried or name == self._route.model or name not in door.pool.models:
                continue
            if caller.allowed is not None and name not in caller.allowed:
                continue
            if door.chooser.permits(self._body.model, name) and door.pool.can_serve(name, self._request.path.decode()):
                return name
        return None

    def _instead(self, other: str, why: str) -> Route:
        return dataclasses.replace(
            self._route, model=other, reason=f"{self._route.reason}; {why}: {other} instead", layer="fallback",
            escalation=None,
        )  # fmt: skip

    def _ask(self, route: Route) -> None:
        self._pending = False
        if self._is_over:
            return
        attempt = _Attempt(self, route)
        self._running.append(attempt)
        try:
            answer = self._door.begin_one(self._request, attempt, self._body, route)
        except ApiError as error:
            self._refuse(attempt, error)
        except Exception:
            _LOG.exception("a fault of the gateway")
            self._refuse(attempt, gateway_fault())
        else:
            if not attempt.is_over:
                attempt.answer = answer

    def _refuse(self, attempt: _Attempt, error: ApiError) -> None:
        """A model could not even be asked: nobody else counts that, or gives back what was set aside."""
        if attempt.keeps_back(error):
            return
        attempt.tell(error, self._refused(error))

    def _refused(self, error: ApiError) -> bytes:
        """Count a request for which nobody is asked, if it is not another model's turn; the lines that name it."""
        return b"" if isinstance(self.response, Cascade) else self._door.refused(self._request, error)

    def _hedge(self) -> None:
        """It takes long: ask the first fallback that is ready beside it."""
        if self._winner is not None or self._is_over or len(self._running) != 1:
            return
        other = self._next()
        if other is None or self._door.pool.phase(other) is not Phase.READY:
            return
        self._tried.append(other)
        self._ask(self._instead(other, f"{self._route.model} sent nothing for {self._plan.hedge_seconds:g} s"))

    def _too_late(self) -> None:
        """The time for all of it is over."""
        if self._is_over:
            return
        error = ApiError(
            504,
            f"the answer was not complete within {self._plan.request_seconds:g} s",
            kind="server_error",
            code="request_timeout",
        )
        if not self._running:
            self.over()
            self.response.error(error, self._refused(error))
            return
        request, (told, *others) = self._request, self._running
        for attempt in others:
            attempt.drop("the time for the request was over")
        told.expire(error, self._door.named(request.path, error, self._door.name_of(request)))

    # As an answer, and as the writer of the client's response.

    def retell(self, route: Route) -> tuple[bytes, bytes]:
        """Give another reason for the choice."""
        answer = self._answer
        return answer.retell(route) if answer is not None else (b"", b"")

    def abandon(self, error: ApiError | None = None) -> None:
        """Ask no more."""
        for attempt in list(self._running):
            attempt.drop("nobody wanted it any more")
        self.over()

    def gone(self) -> None:
        """The client has left."""
        running = list(self._running)
        self.over()
        if not running:
            self._door.left(self._request)
            return
        told, *others = running
        for attempt in others:
            attempt.drop("the client left")
        writer = told.writer
        told.let_go()
        if writer is not None:
            writer.gone()

    def pause(self) -> None:
        """It reads too slowly: whoever is asked waits, also one that has not answered yet."""
        for attempt in self._running:
            if attempt.writer is not None:
                attempt.writer.pause()

    def resume(self) -> None:
        """It has caught up."""
        for attempt in list(self._running):
            if attempt.writer is not None:
                attempt.writer.resume()
