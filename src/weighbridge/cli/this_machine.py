"""This machine as models may have it: what `weigh fit` plans with is what `weigh up` lets them take."""

from __future__ import annotations

import dataclasses

from weighbridge.machine import Machine
from weighbridge.settings import Settings
from weighbridge.sizes import show_bytes

# What other programs, and the gateway's own start, may take between a plan and the load.
_CHANGES_BYTES = 64 << 20


def within_budget(here: Machine, settings: Settings, *, until_later: bool = False) -> Machine:
    """The machine with no more main memory than the gateway lets models have, and a note that says so. For a plan that
    shall hold `until_later` a little more is left alone: what is available changes from one look to the next."""
    if here.memory is None:
        return here
    available = here.memory.available_bytes
    if settings.memory_budget_bytes:
        most = settings.memory_budget_bytes
        note = f"models may take {show_bytes(most)} of main memory together (memory_budget_bytes)"
    else:
        left = settings.memory_margin_bytes + (_CHANGES_BYTES if until_later else 0)
        most = max(0, available - left)
        note = f"of {show_bytes(available)} of available memory {show_bytes(left)} are left to others"
        note += f" (memory_margin_bytes{', and what may change until a model is loaded' if until_later else ''})"
    if most >= available:
        return here
    memory = dataclasses.replace(here.memory, available_bytes=most)
    return dataclasses.replace(here, memory=memory, notes=(*here.notes, note))
