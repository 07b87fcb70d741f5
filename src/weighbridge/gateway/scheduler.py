"""What happens to models, decided: a state and an event give a new state and actions. No clock or process here.

Memory is promised by plans: a model may start only when its need and those of all that start, are ready, drain or stop
stay within the budget of every place. For another one the least recently used goes that is idle and not pinned. One in
mid-answer is never cut off: it drains, and only once it has had its turn. Loads are served in the order in which they
began to wait, and a younger load may take only what the older ones leave.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import inf
from typing import Any

from weighbridge.sizes import show_bytes

from .events import (
    Action,
    Asked,
    Closing,
    Dying,
    Ended,
    Event,
    Left,
    Preload,
    Pressure,
    Refusal,
    Refuse,
    Serve,
    Shutdown,
    Start,
    Started,
    Stop,
    Tick,
    Unload,
)
from .states import (
    ABSENT,
    HOLDING,
    Breaker,
    Leaving,
    Limits,
    ModelState,
    Phase,
    State,
    Terms,
    Waiting,
    total,
)

__all__ = [
    "Action",
    "Asked",
    "Breaker",
    "Closing",
    "Dying",
    "Ended",
    "Event",
    "Leaving",
    "Left",
    "Limits",
    "ModelState",
    "Phase",
    "Preload",
    "Pressure",
    "Refusal",
    "Refuse",
    "Serve",
    "Shutdown",
    "Start",
    "Started",
    "State",
    "Stop",
    "Terms",
    "Tick",
    "Unload",
    "Waiting",
    "back_off_seconds",
    "decide",
    "is_free",
    "is_passed_by",
    "next_time",
    "shortage",
]

_CLOSING = "the gateway is closing"
_MOST_RETRY_SECONDS = 60


def back_off_seconds(failures: int) -> float:
    """Pause before the next start after so many failures in a row: none after the first, then 1, 2, 4 to 30 s."""
    return 0.0 if failures <= 1 else min(30.0, 2.0 ** min(failures - 2, 10))


def place_name(place: str) -> str:
    """A place of memory in words: `main memory`, `GPU 0`."""
    return "main memory" if place == "memory" else place.replace("gpu", "GPU ")


def shortage(state: State, name: str) -> str:
    """Why the model can never be loaded beside those that are pinned, with the sum; empty if it can."""
    pinned = total(model.terms.need for other, model in state.models.items() if model.terms.pinned and other != name)
    for place, size in state.models[name].terms.need.items():
        budget = state.budget.get(place)
        if budget is None or size <= budget - pinned.get(place, 0):
            continue
        held = pinned.get(place, 0)
        beside = f", of which {show_bytes(held)} are pinned for other models" if held else ""
        return f"{name} needs {show_bytes(size)} of {place_name(place)}; the budget is {show_bytes(budget)}{beside}"
    return ""


def decide(state: State, event: Event, now: float) -> tuple[State, tuple[Action, ...]]:
    """The next state, and what is to be done; `now` in seconds of any steady clock that never goes back."""
    if state.is_calm and (quick := _decide_quickly(state, event, now)) is not None:
        return quick
    decision = _Decision(state, now)
    decision.take(event)
    decision.arrange()
    models = decision.models
    calm = not decision.is_closing and not any(model.waiting or model.leaving for model in models.values())
    return replace(state, models=models, is_closing=decision.is_closing, is_calm=calm), tuple(decision.actions)


def is_free(state: State, name: str) -> bool:
    """Whether a request for the model would be served at once."""
    model = state.models[name]
    in_use = model.phase is Phase.READY and not model.waiting and not state.is_closing
    return in_use and _has_room(model, state.limits)


def is_passed_by(state: State, name: str, more: int) -> bool:
    """Whether a request for the model, beside so `more` that the state does not know of, may come and go without a
    decision: everything is calm, the model is ready and has room, and no failure of it is counted."""
    model = state.models[name]
    if not state.is_calm or model.phase is not Phase.READY or model.failures:
        return False
    return model.terms.at_once is None or len(model.serving) + more < model.terms.at_once


def _decide_quickly(state: State, event: Event, now: float) -> tuple[State, tuple[Action, ...]] | None:
    """The same as a whole decision for the two events of every request, in a calm state, where nothing else can follow
    from them; None where it could."""
    if isinstance(event, Asked):
        model = state.models[event.model]
        if model.phase is not Phase.READY or not _has_room(model, state.limits):
            return None
        changed = model.serve(model.serving | {event.ticket}, model.failures, model.idle_since)
        return state.calm_with(event.model, changed), (Serve(event.ticket),)
    if isinstance(event, Left):
        model = state.models[event.model]
        if model.phase is not Phase.READY or event.ticket not in model.serving or not model.terms.keep_alive_seconds:
            return None
        return state.calm_with(event.model, _less_one(model, event, now)), ()
    return None


def _has_room(model: ModelState, limits: Limits) -> bool:
    """Whether the engine may get one request more; while the breaker is half open, a single one tries."""
    if model.failures >= limits.failures:
        return not model.serving
    return model.terms.at_once is None or len(model.serving) < model.terms.at_once


def _less_one(model: ModelState, event: Left, now: float) -> ModelState:
    """The model without a request that it has served."""
    serving = model.serving - {event.ticket}
    return model.serve(serving, 0 if event.served else model.failures, model.idle_since if serving else now)


def next_time(state: State, now: float) -> float | None:
    """When a `Tick` is due, if nothing else happens before; None: never."""
    soonest = inf
    someone_waits = False
    for model in state.models.values():
        if model.terms.keep_alive_seconds != inf and now < (until := model.keep_until()) < soonest:
            soonest = until
        if model.waiting:
            soonest = min(soonest, *(waiting.until for waiting in model.waiting))
            if model.phase in ABSENT:
                someone_waits = True
                soonest = min(soonest, model.not_before) if model.not_before > now else soonest
    if someone_waits:
        for model in state.models.values():
            if model.phase is Phase.READY and now < (ends := model.turn_ends(state.limits)) < soonest:
                soonest = ends
    return None if soonest == inf else soonest


class _Decision:
    """One decision: the state as it changes, and the actions so far."""

    def __init__(self, state: State, now: float) -> None:
        self.models = dict(state.models)
        self.is_closing = state.is_closing
        self.actions: list[Action] = []
        self._state = state
        self._limits = state.limits
        self._now = now

    def take(self, event: Event) -> None:
        """What the event itself changes."""
        match event:
            case Asked() | Left():
                self._asked(event) if isinstance(event, Asked) else self._left(event)
            case Started(model=name):
                self._started(name)
            case Dying(model=name):
                if self.models[name].phase in (Phase.READY, Phase.DRAINING):
                    self._change(name, phase=Phase.STOPPING, leaving=None)
            case Ended():
                self._ended(event)
            case Preload(model=name):
                self._preload(name)
            case Unload(model=name):
                self._unload(name)
            case Tick():
                pass  # what is due is seen to whatever happens
            case Pressure():
                self._relieve()
            case Closing():
                self._close()
            case Shutdown():
                self._shut_down()

    def arrange(self) -> None:
        """What follows: queues move up, the drained stop, and loads get their room."""
        for name in self.models:
            self._end_waits(name)
        for name, model in self.models.items():
            if model.phase is Phase.READY:
                self._fill(name)
                if self.models[name].keep_until() <= self._now:
                    self.send_away(name, Leaving.IDLE)
            elif model.phase is Phase.DRAINING and not model.serving:
                self._change(name, phase=Phase.STOPPING)
                self.actions.append(Stop(name))
        loads = self._loads()
        if loads:
            _Rooms(self).share(loads)
            return
        for name, model in self.models.items():
            if model.phase is Phase.DRAINING and model.leaving is Leaving.ROOM:  # nobody needs its room any more
                self._change(name, phase=Phase.READY, leaving=None)
                self._fill(name)

    # what rooms are shared by

    @property
    def budget(self) -> Mapping[str, int]:
        """Bytes that all models may take, by place."""
        return self._state.budget

    def may_go(self, name: str) -> bool:
        """Whether the model may be told to go now."""
        return self.models[name].may_go(self._now, self._limits)

    def start(self, name: str) -> None:
        """Start the model's engine."""
        self._change(name, phase=Phase.STARTING, leaving=None, since=self._now, idle_since=self._now)
        self.actions.append(Start(name))

    def send_away(self, name: str, why: Leaving) -> None:
        """Have the model go: at once if it serves nobody, else when its answers are complete."""
        if self.models[name].serving:
            self._change(name, phase=Phase.DRAINING, leaving=why)
            return
        self._change(name, phase=Phase.STOPPING, leaving=why)
        self.actions.append(Stop(name))

    # events

    def _asked(self, event: Asked) -> None:
        name, now = event.model, self._now
        model = self.models[name]
        if self.is_closing:
            self._refuse(event.ticket, Refusal.CLOSING, _CLOSING, 1)
        elif model.phase is Phase.READY and not model.waiting and _has_room(model, self._limits):
            self._change(name, serving=model.serving | {event.ticket})
            self.actions.append(Serve(event.ticket))
        elif model.breaker(now, self._limits) is Breaker.OPEN and model.phase in ABSENT:
            self._refuse(event.ticket, Refusal.UNAVAILABLE, model.cause, model.not_before - now)
        elif model.phase in ABSENT and (cause := shortage(self._state, name)):
            self._refuse(event.ticket, Refusal.DOES_NOT_FIT, cause, None)
        else:
            self._queue(event)

    def _queue(self, event: Asked) -> None:
        model, limits, now = self.models[event.model], self._limits, self._now
        all_waiting = sum(len(other.waiting) for other in self.models.values())
        if len(model.waiting) >= limits.waiting_per_model:
            what = f"{len(model.waiting)} requests wait for {event.model} already"
        elif all_waiting >= limits.waiting_in_all:
            what = f"{all_waiting} requests wait already"
        else:
            since = now if event.since is None else event.since
            waiting = list(model.waiting)
            insort(waiting, Waiting(event.ticket, since, now + limits.queue_seconds), key=lambda each: each.since)
            self._change(event.model, waiting=tuple(waiting))
            return
        # Who comes now would wait about as long as the first in the queue has.
        oldest = min(other.waiting[0].since for other in self.models.values() if other.waiting)
        self._refuse(event.ticket, Refusal.QUEUE_FULL, what, min(now - oldest, _MOST_RETRY_SECONDS))

    def _left(self, event: Left) -> None:
        model = self.models[event.model]
        if event.ticket in model.serving:
            self.models[event.model] = _less_one(model, event, self._now)
        elif model.waiting:
            self._change(event.model, waiting=tuple(each for each in model.waiting if each.ticket != event.ticket))

    def _started(self, name: str) -> None:
        model = self.models[name]
        if model.phase is not Phase.STARTING:
            return  # it was told to stop while it started
        self._change(
            name, phase=Phase.READY, cause="", since=self._now, load_seconds=self._now - model.since,
            idle_since=self._now,
        )  # fmt: skip

    def _ended(self, event: Ended) -> None:
        """An engine that died while it served is started again for those that wait, or at the next request.

        One that did not start, or dies again and again, is left alone for a while, and those that wait are told so. The
        requests in its midst hear of it from their broken connection, so nothing is said to them here.
        """
        name, model, now = event.model, self.models[event.model], self._now
        gone: dict[str, Any] = {"phase": Phase.STOPPED, "leaving": None, "serving": frozenset()}
        if model.leaving is not None or self.is_closing:
            self._change(name, **gone, since=now)
            return
        failures = model.failures + 1
        pause = back_off_seconds(failures)
        self._change(name, **gone | {"failures": failures, "cause": event.cause, "not_before": now + pause})
        if pause or model.phase is Phase.STARTING:
            self._change(name, phase=Phase.FAILED)
        if failures >= self._limits.failures or model.phase is Phase.STARTING:
            self._refuse_waiting(name, Refusal.UNAVAILABLE, event.cause, pause)

    def _preload(self, name: str) -> None:
        model = self.models[name]
        if self.is_closing or model.phase not in ABSENT or self._now < model.not_before or self._loads():
            return
        if _fits(model.terms.need, self.budget, self._state.used()):
            self.start(name)

    def _unload(self, name: str) -> None:
        model = self.models[name]
        if model.phase in (Phase.READY, Phase.STARTING):
            self.send_away(name, Leaving.ASKED)
        elif model.phase is Phase.DRAINING:
            self._change(name, leaving=Leaving.ASKED)
        elif model.phase is Phase.FAILED:
            # Whoever unloads a failed model has mended it, and wants it tried again.
            self._change(name, phase=Phase.STOPPED, failures=0, cause="", not_before=self._now)

    def _relieve(self) -> None:
        """The least recently used goes that is idle and not pinned."""
        idle = [
            name
            for name, model in self.models.items()
            if model.is_idle and not model.terms.pinned and model.terms.need.get("memory")
        ]
        if idle and not any(model.leaving for model in self.models.values()):
            self.send_away(min(idle, key=lambda name: self.models[name].idle_since), Leaving.ROOM)

    def _close(self) -> None:
        self.is_closing = True
        for name in self.models:
            self._refuse_waiting(name, Refusal.CLOSING, _CLOSING, 1)

    def _shut_down(self) -> None:
        self._close()
        for name, model in self.models.items():
            if model.phase in (Phase.READY, Phase.STARTING, Phase.DRAINING):
                self._change(name, phase=Phase.STOPPING, leaving=Leaving.ASKED)
                self.actions.append(Stop(name))

    # what they have in common

    def _change(self, name: str, **changes: Any) -> None:
        self.models[name] = replace(self.models[name], **changes)

    def _refuse(self, ticket: int, reason: Refusal, cause: str, seconds: float | None) -> None:
        self.actions.append(Refuse(ticket, reason, cause, None if seconds is None else max(1, round(seconds))))

    def _refuse_waiting(self, name: str, reason: Refusal, cause: str, seconds: float) -> None:
        for each in self.models[name].waiting:
            self._refuse(each.ticket, reason, cause, seconds)
        self._change(name, waiting=())

    def _end_waits(self, name: str) -> None:
        """Refuse those that have waited for as long as a request may."""
        waiting = self.models[name].waiting
        late = [each for each in waiting if each.until <= self._now]
        if late:
            self._change(name, waiting=tuple(each for each in waiting if each.until > self._now))
            for each in late:
                what = f"{name} was not free within {self._limits.queue_seconds:g} s"
                self._refuse(each.ticket, Refusal.QUEUE_TIMEOUT, what, _MOST_RETRY_SECONDS / 2)

    def _fill(self, name: str) -> None:
        """Send those that wait to the engine, as many as it may have."""
        model = self.models[name]
        if model.phase is not Phase.READY or not model.waiting:
            return
        taken = 0
        while taken < len(model.waiting) and _has_room(model, self._limits):
            model = replace(model, serving=model.serving | {model.waiting[taken].ticket})
            self.actions.append(Serve(model.waiting[taken].ticket))
            taken += 1
        self.models[name] = replace(model, waiting=model.waiting[taken:])

    def _loads(self) -> list[str]:
        """The models that requests wait for and that may start, in the order of their turns."""
        found = [
            name
            for name, model in self.models.items()
            if model.waiting and model.phase in ABSENT and self._now >= model.not_before
        ]
        return sorted(found, key=lambda name: self.models[name].its_turn) if len(found) > 1 else found


