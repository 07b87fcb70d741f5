"""Where each of many models goes on one machine at each context: the choice of `search.py`, for all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from weighbridge.fit.llama_cpp import (
    UNSURE_BYTES,
    UNSURE_INPUTS,
    WIDENED,
    device_overhead,
    largest_step,
)
from weighbridge.fit.plan import COMFORTABLE
from weighbridge.fit.repacking import most_copied
from weighbridge.fit.spreading import COPIES
from weighbridge.fit.steps import cells_of
from weighbridge.machine import Device, Machine

from .table import Table

# No layer's weights are more than so many times the mean's, and none of its matrices is more than this share of them.
_HEAVIER = 1.3
_LARGEST_MATRIX = 0.7
# On a GPU a step computed with no less than this share of what it does on the processor (gpt-oss, DeepSeek).
_LEAST_COMPUTED = 0.35
_TIGHT = COMFORTABLE + 1e-6
# A mixture with experts in main memory is not all on GPUs, however little it reads there.
_LESS_THAN_ALL = 1 - 1e-9


@dataclass(slots=True)
class Places:
    """Where each row goes at each context, in arrays."""

    need: Any
    share: Any
    read: Any
    """Which share of what a token reads is on GPUs."""
    devices: Any
    """On how many of the fastest GPUs."""

    def take(self, where: Any, other: Places) -> None:
        """Go where another says, at these rows and contexts."""
        import numpy as np

        for name in self.__slots__:
            setattr(self, name, np.where(where, getattr(other, name), getattr(self, name)))


def fastest_first(machine: Machine) -> list[Device]:
    """The GPUs by their bandwidth; those whose bandwidth nobody knows come last."""
    return sorted(machine.devices, key=lambda device: -(device.bandwidth.value if device.bandwidth else 0.0))


def places_of(table: Table, machine: Machine) -> Places:
    """The choice of `Search.best`, for all rows and contexts at once."""
    import numpy as np

    alone = _on_processor(table, machine)
    devices = fastest_first(machine)
    sets = [_OnDevices(table, machine, devices[:count]) for count in range(1, len(devices) + 1)]
    whole = [each.whole() for each in sets]
    parts = {most: [alone, *(part for each in sets for part in each.in_parts(most))] for most in (1.0, COMFORTABLE)}
    best = replace(alone)
    for each in (*whole, *parts[1.0]):
        best.take(each.share < best.share, each)
    # What comes later goes before: room to spare, and everything on GPUs.
    for most, options in parts.items():
        fastest, any_fits = replace(alone), np.zeros(alone.share.shape, dtype=bool)
        for each in options:
            fits = each.share <= most
            fastest.take(fits & (~any_fits | (each.read > fastest.read)), each)
            any_fits |= fits
        best.take(any_fits, fastest)
    for some in sets:
        # A plan takes what is tight on GPUs before what has room to spare in parts; which it is, is within our margin.
        best.share = np.where(some.may_hold_all(), np.maximum(best.share, _TIGHT), best.share)
    for most in (1.0, COMFORTABLE):
        for each in reversed(whole):
            best.take(each.share <= most, each)
    return best


def _on_processor(table: Table, machine: Machine) -> Places:
    """Everything in main memory."""
    import numpy as np

    shares = {recipe: most_copied(machine, recipe) for recipe in set(table.recipes)}
    copied = np.array([shares[recipe] for recipe in table.recipes])[:, None]
    copies = copied * (table.weights - np.where(table.is_tied, 0, table.embedding))
    need = table.weights + copies + table.caches[table.owner] + table.computes[table.owner] + table.host_bytes
    # Layers are not put where nobody knows how much room there is.
    share = need / max(1, machine.memory.available_bytes) if machine.memory else np.full_like(need, np.inf)
    nothing = np.zeros_like(need)
    return Places(need, share, nothing, nothing)


class _OnDevices:
    """Some GPUs, and what lies on them and beside them."""

    def __init__(self, table: Table, machine: Machine, devices: Sequence[Device]) -> None:
        import numpy as np

        self.table, self.devices = table, devices
        self.budget = float(max(1, machine.memory.available_bytes)) if machine.memory else None
        self.is_unified = any(device.unified for device in devices)
        self.rooms = [float(max(1, device.memory_free_bytes)) for device in devices]
        self.room = sum(self.rooms)
        owner = table.owner
        self.blocks = table.blocks[owner][:, None]
        self.cache = table.caches[owner]
        self.output = table.output
        self.moved = table.weights - table.embedding + np.where(table.is_tied, table.output, 0.0) + self.cache
        weights = (self.moved - self.cache - self.output) / self.blocks
        self.layer = (self.moved - self.output) / self.blocks
        # Layers differ: with more bits, or without a window.
        self.largest = _HEAVIER * weights + table.widest[owner]
        # A matrix that lies in main memory is sent to a GPU for prompts, with the others of its layer after it.
        self.sent = _LARGEST_MATRIX * weights
        tokens = table.workload.ubatch_tokens
        steps = [largest_step(table.workload, context) for context in table.contexts]
        bytes_a_cell = 4.0 if table.workload.flash_attention else 24.0
        masks = np.array([bytes_a_cell * step.tokens * cells_of(step.context_tokens) for step in steps])
        self.inputs = (20.0 * tokens * table.widths[owner][:, None] + masks) * 9 / 8 + UNSURE_INPUTS

    def _compute(self, copies: int) -> Any:
        """The most that a device may compute with, as `LlamaCpp` bounds it where no graph was recorded."""
        alone = self.table.computes[self.table.owner]
        sure = 1 + self.table.unsure[self.table.owner][:, None]
        widened = 2 * WIDENED * self.table.widest[self.table.owner] if self.table.workload.has_quantized_cache else 0.0
        return alone * sure + copies * self.inputs + UNSURE_BYTES + widened

    def _filled(self, fixed: Any) -> Any:
        """The largest share of a device that is taken by what each has, and by shares of layers being whole ones."""
        import numpy as np

        uneven = self.largest * min(1.0, (len(self.devices) - 1) / 2)
        return np.max(
            [
                (fixed + uneven + device_overhead(device)) / room
                for device, room in zip(self.devices, self.rooms, strict=True)
            ],
            axis=0,
        )

    def _placed(self, on_devices: Any, fixed: Any, on_host: Any, read: Any) -> Places:
        """With so much on all devices together, on each of them, and in main memory."""
        import numpy as np

        share = on_devices / self.room + self._filled(fixed)
        overhead = sum(device_overhead(device) for device in self.devices)
        need = on_devices + fixed * len(self.devices) + overhead + on_host
        if self.budget is not None:
            share = np.maximum(share, (need if self.is_unified else on_host) / self.budget)
        else:
            share = np.where(read < 1, np.inf, share)
        return Places(need, share, read, np.full_like(need, len(self.devices)))

    def whole(self) -> Places:
        """Everything on them."""
        import numpy as np

        # With several, inputs are kept for several steps (`Placement.pipelined`).
        copies = COPIES if len(self.devices) > 1 else 1
        fixed = self._compute(copies) + self.table.besides[self.table.owner]
        everything = np.ones_like(self.moved)
        on_host = self.table.embedding + self.table.host_bytes + copies * self.inputs
        return self._placed(self.moved, fixed, on_host, everything)

    def may_hold_all(self) -> Any:
        """Whether they could hold everything, if they computed with as little as any model was seen to."""
        least = _LEAST_COMPUTED * self.table.computes[self.table.owner] + min(map(device_overhead, self.devices))
        return self.moved + least * len(self.devices) <= self.room

    def in_parts(self, most: float) -> list[Places]:
        """With the fewest experts, or the fewest layers, in main memory so that such a share of them is taken."""
        import numpy as np

        table, blocks = self.table, self.blocks
        fixed = self._compute(1) + table.besides[table.owner] + self.sent
        beside = table.embedding + table.host_bytes + self._compute(1)
        found = []
        if table.mixtures.any():
            each = table.experts / blocks
            room = (most - self._filled(fixed)) * self.room
            stay = np.ceil(np.maximum(self.moved - room, 1.0) / np.maximum(each, 1.0))
            on_host = np.minimum(stay + 1, blocks)
            read = 1 - np.minimum(1.0, on_host / blocks * table.experts * table.used / table.active)
            placed = self._placed(
                self.moved - stay * each, fixed, beside + np.minimum(_HEAVIER * on_host * each, table.experts),
                np.minimum(read, _LESS_THAN_ALL),
            )  # fmt: skip
            placed.share = np.where((stay <= blocks) & (table.experts > 0), placed.share, np.inf)
            found.append(placed)
        # For prompts a GPU attends for layers that the processor has, with their caches sent to it.
        fixed = fixed + 2 * table.widest[table.owner]
        room = (most - self._filled(fixed)) * self.room
        layers = np.clip(np.floor((room - self.output) / self.layer), 0, blocks - 1)
        placed = self._placed(
            self.output + layers * self.layer, fixed, beside + (blocks - layers) * self.layer + self.largest,
            layers / blocks,
        )  # fmt: skip
        placed.share = np.where(layers >= 1, placed.share, np.inf)
        found.append(placed)
        return found
