"""The search for the best placement of one model on one machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import NamedTuple

from weighbridge.errors import BadModelFile
from weighbridge.machine import Machine

from .data_sheets import peak_bandwidth
from .halving import first_enough
from .llama_cpp import LlamaCpp
from .memory import DeviceNeed
from .placement import Placement
from .plan import COMFORTABLE
from .workload import Workload

# Bytes a second, for comparing places of which none is known.
_SLOW = 10e9


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be taken: of main memory (None where it is not known), and of each device."""

    host: int | None
    devices: tuple[int, ...]
    unified: frozenset[int]
    """Devices whose memory is main memory."""

    def of(self, index: int | None) -> int | None:
        """Bytes of a device, or of main memory (None)."""
        return self.host if index is None else self.devices[index]


class Tried(NamedTuple):
    """One placement, what it takes, and the largest share of a budget that this is."""

    placement: Placement
    needs: tuple[DeviceNeed, ...]
    share: float


@dataclass(slots=True)
class Search:
    """Tries placements of one model on one machine."""

    model: LlamaCpp
    machine: Machine
    budget: Budget
    use_devices: bool
    _near: dict[int, list[int | None]] = field(default_factory=dict)
    """For a device alone, how many experts and how many layers were left to the processor when it was last asked."""
    _unknown: BadModelFile | None = None
    """Why a placement on devices was left out: what they would compute with is not known."""

    def needs(self, placement: Placement, workload: Workload, context: int) -> tuple[DeviceNeed, ...]:
        """What each device must hold."""
        found = self.model.on_devices(self.machine, workload, context, placement)
        layers = (*placement.layers, placement.output)
        return tuple(
            DeviceNeed(
                "main memory" if index is None else self.machine.devices[index].name,
                index,
                need,
                self.budget.of(index),
                layers.count(index),
            )
            for index, need in found.items()
        )

    @property
    def left_out(self) -> bool:
        """Whether a placement was left out since what it takes is not known."""
        return self._unknown is not None

    def _known_needs(self, placement: Placement, workload: Workload, context: int) -> tuple[DeviceNeed, ...]:
        """What each device must hold; empty where devices take part and what they compute with is not known."""
        try:
            return self.needs(placement, workload, context)
        except BadModelFile as error:
            if not placement.devices:
                raise
            self._unknown = error
            return ()

    def share(self, placement: Placement, needs: Sequence[DeviceNeed]) -> float:
        """The largest share of a budget that is taken; over 1 it does not fit. Infinite where layers or experts would
        lie in main memory of which nobody knows how much there is."""
        worst, together = 0.0, 0
        on_host = any(need.index is None for need in needs)
        if on_host and self.budget.host is None and (None in placement.layers or placement.experts_on_host):
            return inf
        for need in needs:
            total = need.memory.total
            if need.index is None or need.index in self.budget.unified:
                together += total
            if need.available_bytes is not None:
                worst = max(worst, total / max(1, need.available_bytes))
        # A device without memory of its own takes from the same that the processor does.
        if self.budget.host is not None:
            worst = max(worst, together / max(1, self.budget.host))
        return worst

    def device_sets(self) -> list[list[int]]:
        """The fastest device, the two fastest, and so on."""
        if not self.use_devices:
            return []
        by_speed = sorted(
            range(len(self.machine.devices)),
            key=lambda index: -(figure.value if (figure := self.machine.devices[index].bandwidth) else 0.0),
        )
        return [sorted(by_speed[:taken]) for taken in range(1, len(by_speed) + 1)]

    def in_parts(self, devices: Sequence[int], workload: Workload, context: int, most: float) -> list[Placement]:
        """The fewest experts that must stay in main memory, and the fewest layers that must stay with the processor, so
        that at most such a share of the devices is taken."""
        count = len(self.model.facts.layers)

        def fits(placement: Placement) -> bool:
            if not placement.devices:
                return True
            held = self.model.held_on_devices(self.machine, workload, context, placement)
            if any(
                index is not None and need.total > most * self.budget.devices[index] for index, need in held.items()
            ):
                return False
            needs = self._known_needs(placement, workload, context)
            on_devices = [need for need in needs if need.index is not None]
            return bool(needs) and self.share(placement, on_devices) <= most

        found: list[Placement] = []
        # More of them need less of a device, and the last answer is mostly near. Of several devices it is nearly so:
        # there the way to an answer must not depend on what was asked before.
        near: list[int | None] = [None, None]
        if len(devices) == 1:
            near = self._near.setdefault(devices[0], near)
        if any(self.model.weights.expert_bytes):
            fewest = first_enough(lambda stay: fits(self._spread(devices, 0, stay, workload, context)), count, near[0])
            if fewest is not None:
                near[0] = fewest
                found.append(self._spread(devices, 0, fewest, workload, context))
        left = first_enough(lambda first: fits(self._spread(devices, first, 0, workload, context)), count, near[1])
        if left is not None and left < count:
            near[1] = left
            found.append(self._spread(devices, left, 0, workload, context))
        return found

    def _spread(
        self, devices: Sequence[int], first: int, experts_on_host: int, workload: Workload, context: int
    ) -> Placement:
        """The layers from `first` on, shared among the devices by what each can hold."""
        model, count = self.model, len(self.model.facts.layers)
        cache_of, state_of = model.cache_by_layer(workload, model.step(workload, context))
        experts = [0] * experts_on_host + model.weights.expert_bytes[experts_on_host:]
        weights = list(map(sum, zip(model.weights.layer_bytes, experts, cache_of, state_of, strict=True)))[first:]
        output = model.weights.output_bytes + model.weights.tied_output_bytes
        room = [self.budget.devices[index] for index in devices]
        total, everything = sum(room), sum(weights) + output
        layers: list[int | None] = [None] * first
        place, filled = 0, 0.0
        for size in weights:
            # Each takes its part of the whole, as llama.cpp splits by free memory.
            while place < len(devices) - 1 and filled + size / 2 > everything * sum(room[: place + 1]) / max(1, total):
                place += 1
            layers.append(devices[place])
            filled += size
        return Placement(tuple(layers), devices[-1] if first < count else None, experts_on_host)

    def _seconds(self, placement: Placement) -> float:
        """Seconds a token by bandwidth alone, for comparing placements; what is not known counts as slow."""
        routed = self.routed_active
        total = 0.0
        for number, index in enumerate(placement.layers):
            on_host = number < placement.experts_on_host
            dense = self.model.weights.layer_bytes[number] + (0.0 if on_host else routed[number])
            total += dense / self._bandwidth(index)
            total += routed[number] / self._bandwidth(None) if on_host else 0.0
        return total + (self.model.weights.output_bytes + self.model.weights.tied_output_bytes) / self._bandwidth(
            placement.output
        )

    @property
    def routed_active(self) -> list[float]:
        """Bytes of routed experts that one token reads, by layer."""
        experts = self.model.facts.experts
        share = experts.used / experts.total if experts else 1.0
        return [size * share for size in self.model.weights.expert_bytes]

    def _bandwidth(self, index: int | None) -> float:
        figure = peak_bandwidth(self.machine, index)
        return figure.value if figure and figure.value > 0 else _SLOW

    def best(self, workload: Workload, context: int) -> Tried:
        """The fastest placement that fits, or the one that comes nearest to fitting.

        First everything on as few devices as hold it with room to spare, else as hold it at all; then with experts or
        the first layers left to the processor, or all, again with room to spare or else without.
        """
        tried: list[Tried] = []
        for devices in self.device_sets():
            tried.append(self.try_spread(devices, 0, 0, workload, context))
            if tried[-1].share <= COMFORTABLE:
                return tried[-1]
        for each in tried:
            if each.share <= 1:
                return each
        alone = self.alone
        for most in (COMFORTABLE, 1.0):
            found = [
                placement
                for devices in self.device_sets()
                for placement in self.in_parts(devices, workload, context, most)
            ]
            for placement in [*sorted(found, key=self._seconds), alone]:
                tried.append(self.try_at(placement, workload, context))
                if tried[-1].share <= most:
                    return tried[-1]
        if self._unknown is not None:
            # One of those that were left out might fit.
            raise self._unknown
        return min(tried, key=lambda each: each.share)

    def holds(self, workload: Workload, context: int, most: float) -> bool:
        """Whether a placement takes no more than such a share."""
        return self.is_possible(workload, context, most) and self.best(workload, context).share <= most

    def try_spread(
        self, devices: Sequence[int], first: int, experts_on_host: int, workload: Workload, context: int
    ) -> Tried:
        """The layers shared among the devices by what each can hold; where whole layers make that too much for one of
        them, some go to the next."""
        tried = self.try_at(self._spread(devices, first, experts_on_host, workload, context), workload, context)
        while tried.needs and tried.share > 1 and len(devices) > 1:
            found = self._evened(tried, workload, context)
            if found is None:
                break
            tried = found
        return tried

    def _evened(self, tried: Tried, workload: Workload, context: int) -> Tried | None:
        """With one layer moved from the fullest device to one beside it, where that is better."""
        on_devices = [need for need in tried.needs if need.index is not None]
        if sum(need.memory.total for need in on_devices) > sum(need.available_bytes or 0 for need in on_devices):
            return None
        fullest = max(on_devices, key=lambda need: need.memory.total / max(1, need.available_bytes or 0)).index
        layers = tried.placement.layers
        places = [place for place, _, _ in tried.placement.runs]
        if fullest not in places:
            return None
        _, start, end = tried.placement.runs[places.index(fullest)]
        moved = []
        if start and layers[start - 1] is not None:
            moved.append((*layers[:start], layers[start - 1], *layers[start + 1 :]))
        if end < len(layers):
            moved.append((*layers[: end - 1], layers[end], *layers[end:]))
        better = [self.try_at(replace(tried.placement, layers=each), workload, context) for each in moved]
        return min((each for each in better if each.share < tried.share), key=lambda each: each.share, default=None)

    def try_at(self, placement: Placement, workload: Workload, context: int) -> Tried:
        """What a placement takes; an infinite share of what there is where that is not known."""
        needs = self._known_needs(placement, workload, context)
        return Tried(placement, needs, self.share(placement, needs) if needs else inf)

    def is_possible(self, workload: Workload, context: int, most: float) -> bool:
        """Whether all memory together holds weights and caches: without that no placement needs to be looked at."""
        caches = sum(self.model.cache_bytes(workload, self.model.step(workload, context)))
        return self.model.weights.least_bytes + caches <= most * self.everything

    @property
    def everything(self) -> int:
        """What may be taken of all places together."""
        devices = enumerate(self.budget.devices if self.use_devices else ())
        if self.budget.host is None:
            return sum(room for _, room in devices)
        return self.budget.host + sum(room for index, room in devices if index not in self.budget.unified)

    @property
    def alone(self) -> Placement:
        """Everything on the processor."""
        return Placement((None,) * len(self.model.facts.layers))


def budget_of(machine: Machine, reserved: Mapping[int | None, int]) -> Budget:
    """What is free on a machine beside what others hold: `reserved` bytes by device, of main memory under None."""
    unified = frozenset(index for index, device in enumerate(machine.devices) if device.unified)
    # What others hold on a device without memory of its own is gone from main memory too.
    gone = sum(reserved.get(index, 0) for index in (None, *unified))
    host = None if machine.memory is None else max(0, machine.memory.available_bytes - gone)
    free = tuple(
        max(0, device.memory_free_bytes - reserved.get(index, 0)) for index, device in enumerate(machine.devices)
    )
    return Budget(host, free, unified)