class _Rooms:
    """The sharing of memory among loads, oldest first."""

    def __init__(self, decision: _Decision) -> None:
        self._decision = decision
        models = decision.models
        self._now_used = total(model.terms.need for model in models.values() if model.phase in HOLDING)
        staying = [name for name, model in models.items() if model.phase in (Phase.STARTING, Phase.READY)]
        # What will be used once all have gone that are on their way out or will have to go.
        self._later_used = total(models[name].terms.need for name in staying)
        self._may_be_chosen = [name for name in staying if not models[name].terms.pinned]

    def share(self, loads: Iterable[str]) -> None:
        """Start what there is room for, and send away whoever must go for it."""
        models, budget = self._decision.models, self._decision.budget
        for name in loads:
            need = models[name].terms.need
            if not _fits(need, budget, self._later_used):
                self._make_room(need)
            # What an older load will need is gone for a younger one, even if it can't start yet.
            has_claim = _fits(need, budget, self._later_used)
            self._later_used = total((self._later_used, need))
            if has_claim and _fits(need, budget, self._now_used):
                self._now_used = total((self._now_used, need))
                self._decision.start(name)

    def _make_room(self, need: Mapping[str, int]) -> None:
        """Choose who must go, and send them away if all of them may go now; else they keep serving until then."""
        chosen = self._choose(need)
        for name in chosen:
            self._may_be_chosen.remove(name)
        self._later_used = _less(self._later_used, [self._decision.models[name].terms.need for name in chosen])
        if all(self._decision.may_go(name) for name in chosen):
            for name in chosen:
                self._decision.send_away(name, Leaving.ROOM)

    def _choose(self, need: Mapping[str, int]) -> list[str]:
        """The least recently used of the idle, then of the others the one whose turn began first; nobody in vain."""
        models, budget = self._decision.models, self._decision.budget

        def lacks(gone: Iterable[str]) -> list[str]:
            used = _less(self._later_used, [models[name].terms.need for name in gone])
            return [place for place in need if not _fits({place: need[place]}, budget, used)]

        def order(name: str) -> tuple[bool, float]:
            model = models[name]
            return not model.is_idle, model.idle_since if model.is_idle else model.since

        chosen: list[str] = []
        for name in sorted(self._may_be_chosen, key=order):
            missing = lacks(chosen)
            if not missing:
                break
            if any(models[name].terms.need.get(place) for place in missing):
                chosen.append(name)
        if lacks(chosen):
            return []  # those that older loads started for have to have their turn first
        for name in reversed(chosen):
            if not lacks(other for other in chosen if other != name):
                chosen.remove(name)
        return chosen


def _fits(need: Mapping[str, int], budget: Mapping[str, int], used: Mapping[str, int]) -> bool:
    """Whether a need and what is used stay within the budget of every place."""
    return all(not size or size <= budget.get(place, inf) - used.get(place, 0) for place, size in need.items())


def _less(used: Mapping[str, int], needs: Iterable[Mapping[str, int]]) -> dict[str, int]:
    gone = total(needs)
    return {place: size - gone.get(place, 0) for place, size in used.items()}
