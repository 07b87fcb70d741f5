"""On what terms models are served: from settings, plans and the machine to what the scheduler is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from weighbridge.engines import Model, queues
from weighbridge.errors import DoesNotFit
from weighbridge.machine import Machine
from weighbridge.settings import Settings

from . import scheduler
from .scheduler import Limits, ModelState, State, Terms
from .states import HOLDING


def initial_state(models: Iterable[Model], settings: Settings, machine: Machine) -> State:
    """All models, stopped. DoesNotFit where those that are pinned do not fit together."""
    terms = {model.name: _terms(model, settings) for model in models}
    state = State(
        {name: ModelState(terms=own) for name, own in terms.items()},
        budget(settings, machine),
        _limits(settings),
    )
    _ensure_pinned_fit(state)
    return state


def rearranged(
    state: State,
    had: Mapping[str, Model],
    models: Iterable[Model],
    settings: tuple[Settings, Settings],
    machine: Machine,
) -> State:
    """The same engines on other terms: `settings` are those of before and of now, `had` the models of before. A model
    that is gone stays in the state until its engine is; a new one begins stopped. DoesNotFit where those that are
    pinned do not fit together."""
    before, now = settings
    found = {}
    for model in models:
        own, old = _terms(model, now), state.models.get(model.name)
        if old is not None and had.get(model.name) != model and old.phase in HOLDING:
            # Until the engine of before has ended, it holds what it held.
            own = replace(own, need=old.terms.need)
        found[model.name] = ModelState(terms=own) if old is None else replace(old, terms=own)
    for name, old in state.models.items():
        if name not in found:
            found[name] = replace(old, terms=replace(old.terms, pinned=False, preload=False))
    places = dict(state.budget)
    if now.memory_budget_bytes:
        places["memory"] = now.memory_budget_bytes
    elif before.memory_budget_bytes and machine.memory is not None:
        held = state.used().get("memory", 0)
        places["memory"] = max(0, machine.memory.available_bytes + held - now.memory_margin_bytes)
    changed = State(found, places, _limits(now), state.is_closing)
    _ensure_pinned_fit(changed)
    return changed


def _limits(settings: Settings) -> Limits:
    return Limits(
        waiting_per_model=settings.queue_limit,
        waiting_in_all=settings.queue_limit_total,
        queue_seconds=settings.queue_timeout_seconds,
        turn_seconds=settings.turn_seconds,
        failures=settings.breaker_failures,
    )


def _ensure_pinned_fit(state: State) -> None:
    for name, model in state.models.items():
        if model.terms.pinned and (cause := scheduler.shortage(state, name)):
            raise DoesNotFit(cause, hint="pin fewer models, or raise memory_budget_bytes")


def _terms(model: Model, settings: Settings) -> Terms:
    own = settings.of(model.name)
    keep = own.keep_alive_seconds
    return Terms(
        need=model.need,
        keep_alive_seconds=settings.keep_alive_seconds if keep is None else keep,
        pinned=own.pinned,
        preload=bool(own.preload),
        at_once=_at_once(model, settings),
    )


def _at_once(model: Model, settings: Settings) -> int | None:
    """Requests that the engine gets at once; None: any number.

    What an engine has no slot for waits here: it is still there when the engine dies, and counts in the queue. One that
    batches whatever it has gets as many more as may wait.
    """
    if model.plan is None:
        return None
    own = model.plan.workload.parallel
    return own + settings.queue_limit if queues(model.engine) else own


def budget(settings: Settings, machine: Machine) -> Mapping[str, int]:
    """Bytes that all models may take together, by place: main memory as set, or what is available now less the margin;
    of each GPU what is free now. A GPU whose memory is main memory counts as that."""
    found = {
        f"gpu{index}": device.memory_free_bytes for index, device in enumerate(machine.devices) if not device.unified
    }
    if settings.memory_budget_bytes:
        found["memory"] = settings.memory_budget_bytes
    elif machine.memory is not None:
        found["memory"] = max(0, machine.memory.available_bytes - settings.memory_margin_bytes)
    return found
