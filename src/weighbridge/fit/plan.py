"""`make_plan(facts, machine, workload)`: where each part of a model goes, what it takes, and whether that is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import reduce
from math import inf
from operator import add
from typing import NamedTuple

from weighbridge.errors import BadModelFile, DoesNotFit
from weighbridge.facts import ModelFacts
from weighbridge.figures import Basis
from weighbridge.machine import Machine
from weighbridge.sizes import show_bytes

from .calibration import Calibration
from .costs import Share
from .data_sheets import peak_bandwidth
from .halving import first_enough
from .llama_cpp import LlamaCpp, check_cache_types
from .memory import DeviceNeed, MemoryNeed
from .placement import Placement
from .speed import Speed, estimate
from .steps import engine_version
from .touched import touched
from .workload import Workload

# Below this share of what is available a plan fits; between it and all of it, it is tight.
COMFORTABLE = 0.9
# Measured on two cores with a 2 MB model: 1 thread 8,000 tokens/s, 2 threads 1,000 to 2,300.
_SMALL_BYTES = 32 << 20
_CELLS_STEP = 256
# Bytes a second, for comparing places of which none is known.
_SLOW = 10e9
_SMALLER_CACHES = (("q8_0", "q8_0"), ("q8_0", "q4_0"), ("q4_0", "q4_0"))


class Verdict(StrEnum):
    """Whether it runs: `fits`, `tight` (over nine tenths of what is available), or `no`."""

    FITS = "fits"
    TIGHT = "tight"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Plan:
    """How a model would be run, what that takes, and whether the machine has it."""

    facts: ModelFacts
    engine: str
    engine_version: str
    """What the figures of memory were taken from."""
    workload: Workload
    """As it would be run: with the context and the cache types that were chosen."""
    context_tokens: int
    """The context of each sequence."""
    threads: int
    embeddings: bool
    """Whether the engine also gives embeddings, which makes every token of a prompt an output."""
    memory: MemoryNeed
    """Of all devices together."""
    devices: tuple[DeviceNeed, ...]
    """Main memory first, then each GPU that takes part."""
    placement: Placement | None
    verdict: Verdict
    largest_context: int | None
    """The longest context of each sequence that fits in any place, at most the model's own; None: none does."""
    speed: Speed | None
    remedies: tuple[str, ...] = ()
    """What would make it fit, or fit with room to spare."""
    basis: Basis = Basis.COMPUTED
    notes: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    """Of the engine's command line, where it is another program."""
    unified: frozenset[int] = frozenset()
    """Devices whose memory is main memory."""
    largest_context_as_placed: int | None = None
    """The longest that fits where the parts are now; a longer one may be slower. None: none does, or nobody asked."""

    @property
    def available_bytes(self) -> int:
        """What the devices that take part have, together; memory that two of them share is counted once."""
        own = [need for need in self.devices if need.index not in self.unified]
        return sum(need.available_bytes or 0 for need in own or self.devices)

    def ensure_fits(self) -> None:
        """DoesNotFit with the sum, unless the verdict is `fits` or `tight`."""
        if self.verdict is not Verdict.NO:
            return
        need = self.memory
        parts = f"weights {show_bytes(need.weights)} + cache {show_bytes(need.kv_cache + need.recurrent_state)}"
        rest = need.total - need.weights - need.kv_cache - need.recurrent_state
        hint = "choose a smaller quantization, or end other programs"
        if self.remedies:
            hint = "; or ".join(self.remedies)
        elif self.largest_context:
            hint = f"it fits at {self.largest_context:,} tokens: --context {self.largest_context}"
        raise DoesNotFit(
            f"{self.facts.name} needs {show_bytes(need.total)} at {self.context_tokens:,} tokens x "
            f"{self.workload.parallel} ({parts} + buffers {show_bytes(rest)}), "
            f"{show_bytes(self.available_bytes)} are available",
            hint=hint,
        )


