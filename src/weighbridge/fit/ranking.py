"""Which of many models fit a machine, at which quantization and context, and how fast: all pairs at once, in arrays.

The rules are those of single plans, with what only a file tells left on the safe side: second copies on processors are
as large as they could be, and a compute buffer that was never recorded is taken by a form that is larger than what was
measured. A plan for one file is more exact, and never needs more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from weighbridge.facts import Experts, Layer
from weighbridge.machine import Device, Machine

from .data_sheets import EFFICIENCIES, efficiency_of
from .fleet import fleet
from .forms import Form, label_of
from .llama_cpp import (
    UNSURE_BYTES,
    UNSURE_INPUTS,
    WIDENED,
    device_overhead,
    largest_step,
    layer_cache_bytes,
    process_overhead,
    unsure_share,
)
from .plan import COMFORTABLE
from .recordings import find
from .repacking import most_copied
from .spreading import COPIES
from .steps import Step, cells_of, rotated_of
from .touched import Touched
from .workload import Workload

# No layer's weights are more than so many times the mean's, and none of its matrices is more than this share of them.
_HEAVIER, _LARGEST_MATRIX = 1.3, 0.7
# On a GPU a step computed with no less than this share of what it does on the processor (gpt-oss, DeepSeek).
_LEAST_COMPUTED = 0.35
_TIGHT = COMFORTABLE + 1e-6
# Blocks of 32 values of 16 bits.
_F16_BLOCK_BYTES = 64
# A mixture with experts in main memory is not all on GPUs, however little it reads there.
_LESS_THAN_ALL = 1 - 1e-9


@dataclass(frozen=True, slots=True)
class Quantized:
    """One quantization of a model: bytes of its tensors."""

    recipe: str
    weights_bytes: int
    active_bytes: int
    """What an engine reads for one token, with the output and without looked-up embeddings."""
    embedding_bytes: int
    """What stays in main memory."""
    output_bytes: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model as far as fitting goes, from a catalogue or from facts."""

    name: str
    architecture: str
    """As GGUF files call it."""
    runs: tuple[tuple[int, Layer], ...]
    """What layers keep of the tokens, in order: (how many alike follow each other, the layer)."""
    dimensions: Mapping[str, int | tuple[int, ...]]
    embedding_length: int
    vocabulary_size: int
    context_length: int
    experts: Experts | None
    is_tied: bool
    """Whether files have no output matrix, since the embedding serves as one."""
    touched: Touched
    """What tokens cost, for one of the quantizations; its bytes are scaled to the others."""
    quantizations: tuple[Quantized, ...]

    @property
    def layers(self) -> tuple[Layer, ...]:
        """One entry a layer."""
        return tuple(layer for count, layer in self.runs for _ in range(count))

    @property
    def form(self) -> Form:
        """What its graph depends on, as far as it is known without a file."""
        has_experts = self.experts is not None
        return Form(
            self.architecture,
            tuple(label for count, layer in self.runs for label in [label_of(layer, has_experts)] * count),
            frozenset(),
            min(self.experts.used, 2) if self.experts else 0,
            False,
        )


@dataclass(frozen=True, slots=True)
class Ranking:
    """Arrays by [row, context]: a row is one quantization of one candidate."""

    rows: tuple[tuple[int, int], ...]
    """For each row the candidate's number and the quantization's."""
    contexts: tuple[int, ...]
    need_bytes: Any
    share: Any
    """The largest share of a budget that is taken; over 1 it does not fit; infinite past a model's own context."""
    on_device: Any
    """Which share of what a token reads is on GPUs; the rest is in main memory: layers, or experts."""
    decode_low: Any
    """Tokens a second of one sequence, half of the context full; NaN where bandwidth is not known."""
    decode_high: Any

    def verdict(self, row: int, column: int) -> str:
        """`fits`, `tight` or `no`."""
        share = self.share[row, column]
        return "fits" if share <= COMFORTABLE else "tight" if share <= 1 else "no"


def _caches(runs: Sequence[tuple[int, Layer]], workload: Workload, step: Step) -> int:
    """Bytes of 16-bit caches and 32-bit states for all sequences, as `LlamaCpp.cache_bytes` has them."""
    total = 0
    streams = 1 if workload.unified_cache else workload.parallel
    # Without flash attention all values are as long as the longest; which layers get none only a file tells.
    widest = 0 if workload.flash_attention else max((layer.values for _, layer in runs), default=0)
    for count, layer in runs:
        kept = layer_cache_bytes(layer, widest or layer.values, step, *workload.cache_block_bytes)
        total += count * (streams * kept + workload.parallel * layer.state_bytes)
    return total


