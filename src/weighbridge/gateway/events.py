"""What can happen to models and requests, and what can be done about it: the words of the scheduler."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

# events


@dataclass(frozen=True, slots=True)
class Asked:
    """A request wants the model; `ticket` names the request."""

    model: str
    ticket: int
    since: float | None = None
    """When it came, where that was not just now: one that is asked again keeps its place."""


@dataclass(frozen=True, slots=True)
class Left:
    """A request is over, or its client has gone; `served` if the engine answered it and did not break."""

    model: str
    ticket: int
    served: bool = False


@dataclass(frozen=True, slots=True)
class Started:
    """The engine is ready."""

    model: str


@dataclass(frozen=True, slots=True)
class Dying:
    """The engine can't answer any more, and is being cleared away; `Ended` follows."""

    model: str


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing is left of the engine, which failed to start, ended by itself or was stopped."""

    model: str
    cause: str


@dataclass(frozen=True, slots=True)
class Preload:
    """Have the model ready before anyone asks, if there is room without anyone going."""

    model: str


@dataclass(frozen=True, slots=True)
class Unload:
    """End the model's engine when its answers are complete; the next request starts it again."""

    model: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: a wait, a pause or a turn may be over."""


@dataclass(frozen=True, slots=True)
class Pressure:
    """The machine runs out of memory, whoever took it."""


@dataclass(frozen=True, slots=True)
class Closing:
    """Take no more requests; those that are served may end."""


@dataclass(frozen=True, slots=True)
class Shutdown:
    """End everything."""


Event = Asked | Left | Started | Dying | Ended | Preload | Unload | Tick | Pressure | Closing | Shutdown

# actions


@dataclass(frozen=True, slots=True)
class Start:
    """Start the model's engine."""

    model: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop the model's engine."""

    model: str


@dataclass(frozen=True, slots=True)
class Serve:
    """Send the request to the engine."""

    ticket: int


class Refusal(StrEnum):
    """Why a request is refused, as the API's error code says it."""

    UNAVAILABLE = "engine_unavailable"
    QUEUE_FULL = "queue_full"
    QUEUE_TIMEOUT = "queue_timeout"
    DOES_NOT_FIT = "does_not_fit"
    CLOSING = "gateway_closing"


@dataclass(frozen=True, slots=True)
class Refuse:
    """Tell the request that it can't be served, and when to try again; None: never, as things are."""

    ticket: int
    reason: Refusal
    cause: str
    retry_after_seconds: int | None = None


Action = Start | Stop | Serve | Refuse
