"""Which of many models fit a machine, at which quantization and context, and how fast: all pairs at once, in arrays.

The rules are those of single plans, with what only a file tells left on the safe side: second copies on processors are
as large as they could be, and a compute buffer that was never recorded is taken by a form that is larger than what was
measured. A plan for one file is more exact, and never needs more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from weighbridge.facts import Experts, Layer
from weighbridge.machine import Device, Machine

from . import speed
from .llama_cpp import device_overhead, largest_step, layer_cache_bytes, most_copied, process_overhead
from .plan import COMFORTABLE
from .steps import Form, Step, cells_of, find, label_of
from .workload import Workload


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
    touched: speed.Touched
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
    """Which share of the layers is on GPUs."""
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
    caches: Any
    computes: Any
    depths: Any
    attended: Any
    allowed: Any
    host: Any
    """Bytes of scores and of the engine's process."""
    widths: Any
    blocks: Any
    mixtures: Any
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
    computes, depths, attended = np.empty_like(caches), np.empty_like(caches), np.empty_like(caches)
    allowed = np.empty(caches.shape, dtype=bool)
    steps = [largest_step(workload, context) for context in contexts]
    known = _replayed(contexts, steps)
    seen: dict[Any, int] = {}
    for i, candidate in enumerate(candidates):
        allowed[i] = [context <= candidate.context_length for context in contexts]
        # Many differ in their weights alone.
        network = (candidate.architecture, candidate.runs, tuple(candidate.dimensions.items()), candidate.touched.heads)
        like = seen.setdefault(network, i)
        if like != i:
            for array in (caches, computes, depths, attended):
                array[i] = array[like]
            continue
        form = candidate.form
        # Masks make it grow in a straight line with the context, so two are replayed and the rest lie between.
        replayed = [_compute(candidate, form, steps[k]) for k in known]
        computes[i] = np.interp(contexts, [contexts[k] for k in known], replayed)
        for k, context in enumerate(contexts):
            caches[i, k] = _caches(candidate.runs, workload, steps[k])
            depths[i, k] = candidate.touched.cache_bytes(context // 2)
            attended[i, k] = candidate.touched.attended(context // 2)
    vocabulary = np.array([candidate.vocabulary_size for candidate in candidates], dtype=float)
    process = np.array([process_overhead(candidate.vocabulary_size) for candidate in candidates], dtype=float)
    thread = [candidate.touched.thread_seconds() / candidate.touched.active_bytes() for candidate in candidates]

    def column(name: str) -> Any:
        return np.array([getattr(each, name) for each in chosen], dtype=float)[:, None]

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
        caches=caches,
        computes=computes,
        depths=depths,
        attended=attended,
        allowed=allowed,
        host=4.0 * vocabulary * workload.parallel + process,
        widths=np.array([candidate.embedding_length for candidate in candidates], dtype=float),
        blocks=np.array([sum(count for count, _ in candidate.runs) for candidate in candidates], dtype=float),
        mixtures=np.array([candidate.experts is not None for candidate in candidates]),
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

    On GPUs as much as they hold, the rest in main memory; several GPUs are taken as one as large as all and as fast as
    the slowest. Speeds are those of `speed.fleet`, parts added by their bytes.
    """
    import numpy as np

    table = candidates if isinstance(candidates, Table) else tabulate(candidates, contexts, workload)
    need, share, part = _places(table, machine)
    share = np.where(table.allowed[table.owner], share, np.inf)
    low, high = _speeds(table, machine, part)
    return Ranking(table.rows, table.contexts, need, share, part, low, high)


def _places(table: Table, machine: Machine) -> tuple[Any, Any, Any]:
    """Bytes needed, the largest share of a budget, and which share of the layers is on GPUs."""
    import numpy as np

    cache, compute = table.caches[table.owner], table.computes[table.owner]
    host = table.host[table.owner][:, None]
    shares = {recipe: most_copied(machine, recipe) for recipe in set(table.recipes)}
    copied = np.array([shares[recipe] for recipe in table.recipes])[:, None]
    is_tied = table.embedding == table.output
    copies = copied * (table.weights - np.where(is_tied, 0, table.embedding))
    alone = table.weights + copies + cache + compute + host
    # Layers are not put where nobody knows how much room there is.
    budget = float(max(1, machine.memory.available_bytes)) if machine.memory else None
    alone_share = alone / budget if budget else np.full_like(alone, np.inf)
    if not machine.devices:
        return alone, alone_share, np.zeros_like(cache)
    room = float(max(1, sum(device.memory_free_bytes for device in machine.devices)))
    inputs = 4.0 * table.workload.ubatch_tokens * table.widths[table.owner][:, None]
    if len(machine.devices) > 1:
        # Several steps' inputs are kept, with the masks of both kinds of attention (`Placement.pipelined`).
        steps = [largest_step(table.workload, context) for context in table.contexts]
        masks = np.array([4.0 * step.tokens * cells_of(step.context_tokens) for step in steps])
        inputs = 3 * (inputs + masks)
        compute = compute + inputs
    fixed = compute * len(machine.devices) + sum(device_overhead(device) for device in machine.devices)
    moved = table.weights - table.embedding + np.where(is_tied, table.output, 0.0) + cache
    blocks = table.blocks[table.owner][:, None]
    # Whole layers move; where not all do, so many that there is room to spare, as in plans.
    some = np.floor(np.clip((COMFORTABLE * room - fixed) / moved, 0.0, 1.0) * blocks) / blocks
    part = np.where(moved + fixed <= room, 1.0, np.minimum(some, (blocks - 1) / blocks))
    on_devices = moved * part + np.where(part > 0, fixed, 0.0)
    rest = table.embedding + host + np.where(part >= 1, inputs, moved * (1 - part) + compute)
    need = on_devices + rest
    share = np.maximum(on_devices / room, rest / budget if budget else np.where(part < 1, np.inf, 0.0))
    if budget and any(device.unified for device in machine.devices):
        share = np.maximum(share, need / budget)
    on_processor = (part <= 0) | ((share > 1) & (alone_share <= 1))
    return (
        np.where(on_processor, alone, need),
        np.where(on_processor, alone_share, share),
        np.where(on_processor, 0.0, part),
    )


def _speeds(table: Table, machine: Machine, part: Any) -> tuple[Any, Any]:
    """Tokens a second with that share of the layers on GPUs: low and high."""
    import numpy as np

    common = {
        "active_bytes": table.active,
        "is_mixture": table.mixtures[table.owner][:, None],
        "cache_bytes": table.depths[table.owner],
        "attended": table.attended[table.owner],
        "block_count": table.blocks[table.owner][:, None],
        "vocabulary": table.vocabulary[table.owner][:, None],
    }
    cores = machine.processor.physical_cores or machine.processor.usable_threads or 1
    seconds = table.thread_seconds[table.owner][:, None] * table.active
    host_low, host_high = _fleet(machine, None, common, cores=cores, thread_seconds=seconds)
    if not machine.devices:
        return host_low, host_high
    slowest = min(machine.devices, key=lambda device: device.bandwidth.value if device.bandwidth else 0.0)
    low, high = _fleet(machine, slowest, common)
    with np.errstate(divide="ignore", invalid="ignore"):
        mixed_low = 1 / (part / low + (1 - part) / host_low)
        mixed_high = 1 / (part / high + (1 - part) / host_high)
    return (
        np.where(part >= 1, low, np.where(part <= 0, host_low, mixed_low)),
        np.where(part >= 1, high, np.where(part <= 0, host_high, mixed_high)),
    )


def _fleet(machine: Machine, device: Device | None, common: Mapping[str, Any], **more: Any) -> tuple[Any, Any]:
    memory = machine.memory
    figure = device.bandwidth if device else memory.bandwidth if memory else None
    kind = list(speed.EFFICIENCIES).index(speed.efficiency_of(device))
    return speed.fleet(**common, bandwidth=figure.value if figure else float("nan"), kind=kind, **more)


def _replayed(contexts: Sequence[int], steps: Sequence[Step]) -> list[int]:
    """Places of the contexts, in rising order, whose steps are replayed: those too short for a whole step, and the
    first and the last of the others."""
    order = sorted(range(len(contexts)), key=lambda k: contexts[k])
    most = max(step.tokens for step in steps)
    whole = [k for k in order if steps[k].tokens == most]
    return [k for k in order if k not in whole[1:-1]]