def _widest(runs: Sequence[tuple[int, Layer]], workload: Workload, step: Step) -> int:
    """Bytes of the largest layer's cache and state."""
    return max(_caches([(1, layer)], workload, step) for _, layer in runs)


def _beside(runs: Sequence[tuple[int, Layer]], workload: Workload, step: Step) -> int:
    """What a GPU's flash kernel keeps beside: one layer's keys and values as 16-bit ones, where the cache's are not."""
    if not workload.flash_attention or workload.cache_block_bytes == (_F16_BLOCK_BYTES, _F16_BLOCK_BYTES):
        return 0
    return _widest(runs, replace(workload, cache_type_k=None, cache_type_v=None), step)


def _compute(candidate: Candidate, form: Form, step: Step) -> int:
    """The compute buffer as recorded; where it was not, more than any recorded family of that width takes."""
    recordings = find(form, step)
    if recordings:
        try:
            return max(recording.peak(candidate, form, step) for recording in recordings)
        except KeyError:
            pass
    width, inner = candidate.embedding_length, candidate.dimensions.get("feed_forward_length", 0)
    inner = max(inner, default=0) if isinstance(inner, tuple) else inner
    live = 3 * inner + 12 * width
    if candidate.experts:
        expert = candidate.dimensions.get("expert_feed_forward_length", inner)
        expert = max(expert, default=0) if isinstance(expert, tuple) else expert
        live = max(live, candidate.experts.used * (3 * expert + 3 * width) + 12 * width)
    heads = candidate.dimensions.get("attention.head_count", 0)
    heads = max(heads, default=0) if isinstance(heads, tuple) else heads
    # Latent attention keeps every head's latent beside.
    latent = max((layer.keys for _, layer in candidate.runs if layer.keys and not layer.values), default=0)
    return 4 * step.tokens * (live + 3 * heads * latent) + 4 * step.tokens * cells_of(step.context_tokens)


@dataclass(frozen=True, slots=True)
class Table:
    """What does not depend on the machine: arrays by row, by [candidate, context], or by candidate."""

    rows: tuple[tuple[int, int], ...]
    contexts: tuple[int, ...]
    workload: Workload
    recipes: tuple[str, ...]
    owner: Any
    weights: Any
    active: Any
    embedding: Any
    output: Any
    experts: Any
    """Bytes of routed experts."""
    used: Any
    """Which share of them a token reads."""
    caches: Any
    besides: Any
    """What a GPU keeps beside a quantized cache."""
    widest: Any
    """The largest layer's cache."""
    computes: Any
    depths: Any
    attended: Any
    allowed: Any
    is_tied: Any
    """Whether the embedding is the output too."""
    host_bytes: Any
    """Of scores and of the engine's process."""
    widths: Any
    blocks: Any
    mixtures: Any
    unsure: Any
    """By candidate, which share more than the processor a device may compute with (`LlamaCpp`)."""
    vocabulary: Any
    thread_seconds: Any
    """Of one thread for one byte that is read."""


