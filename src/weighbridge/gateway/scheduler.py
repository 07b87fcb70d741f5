"""What happens to models, decided: a state and an event give a new state and actions. No clock or process here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum


class Phase(StrEnum):
    """Where a model is in its life."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    FAILED = "failed"


# events


@dataclass(frozen=True, slots=True)
class Asked:
    """A request wants the model; `ticket` names the request."""

    model: str
    ticket: int


@dataclass(frozen=True, slots=True)
class Left:
    """A request is over, or its client has gone; `served` if the engine had begun to answer it."""

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
    """Have the model ready before anyone asks."""

    model: str


@dataclass(frozen=True, slots=True)
class Closing:
    """Take no more requests; those that are served may end."""


@dataclass(frozen=True, slots=True)
class Shutdown:
    """End everything."""


Event = Asked | Left | Started | Dying | Ended | Preload | Closing | Shutdown

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


@dataclass(frozen=True, slots=True)
class Refuse:
    """Tell the request that it can't be served, and when to try again."""

    ticket: int
    cause: str
    retry_after_seconds: int


Action = Start | Stop | Serve | Refuse

# state


@dataclass(frozen=True, slots=True)
class ModelState:
    """One model: its phase, the requests that wait and those that are served, and how often it failed in a row."""

    phase: Phase = Phase.STOPPED
    waiting: tuple[int, ...] = ()
    serving: frozenset[int] = frozenset()
    failures: int = 0
    cause: str = ""
    not_before: float = 0.0


@dataclass(frozen=True, slots=True)
class State:
    """All models."""

    models: Mapping[str, ModelState] = field(default_factory=dict)
    is_closing: bool = False


_MOST_WAITING = 512
_CLOSING = "the gateway is closing"


def back_off_seconds(failures: int) -> float:
    """Pause before the next start after so many failures in a row: none after the first, then 1, 2, 4 to 30 s."""
    return 0.0 if failures <= 1 else min(30.0, 2.0 ** (failures - 2))


def decide(state: State, event: Event, now: float) -> tuple[State, tuple[Action, ...]]:
    """The next state, and what is to be done; `now` in seconds of any steady clock."""
    if isinstance(event, Closing):
        return _close(state)
    if isinstance(event, Shutdown):
        return _shut_down(state)
    known = state.models.get(event.model, ModelState())
    match event:
        case Asked(ticket=ticket):
            if state.is_closing:
                return state, (Refuse(ticket, _CLOSING, 1),)
            model, actions = _asked(event.model, known, ticket, now)
        case Preload():
            idle = known.phase in (Phase.STOPPED, Phase.FAILED) and not state.is_closing
            model = replace(known, phase=Phase.STARTING) if idle else known
            actions = (Start(event.model),) if idle else ()
        case Left(ticket=ticket, served=served):
            model = replace(
                known,
                waiting=tuple(waiting for waiting in known.waiting if waiting != ticket),
                serving=known.serving - {ticket},
                failures=0 if served else known.failures,
            )
            actions = ()
        case Started():
            if known.phase is not Phase.STARTING:
                return state, (Stop(event.model),)
            model = replace(known, phase=Phase.READY, waiting=(), serving=known.serving | set(known.waiting), cause="")
            actions = tuple(Serve(ticket) for ticket in known.waiting)
        case Dying():
            model = replace(known, phase=Phase.STOPPING) if known.phase is Phase.READY else known
            actions = ()
        case Ended(cause=cause):
            model, actions = _ended(event.model, known, cause, now, is_closing=state.is_closing)
    return replace(state, models={**state.models, event.model: model}), actions


def _asked(name: str, known: ModelState, ticket: int, now: float) -> tuple[ModelState, tuple[Action, ...]]:
    if known.phase is Phase.READY:
        return replace(known, serving=known.serving | {ticket}), (Serve(ticket),)
    if known.phase is Phase.FAILED and now < known.not_before:
        return known, (Refuse(ticket, known.cause, max(1, round(known.not_before - now))),)
    if len(known.waiting) >= _MOST_WAITING:
        return known, (Refuse(ticket, f"{_MOST_WAITING} requests wait for this model already", 5),)
    queued = replace(known, waiting=(*known.waiting, ticket))
    if known.phase in (Phase.STOPPED, Phase.FAILED):
        return replace(queued, phase=Phase.STARTING), (Start(name),)
    return queued, ()


def _ended(
    name: str, known: ModelState, cause: str, now: float, *, is_closing: bool
) -> tuple[ModelState, tuple[Action, ...]]:
    """An engine that died while it served is started again for those that wait, or at the next request.

    One that did not start, or dies again and again, is left alone for a while, and those that wait are told so. The
    requests in its midst hear of it from their broken connection, so nothing is said to them here.
    """
    if is_closing:  # and nobody waits
        return replace(known, phase=Phase.STOPPED), ()
    failures = known.failures + 1
    pause = back_off_seconds(failures)
    model = replace(known, failures=failures, cause=cause, not_before=now + pause)
    if known.phase is Phase.STARTING or pause:
        refused = tuple(Refuse(ticket, cause, max(1, round(pause))) for ticket in known.waiting)
        return replace(model, phase=Phase.FAILED, waiting=()), refused
    if known.waiting:
        return replace(model, phase=Phase.STARTING), (Start(name),)
    return replace(model, phase=Phase.STOPPED), ()


def _close(state: State) -> tuple[State, tuple[Action, ...]]:
    refused = tuple(Refuse(ticket, _CLOSING, 1) for model in state.models.values() for ticket in model.waiting)
    models = {name: replace(model, waiting=()) for name, model in state.models.items()}
    return State(models, is_closing=True), refused


def _shut_down(state: State) -> tuple[State, tuple[Action, ...]]:
    closed, actions = _close(state)
    running = [name for name, model in closed.models.items() if model.phase in (Phase.READY, Phase.STARTING)]
    models = {name: replace(model, phase=_phase_at_shutdown(model.phase)) for name, model in closed.models.items()}
    return State(models, is_closing=True), (*actions, *map(Stop, running))


def _phase_at_shutdown(phase: Phase) -> Phase:
    return Phase.STOPPED if phase in (Phase.STOPPED, Phase.FAILED) else Phase.STOPPING
