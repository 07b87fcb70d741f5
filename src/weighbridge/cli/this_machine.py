"""This machine as models may have it: what `weigh fit` plans with is what `weigh up` lets them take."""

from __future__ import annotations

import dataclasses

from weighbridge.machine import Machine
from weighbridge.settings import Settings
from weighbridge.sizes import show_bytes


def within_budget(here: Machine, settings: Settings) -> Machine:
    """The machine with no more main memory than the gateway lets models have, and a note that says so."""
    if here.memory is None:
        return here
    available = here.memory.available_bytes
    if settings.memory_budget_bytes:
        most = settings.memory_budget_bytes
        note = f"models may take {show_bytes(most)} of main memory together (memory_budget_bytes)"
    else:
        most = max(0, available - settings.memory_margin_bytes)
        note = (
            f"of {show_bytes(available)} of available memory {show_bytes(settings.memory_margin_bytes)} are left to "
            "others (memory_margin_bytes)"
        )
    if most >= available:
        return here
    memory = dataclasses.replace(here.memory, available_bytes=most)
    return dataclasses.replace(here, memory=memory, notes=(*here.notes, note))