def tabulate(candidates: Sequence[Candidate], contexts: Sequence[int], workload: Workload | None = None) -> Table:
    """All that can be said before a machine is named; worth keeping where several are asked about."""
    # Imported here: single plans do without.
    import numpy as np

    workload = workload or Workload(parallel=1)
    rows = tuple((i, j) for i, candidate in enumerate(candidates) for j in range(len(candidate.quantizations)))
    chosen = [candidates[i].quantizations[j] for i, j in rows]
    caches = np.empty((len(candidates), len(contexts)))
    besides, widest, computes, depths, attended = (np.empty_like(caches) for _ in range(5))
    allowed = np.empty(caches.shape, dtype=bool)
    plain = [largest_step(workload, context) for context in contexts]
    known = _replayed(contexts, plain)
    seen: dict[Any, int] = {}
    for i, candidate in enumerate(candidates):
        allowed[i] = [context <= candidate.context_length for context in contexts]
        # Many differ in their weights alone.
        network = (candidate.architecture, candidate.runs, tuple(candidate.dimensions.items()), candidate.touched.heads)
        like = seen.setdefault(network, i)
        if like != i:
            for array in (caches, besides, widest, computes, depths, attended):
                array[i] = array[like]
            continue
        form = candidate.form
        cache = rotated_of(candidate, workload.cache_type_k, workload.cache_type_v)
        steps = [replace(step, cache=cache) for step in plain]
        # Masks make it grow in a straight line with the context, so two are replayed and the rest lie between.
        replayed = [_compute(candidate, form, steps[k]) for k in known]
        computes[i] = np.interp(contexts, [contexts[k] for k in known], replayed)
        for k, context in enumerate(contexts):
            caches[i, k] = _caches(candidate.runs, workload, steps[k])
            widest[i, k] = _widest(candidate.runs, workload, steps[k])
            besides[i, k] = _beside(candidate.runs, workload, steps[k])
            depths[i, k] = candidate.touched.cache_bytes(context // 2)
            attended[i, k] = candidate.touched.attended(context // 2)
    vocabulary = np.array([candidate.vocabulary_size for candidate in candidates], dtype=float)
    process = np.array([process_overhead(candidate.vocabulary_size) for candidate in candidates], dtype=float)
    thread = [candidate.touched.thread_seconds() / candidate.touched.active_bytes() for candidate in candidates]

    def column(name: str) -> Any:
        return np.array([getattr(each, name) for each in chosen], dtype=float)[:, None]

    # All of the experts are stored, and some of them are read.
    mixtures = [candidate.experts for candidate in candidates]
    used = np.array([each.used / each.total if each else 1.0 for each in mixtures])[[i for i, _ in rows]][:, None]
    is_tied = np.array([candidates[i].is_tied for i, _ in rows])[:, None]
    stored = column("weights_bytes") - np.where(is_tied, 0, column("embedding_bytes"))
    routed = np.where(used < 1, (stored - column("active_bytes")) / np.where(used < 1, 1 - used, 1.0), 0.0)

    return Table(
        rows=rows,
        contexts=tuple(contexts),
        workload=workload,
        recipes=tuple(each.recipe for each in chosen),
        owner=np.array([i for i, _ in rows], dtype=int),
        weights=column("weights_bytes"),
        active=column("active_bytes"),
        embedding=column("embedding_bytes"),
        output=column("output_bytes"),
        experts=np.clip(routed, 0.0, stored),
        used=used,
        caches=caches,
        besides=besides,
        widest=widest,
        computes=computes,
        depths=depths,
        attended=attended,
        allowed=allowed,
        is_tied=is_tied,
        host_bytes=(4.0 * vocabulary * workload.parallel + process)[[i for i, _ in rows]][:, None],
        widths=np.array([candidate.embedding_length for candidate in candidates], dtype=float),
        blocks=np.array([sum(count for count, _ in candidate.runs) for candidate in candidates], dtype=float),
        mixtures=np.array([each is not None for each in mixtures]),
        unsure=np.array([unsure_share(candidate.layers) for candidate in candidates]),
        vocabulary=vocabulary,
        thread_seconds=np.array(thread),
    )


def rank(
    candidates: Sequence[Candidate] | Table,
    machine: Machine,
    contexts: Sequence[int] = (),
    workload: Workload | None = None,
) -> Ranking:
    """Every quantization of every candidate at every context on one machine.

    Places are looked for as `make_plan` does: on as few GPUs as hold everything, else with experts or layers in main
    memory. All layers are taken to be alike, and one more than counted to lie wherever that takes more. Speeds are
    those of `fleet`, parts added by their bytes.
    """
    import numpy as np

    table = candidates if isinstance(candidates, Table) else tabulate(candidates, contexts, workload)
    found = _places(table, machine)
    share = np.where(table.allowed[table.owner], found.share, np.inf)
    low, high = _speeds(table, machine, found)
    return Ranking(table.rows, table.contexts, found.need, share, found.read, low, high)


@dataclass(slots=True)
class _Places:
    """Where each row goes at each context, in arrays."""

    need: Any
    share: Any
    read: Any
    """Which share of what a token reads is on GPUs."""
    devices: Any
    """On how many of the fastest GPUs."""

    def take(self, where: Any, other: _Places) -> None:
        """Go where another says, at these rows and contexts."""
        import numpy as np

        for name in self.__slots__:
            setattr(self, name, np.where(where, getattr(other, name), getattr(self, name)))


def _fastest_first(machine: Machine) -> list[Device]:
    return sorted(machine.devices, key=lambda device: -(device.bandwidth.value if device.bandwidth else 0.0))


def _places(table: Table, machine: Machine) -> _Places:
    """The choice of `Search.best`, for all rows and contexts at once."""
    import numpy as np

    alone = _on_processor(table, machine)
    devices = _fastest_first(machine)
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


def _on_processor(table: Table, machine: Machine) -> _Places:
    """Everything in main memory."""
    import numpy as np

    shares = {recipe: most_copied(machine, recipe) for recipe in set(table.recipes)}
    copied = np.array([shares[recipe] for recipe in table.recipes])[:, None]
    copies = copied * (table.weights - np.where(table.is_tied, 0, table.embedding))
    need = table.weights + copies + table.caches[table.owner] + table.computes[table.owner] + table.host_bytes
    # Layers are not put where nobody knows how much room there is.
    share = need / max(1, machine.memory.available_bytes) if machine.memory else np.full_like(need, np.inf)
    nothing = np.zeros_like(need)
    return _Places(need, share, nothing, nothing)


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

    def _placed(self, on_devices: Any, fixed: Any, on_host: Any, read: Any) -> _Places:
        """With so much on all devices together, on each of them, and in main memory."""
        import numpy as np

        share = on_devices / self.room + self._filled(fixed)
        overhead = sum(device_overhead(device) for device in self.devices)
        need = on_devices + fixed * len(self.devices) + overhead + on_host
        if self.budget is not None:
            share = np.maximum(share, (need if self.is_unified else on_host) / self.budget)
        else:
            share = np.where(read < 1, np.inf, share)
        return _Places(need, share, read, np.full_like(need, len(self.devices)))

    def whole(self) -> _Places:
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

    def in_parts(self, most: float) -> list[_Places]:
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


def _speeds(table: Table, machine: Machine, found: _Places) -> tuple[Any, Any]:
    """Tokens a second so placed: low and high."""
    import numpy as np

    common = {
        "active_bytes": table.active,
        "is_mixture": table.mixtures[table.owner][:, None],
        "cache_bytes": table.depths[table.owner],
        "attended": table.attended[table.owner],
        "block_count": table.blocks[table.owner][:, None],
        "vocabulary": table.vocabulary[table.owner][:, None],
    }
    cores = machine.processor.cores or 1
    thread = table.thread_seconds[table.owner][:, None] * table.active
    speeds = list(_fleet(machine, None, common, cores=cores, thread_seconds=thread))
    devices = _fastest_first(machine)
    of_device = {id(device): _fleet(machine, device, common) for device in devices}
    with np.errstate(divide="ignore", invalid="ignore"):
        for end in (0, 1):
            on_host = 1 / speeds[end]
            seconds = on_host
            for count in range(1, len(devices) + 1):
                taken = devices[:count]
                room = sum(device.memory_free_bytes for device in taken) or 1
                # Each computes its part of the layers, one after the other.
                on_devices = sum(device.memory_free_bytes / room / of_device[id(device)][end] for device in taken)
                mixed = np.where(found.read >= 1, on_devices, found.read * on_devices + (1 - found.read) * on_host)
                seconds = np.where(found.devices == count, mixed, seconds)
            speeds[end] = 1 / seconds
    return speeds[0], speeds[1]


def _fleet(machine: Machine, device: Device | None, common: Mapping[str, Any], **more: Any) -> tuple[Any, Any]:
    memory = machine.memory
    figure = device.bandwidth if device else memory.bandwidth if memory else None
    kind = list(EFFICIENCIES).index(efficiency_of(device))
    return fleet(**common, bandwidth=figure.value if figure else float("nan"), kind=kind, **more)


def _replayed(contexts: Sequence[int], steps: Sequence[Step]) -> list[int]:
    """Places of the contexts, in rising order, whose steps are replayed: those too short for a whole step, and the
    first and the last of the others."""
    order = sorted(range(len(contexts)), key=lambda k: contexts[k])
    most = max(step.tokens for step in steps)
    whole = [k for k in order if steps[k].tokens == most]
    return [k for k in order if k not in whole[1:-1]]
