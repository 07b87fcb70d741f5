"""`State`: every model's place in its life, who waits for it and whom it serves, and the memory that all may take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf


class Phase(StrEnum):
    """Where a model is in its life."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    """It ends its answers and takes no new requests; then it stops."""
    STOPPING = "stopping"
    FAILED = "failed"


# While a model is in one of these, its memory counts as taken: it is free only once the process has ended.
HOLDING = frozenset({Phase.STARTING, Phase.READY, Phase.DRAINING, Phase.STOPPING})
ABSENT = frozenset({Phase.STOPPED, Phase.FAILED})


class Leaving(StrEnum):
    """Why a model was told to go."""

    ROOM = "room"
    """Another one needs its memory."""
    IDLE = "idle"
    """Nobody asked for it for as long as it is kept."""
    ASKED = "asked"
    """An operator, or the end of the gateway."""


class Breaker(StrEnum):
    """Whether a model that failed again and again is tried: `closed` as usual, `open` not at all for a while,
    `half-open` with one request."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms one model is served."""

    need: Mapping[str, int] = field(default_factory=dict)
    """Bytes by place: `memory`, `gpu0`, `gpu1`, ..."""
    keep_alive_seconds: float = inf
    """How long it stays when nobody asks for it; 0: it goes at once."""
    pinned: bool = False
    """Whether it stays whatever others need."""
    preload: bool = True
    """Whether it is loaded at the start, if there is room; what is pinned is in any case."""
    at_once: int | None = None
    """Requests that its engine gets at once; None: any number."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for all models."""

    waiting_per_model: int = 512
    waiting_in_all: int = 2048
    queue_seconds: float = 600.0
    """How long a request waits for its model."""
    turn_seconds: float = 5.0
    """How long a model that others wait for may take new requests, from when it was ready; at least as long as it
    took to load, so that no more time goes into loading than into answers."""
    failures: int = 3
    """Failures in a row after which the breaker opens."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request that waits: since when, and until when it does."""

    ticket: int
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class ModelState:
    """One model: its phase, the requests that wait and those that are served, and how often it failed in a row."""

    terms: Terms = field(default_factory=Terms)
    phase: Phase = Phase.STOPPED
    leaving: Leaving | None = None
    """While it drains or stops: why it was told to; None where it ends by itself."""
    waiting: tuple[Waiting, ...] = ()
    """Those that came first stand first."""
    serving: frozenset[int] = frozenset()
    failures: int = 0
    cause: str = ""
    not_before: float = 0.0
    """When it may be started again."""
    since: float = 0.0
    """When its phase last changed to or from ready, or it was told to start."""
    load_seconds: float = 0.0
    """How long the last start took."""
    idle_since: float = 0.0
    """When its last answer ended."""

    @property
    def is_idle(self) -> bool:
        """Whether its engine is there, or will be, and nobody needs it."""
        return self.phase in (Phase.READY, Phase.STARTING) and not self.serving and not self.waiting

    def serve(self, serving: frozenset[int], failures: int, idle_since: float) -> ModelState:
        """The same with other requests being served: what `replace` would make, in a third of its time, since it is
        done twice for every request."""
        return ModelState(
            self.terms,
            self.phase,
            self.leaving,
            self.waiting,
            serving,
            failures,
            self.cause,
            self.not_before,
            self.since,
            self.load_seconds,
            idle_since,
        )

    def breaker(self, now: float, limits: Limits) -> Breaker:
        """Where its circuit breaker stands."""
        if self.failures < limits.failures:
            return Breaker.CLOSED
        return Breaker.OPEN if now < self.not_before else Breaker.HALF_OPEN

    @property
    def its_turn(self) -> float:
        """Its place among the models that wait to be loaded, the smallest first: when the first of its requests came,
        or when it made room for others, whichever was later. So each has its turn before any has a second one."""
        return max(self.waiting[0].since, self.since) if self.waiting else inf

    def turn_ends(self, limits: Limits) -> float:
        """Until when it may take new requests though others wait for its memory."""
        return self.since + max(limits.turn_seconds, self.load_seconds)

    def may_go(self, now: float, limits: Limits) -> bool:
        """Whether it may be told to go for another one: it is idle, or has had its turn."""
        return self.is_idle or (self.phase is Phase.READY and now >= self.turn_ends(limits))

    def keep_until(self) -> float:
        """When it goes because nobody asked for it; infinite while it is in use, or pinned."""
        if self.phase is not Phase.READY or not self.is_idle or self.terms.pinned:
            return inf
        return self.idle_since + self.terms.keep_alive_seconds


@dataclass(frozen=True, slots=True)
class State:
    """All models, and the bytes that they may take together by place; a place that is not named has no limit."""

    models: Mapping[str, ModelState] = field(default_factory=dict)
    budget: Mapping[str, int] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    is_closing: bool = False
    is_calm: bool = False
    """Whether nobody waits and nobody is told to go: then a request that comes or goes concerns its own model alone."""

    def calm_with(self, name: str, model: ModelState) -> State:
        """The same with one model changed, and as calm as it is."""
        return State({**self.models, name: model}, self.budget, self.limits, self.is_closing, self.is_calm)

    def used(self) -> dict[str, int]:
        """Bytes by place that are promised: to all that start, are ready, drain or stop."""
        return total(model.terms.need for model in self.models.values() if model.phase in HOLDING)


def total(needs: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum of needs, place by place."""
    summed: dict[str, int] = {}
    for need in needs:
        for place, size in need.items():
            summed[place] = summed.get(place, 0) + size
    return summed