@dataclass(frozen=True, slots=True)
class _Budget:
    """What may be taken: of main memory (None where it is not known), and of each device."""

    host: int | None
    devices: tuple[int, ...]
    unified: frozenset[int]
    """Devices whose memory is main memory."""

    def of(self, index: int | None) -> int | None:
        return self.host if index is None else self.devices[index]


class _Tried(NamedTuple):
    """One placement, what it takes, and the largest share of a budget that this is."""

    placement: Placement
    needs: tuple[DeviceNeed, ...]
    share: float


@dataclass(slots=True)
class _Search:
    """The search for the best placement of one model on one machine."""

    model: LlamaCpp
    machine: Machine
    budget: _Budget
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

    def _device_sets(self) -> list[list[int]]:
        """The fastest device, the two fastest, and so on."""
        if not self.use_devices:
            return []
        by_speed = sorted(
            range(len(self.machine.devices)),
            key=lambda index: -(figure.value if (figure := self.machine.devices[index].bandwidth) else 0.0),
        )
        return [sorted(by_speed[:taken]) for taken in range(1, len(by_speed) + 1)]

    def _in_parts(self, devices: Sequence[int], workload: Workload, context: int, most: float) -> list[Placement]:
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
        if any(self.model.expert_bytes):
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
        experts = [0] * experts_on_host + model.expert_bytes[experts_on_host:]
        weights = list(map(sum, zip(model.layer_bytes, experts, cache_of, state_of, strict=True)))[first:]
        output = model.output_bytes + model.tied_output_bytes
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
            dense = self.model.layer_bytes[number] + (0.0 if on_host else routed[number])
            total += dense / self._bandwidth(index)
            total += routed[number] / self._bandwidth(None) if on_host else 0.0
        return total + (self.model.output_bytes + self.model.tied_output_bytes) / self._bandwidth(placement.output)

    @property
    def routed_active(self) -> list[float]:
        """Bytes of routed experts that one token reads, by layer."""
        experts = self.model.facts.experts
        share = experts.used / experts.total if experts else 1.0
        return [size * share for size in self.model.expert_bytes]

    def _bandwidth(self, index: int | None) -> float:
        figure = peak_bandwidth(self.machine, index)
        return figure.value if figure and figure.value > 0 else _SLOW

    def best(self, workload: Workload, context: int) -> _Tried:
        """The fastest placement that fits, or the one that comes nearest to fitting.

        First everything on as few devices as hold it with room to spare, else as hold it at all; then with experts or
        the first layers left to the processor, or all, again with room to spare or else without.
        """
        tried: list[_Tried] = []
        for devices in self._device_sets():
            tried.append(self._try_spread(devices, 0, 0, workload, context))
            if tried[-1].share <= COMFORTABLE:
                return tried[-1]
        for each in tried:
            if each.share <= 1:
                return each
        alone = self._alone
        for most in (COMFORTABLE, 1.0):
            found = [
                placement
                for devices in self._device_sets()
                for placement in self._in_parts(devices, workload, context, most)
            ]
            for placement in [*sorted(found, key=self._seconds), alone]:
                tried.append(self._try(placement, workload, context))
                if tried[-1].share <= most:
                    return tried[-1]
        if self._unknown is not None:
            # One of those that were left out might fit.
            raise self._unknown
        return min(tried, key=lambda each: each.share)

    def holds(self, workload: Workload, context: int, most: float) -> bool:
        """Whether a placement takes no more than such a share."""
        return self.is_possible(workload, context, most) and self.best(workload, context).share <= most

    def _try_spread(
        self, devices: Sequence[int], first: int, experts_on_host: int, workload: Workload, context: int
    ) -> _Tried:
        """The layers shared among the devices by what each can hold; where whole layers make that too much for one of
        them, some go to the next."""
        tried = self._try(self._spread(devices, first, experts_on_host, workload, context), workload, context)
        while tried.needs and tried.share > 1 and len(devices) > 1:
            found = self._evened(tried, workload, context)
            if found is None:
                break
            tried = found
        return tried

    def _evened(self, tried: _Tried, workload: Workload, context: int) -> _Tried | None:
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
        better = [self._try(replace(tried.placement, layers=each), workload, context) for each in moved]
        return min((each for each in better if each.share < tried.share), key=lambda each: each.share, default=None)

    def _try(self, placement: Placement, workload: Workload, context: int) -> _Tried:
        needs = self._known_needs(placement, workload, context)
        return _Tried(placement, needs, self.share(placement, needs) if needs else inf)

    def is_possible(self, workload: Workload, context: int, most: float) -> bool:
        """Whether all memory together holds weights and caches: without that no placement needs to be looked at."""
        caches = sum(self.model.cache_bytes(workload, self.model.step(workload, context)))
        return self.model.layers_bytes + caches <= most * self._everything

    @property
    def _everything(self) -> int:
        """What may be taken of all places together."""
        devices = enumerate(self.budget.devices if self.use_devices else ())
        if self.budget.host is None:
            return sum(room for _, room in devices)
        return self.budget.host + sum(room for index, room in devices if index not in self.budget.unified)

    @property
    def _alone(self) -> Placement:
        return Placement((None,) * len(self.model.facts.layers))

    def _anywhere(self, workload: Workload, context: int) -> tuple[_Tried | None, int]:
        """A placement that fits, of those that `best` looks at, the first one found; or by how many bytes the one that
        comes nearest is too large."""
        model, missing = self.model, []

        def fits(tried: _Tried) -> _Tried | None:
            missing.append(self._missing(tried))
            return tried if tried.share <= 1 else None

        if found := fits(self._try(self._alone, workload, context)):
            return found, 0
        if not self.is_possible(workload, context, 1.0):
            caches = sum(model.cache_bytes(workload, model.step(workload, context)))
            return None, model.layers_bytes + caches - self._everything
        # Most devices hold most.
        for devices in reversed(self._device_sets()):
            if found := fits(self._try_spread(devices, 0, 0, workload, context)):
                return found, 0
            # Of several, more that stays in main memory may be shared out better.
            for share in (1.0,) if len(devices) < 2 else (1.0, COMFORTABLE):
                for placement in self._in_parts(devices, workload, context, share):
                    if found := fits(self._try(placement, workload, context)):
                        return found, 0
        return None, min(missing)

    def _missing(self, tried: _Tried) -> int:
        """By how many bytes budgets are too small."""
        if not tried.needs:
            return self._everything
        over, shared = 0, 0
        for need in tried.needs:
            if need.index is None or need.index in self.budget.unified:
                shared += need.memory.total
            else:
                over += max(0, need.memory.total - self.budget.devices[need.index])
        return over + max(0, shared - (self.budget.host or 0))

    def largest_context(self, tried: _Tried, as_placed: int | None, workload: Workload) -> int | None:
        """The longest context for which any placement fits, where `as_placed` is the longest for this one.

        Where another is found, its own longest context is found by `as_placed`; the next step tells whether yet another
        holds more. What is free, or missing, over what a step takes tells where to look.
        """
        most = self.model.facts.context_length or 8192
        asked = workload.context_tokens or 0
        known, highest = (asked, most) if tried.share <= 1 else (0, min(asked, most))
        if highest == most and self._anywhere(workload, most)[0]:
            return most
        if as_placed and self._finds(tried.placement, workload, as_placed):
            known = max(known, min(as_placed, highest - 1))
        low, highest = min(known, most) // _CELLS_STEP, -(-highest // _CELLS_STEP)
        high, placement = highest, tried.placement
        a_step = (self._total(placement, workload, most) - self._total(placement, workload, _CELLS_STEP)) / highest
        free = self._everything - self._total(placement, workload, max(1, low) * _CELLS_STEP)
        guess, was_next = low + int(free / max(1.0, a_step)), False
        while high - low > 1:
            guess = min(max(guess, low + 1), high - 1)
            is_next = guess == low + 1
            found, missing = self._anywhere(workload, guess * _CELLS_STEP)
            if found is None:
                high = guess
                guess = high - max(1, -int(-missing // max(1.0, a_step)))
                continue
            longest = self.as_placed(found.placement, workload, guess * _CELLS_STEP, found.share) or 0
            low = guess
            if self._finds(found.placement, workload, longest):
                low = max(low, longest // _CELLS_STEP)
            if high == highest:
                free = self._everything - self._total(found.placement, workload, low * _CELLS_STEP)
                guess = low + int(free / max(1.0, a_step))
            else:
                # Mostly nothing more fits.
                guess = (low + high) // 2 if is_next and was_next else low + 1
            was_next = is_next
        return low * _CELLS_STEP or None

    def _finds(self, placement: Placement, workload: Workload, context: int) -> bool:
        """Whether the search finds what fits there, as it does where layers are not shared out by their caches too."""
        return len(placement.devices) < 2 or self._anywhere(workload, context)[0] is not None

    def _total(self, placement: Placement, workload: Workload, context: int) -> int:
        """Bytes of all places together."""
        return sum(need.memory.total for need in self.needs(placement, workload, context))

    def as_placed(self, placement: Placement, workload: Workload, context: int, share: float) -> int | None:
        """The longest context that fits so placed, of which is known what share is taken at one context. The need
        grows with it, nearly in a straight line, so the line through what fits and what does not tells where to look
        next."""
        most = self.model.facts.context_length or 8192
        highest = -(-most // _CELLS_STEP)

        def over(context: int) -> float:
            return self._try(placement, workload, context).share - 1

        at_most = share - 1 if context == most else over(most)
        if at_most <= 0:
            return most
        high, above = highest, at_most
        if share <= 1 and _CELLS_STEP <= context < most:
            low, below = context // _CELLS_STEP, share - 1
        else:
            least = min(_CELLS_STEP, most)
            low, below = least // _CELLS_STEP, over(least)
            if below > 0:
                return None
            if context < most and context % _CELLS_STEP == 0:
                high, above = context // _CELLS_STEP, share - 1
        while high - low > 1:
            guess = low + int((high - low) * below / (below - above))
            guess = min(max(guess, low + 1), high - 1)
            found = over(guess * _CELLS_STEP)
            if found <= 0:
                # Often the line is exact: then the next step no longer fits.
                if guess + 1 < high and (next_one := over((guess + 1) * _CELLS_STEP)) > 0:
                    return guess * _CELLS_STEP
                low, below = (guess, found) if guess + 1 >= high else (guess + 1, next_one)
            else:
                high, above = guess, found
        return low * _CELLS_STEP


def threads_of(facts: ModelFacts, machine: Machine) -> int:
    """One thread a core, and a single one for a model so small that waking a second costs more than it saves."""
    if (facts.active_weights_bytes or 0) < _SMALL_BYTES:
        return 1
    usable = machine.processor.usable_threads or machine.processor.physical_cores or 1
    return max(1, min(machine.processor.physical_cores or usable, usable))


def verdict_of(share: float) -> Verdict:
    """What the largest share of a budget that is taken amounts to."""
    if share <= COMFORTABLE:
        return Verdict.FITS
    return Verdict.TIGHT if share <= 1 else Verdict.NO


def _budget(machine: Machine, reserved: Mapping[int | None, int]) -> _Budget:
    unified = frozenset(index for index, device in enumerate(machine.devices) if device.unified)
    # What others hold on a device without memory of its own is gone from main memory too.
    gone = sum(reserved.get(index, 0) for index in (None, *unified))
    host = None if machine.memory is None else max(0, machine.memory.available_bytes - gone)
    free = tuple(
        max(0, device.memory_free_bytes - reserved.get(index, 0)) for index, device in enumerate(machine.devices)
    )
    return _Budget(host, free, unified)


def make_plan(
    facts: ModelFacts | LlamaCpp,
    machine: Machine,
    workload: Workload,
    *,
    reserved_bytes: int = 0,
    reserved: Mapping[int | None, int] | None = None,
    use_devices: bool = True,
    calibration: Calibration | None = None,
    brief: bool = False,
) -> Plan:
    """The plan for one model in GGUF by llama.cpp.

    `reserved_bytes` of main memory are promised to other models and count as gone; `reserved` says the same of each
    device by its index. Without `use_devices` GPUs are left alone, as by the embedded engine, which has none. A `brief`
    plan leaves out the largest contexts and the remedies, which take longest to find.

    Raises BadModelFile for what llama.cpp does not run, and for graphs whose memory is not known.
    """
    check_cache_types(workload)
    model = facts if isinstance(facts, LlamaCpp) else LlamaCpp(facts)
    facts = model.facts
    budget = _budget(machine, {None: reserved_bytes, **(reserved or {})})
    search = _Search(model, machine, budget, use_devices)
    context = workload.context_of(facts)
    chosen = replace(workload, context_tokens=context)
    tried = search.best(chosen, context)
    placement, needs, share = tried
    verdict = verdict_of(share)
    as_placed = None if brief else search.as_placed(placement, chosen, context, share)
    largest = None if brief else search.largest_context(tried, as_placed, chosen)
    if as_placed is not None:
        # On several GPUs layers are shared out anew for another context; what is named is what the search finds then.
        as_placed = min(as_placed, largest or as_placed)
    remedies = () if brief or verdict is Verdict.FITS else tuple(_remedies(search, tried, chosen, context, largest))
    threads = threads_of(facts, machine)
    return Plan(
        facts=facts,
        engine="llama_cpp",
        engine_version=engine_version(),
        workload=chosen,
        context_tokens=context,
        threads=threads,
        embeddings=model.gives_embeddings(chosen),
        memory=reduce(add, (need.memory for need in needs), MemoryNeed()),
        devices=needs,
        placement=placement,
        verdict=verdict,
        largest_context=largest,
        speed=_speed(model, machine, placement, chosen, calibration, threads),
        remedies=remedies,
        notes=tuple(_notes(model, machine, placement, context, unknown=search.left_out)),
        unified=budget.unified,
        largest_context_as_placed=as_placed,
    )


def _speed(
    model: LlamaCpp,
    machine: Machine,
    placement: Placement,
    workload: Workload,
    calibration: Calibration | None,
    threads: int,
) -> Speed | None:
    """How fast the plan is; None where the files do not tell what a token reads."""
    found = touched(model.facts)
    if found is None:
        return None
    count, routed = len(placement.layers), sum(model.expert_bytes) or 1
    shares = []
    for index in dict.fromkeys((*placement.layers, placement.output)):
        mine = [number for number, place in enumerate(placement.layers) if place == index]
        experts = sum(
            model.expert_bytes[number]
            for number in range(count)
            if (None if number < placement.experts_on_host else placement.layers[number]) == index
        )
        shares.append(Share(index, len(mine) / count, experts / routed, placement.output == index))
    if placement.experts_on_host and None not in placement.layers:
        on_host = sum(model.expert_bytes[: placement.experts_on_host])
        shares.append(Share(None, 0.0, on_host / routed, output=False))
    return estimate(found, machine, shares, workload, calibration, threads=threads)


def _remedies(search: _Search, tried: _Tried, workload: Workload, context: int, largest: int | None) -> list[str]:
    """What would make it fit, the least change first; or, where it does, fit with room to spare."""
    found = []
    _, needs, share = tried
    most, fits = (1.0, "fits") if share > 1 else (COMFORTABLE, "fits with room to spare")
    if share > 1 and largest and largest < context:
        found.append(f"it fits at {largest:,} tokens: --context {largest}")
    if search.budget.host is None and share > 1:
        found.append('tell how much main memory there is: --machine "...,ram=32GiB"')
    if workload.parallel > 1:
        fewer = replace(workload, parallel=1)
        if search.holds(fewer, context, most):
            found.append(f"one request at once {fits} at {context:,} tokens: --parallel 1")
    for keys, values in _SMALLER_CACHES:
        if not workload.flash_attention or (workload.cache_type_k, workload.cache_type_v) != (None, None):
            break
        smaller = replace(workload, cache_type_k=keys, cache_type_v=values)
        if search.holds(smaller, context, most):
            found.append(
                f"a cache of {keys} keys and {values} values {fits} at {context:,} tokens: --cache-type-k {keys} "
                f"--cache-type-v {values}"
            )
            break
    missing = sum(
        max(0, need.memory.total - need.available_bytes) for need in needs if need.available_bytes is not None
    )
    weights = search.model.facts.weights_bytes or 0
    if missing and weights > missing:
        found.append(
            f"a quantization of at most {show_bytes(weights - missing)} would fit (this one is {show_bytes(weights)})"
        )
    return found


def _notes(model: LlamaCpp, machine: Machine, placement: Placement, context: int, *, unknown: bool) -> list[str]:
    notes = []
    if unknown:
        notes.append(
            f"what GPUs compute with is not known for some places of {model.facts.architecture}'s layers: those were "
            "left out, and a faster place may fit"
        )
    made_for = model.facts.context_length
    if made_for and context > made_for:
        notes.append(f"the model was made for {made_for:,} tokens: past them its answers are not to be relied on")
    if placement.devices:
        notes.append(
            "memory on GPUs is computed by the rules that the processor's buffers were checked against; "
            "what a driver keeps for itself is assumed"
        )
    if model.vision_bytes:
        notes.append("the vision part's weights are counted; what it computes with is not known and is not in the sum")
    if machine.memory is None:
        notes.append("main memory is not described: inputs and scores there are not held against anything")
    return notes


def plan_set(
    models: Sequence[tuple[ModelFacts, Workload]],
    machine: Machine,
    *,
    use_devices: bool = True,
    calibration: Calibration | None = None,
) -> tuple[Plan, ...]:
    """Plans for several models that share a machine, in the order given: each as it is with the others loaded.

    The order in which they choose their places matters: each model is tried first, and the set is taken in which most
    fit, and of these the one that answers fastest.
    """
    prepared = [LlamaCpp(facts) for facts, _ in models]
    best: tuple[tuple[int, float], tuple[Plan, ...]] | None = None
    indices = range(len(models))

    def planned(index: int, others: Iterable[Plan]) -> Plan:
        """The plan of one with these others loaded."""
        held: dict[int | None, int] = {}
        for other in others:
            if other.verdict is not Verdict.NO:
                for need in other.devices:
                    held[need.index] = held.get(need.index, 0) + need.memory.total
        return make_plan(
            prepared[index], machine, models[index][1], reserved=held, use_devices=use_devices, calibration=calibration
        )

    by_size = sorted(indices, key=lambda index: -(models[index][0].weights_bytes or 0))
    for first in indices:
        order = [first, *(index for index in by_size if index != first)]
        plans: dict[int, Plan] = {}
        for index in order:
            plans[index] = planned(index, plans.values())
        fitting = sum(plan.verdict is not Verdict.NO for plan in plans.values())
        speeds = [plan.speed.decode.low for plan in plans.values() if plan.speed and plan.speed.decode]
        seconds = sum(1 / speed for speed in speeds if speed)
        key = fitting, -seconds
        if best is None or key > best[0]:
            best = key, tuple(plans[index] for index in indices)
    if best is None:
        return ()
    together = best[1]
    found = []
    for index, plan in enumerate(together):
        again = planned(index, (*together[:index], *together[index + 1 :]))
        # The verdict is that of the whole set; a place is not changed any more.
        found.append(again if again.placement == plan.placement else plan)
    return tuple(found)
