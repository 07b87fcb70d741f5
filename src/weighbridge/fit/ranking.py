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
from .llama_cpp import device_overhead, most_copied, process_overhead
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
    """Bytes of 16-bit caches and 32-bit states for all sequences."""
    total = 0
    for count, layer in runs:
        entry = 2 * (layer.keys + layer.values)
        cells = step.window_cells(layer.window_tokens)
        whole = cells_of(step.context_tokens)
        if layer.tokens_per_entry > 1:
            kept = cells * entry + cells_of(-(-whole // layer.tokens_per_entry)) * (entry + 2 * layer.index_keys)
        else:
            kept = cells * entry + whole * 2 * layer.index_keys
        total += count * workload.parallel * (kept + layer.state_bytes)
    return total


def _compute(candidate: Candidate, form: Form, step: Step) -> int:
    """The compute buffer as recorded; where it was not, more than any recorded family of that width takes."""
    recording = find(form, step)
    if recording is not None:
        try:
            return recording.peak(candidate, form, step)
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


def rank(
    candidates: Sequence[Candidate], machine: Machine, contexts: Sequence[int], workload: Workload | None = None
) -> Ranking:
    """Every quantization of every candidate at every context on one machine.

    On GPUs as much as they hold, the rest in main memory; several GPUs are taken as one as large as all and as fast as
    the slowest. Speeds are those of `speed.fleet`, parts added by their bytes.
    """
    # Imported here: single plans do without.
    import numpy as np

    workload = workload or Workload(parallel=1)
    rows = tuple((i, j) for i, candidate in enumerate(candidates) for j in range(len(candidate.quantizations)))
    owner = np.array([i for i, _ in rows], dtype=int)
    chosen = [candidates[i].quantizations[j] for i, j in rows]
    weights = np.array([each.weights_bytes for each in chosen], dtype=float)[:, None]
    active = np.array([each.active_bytes for each in chosen], dtype=float)[:, None]
    embedding = np.array([each.embedding_bytes for each in chosen], dtype=float)[:, None]
    output = np.array([each.output_bytes for each in chosen], dtype=float)[:, None]
    shares = {each.recipe: most_copied(machine, each.recipe) for each in chosen}
    copied = np.array([shares[each.recipe] for each in chosen])[:, None]

    caches = np.empty((len(candidates), len(contexts)))
    computes = np.empty_like(caches)
    depths = np.empty_like(caches)
    attended = np.empty_like(caches)
    allowed = np.empty(caches.shape, dtype=bool)
    for i, candidate in enumerate(candidates):
        form, ends = candidate.form, (min(contexts), max(contexts))
        steps = [_step(workload, context) for context in contexts]
        # Masks make it grow in a straight line with the context, so two are replayed and the rest lie between.
        both = [_compute(candidate, form, _step(workload, context)) for context in ends]
        computes[i] = np.interp(contexts, ends, both) if ends[0] < ends[1] else both[0]
        for k, context in enumerate(contexts):
            caches[i, k] = _caches(candidate.runs, workload, steps[k])
            depths[i, k] = candidate.touched.cache_bytes(context // 2)
            attended[i, k] = candidate.touched.attended(context // 2)
            allowed[i, k] = context <= candidate.context_length
    vocabulary = np.array([candidate.vocabulary_size for candidate in candidates], dtype=float)
    scores = 4.0 * vocabulary * workload.parallel
    process = np.array([process_overhead(candidate.vocabulary_size) for candidate in candidates], dtype=float)
    widths = np.array([candidate.embedding_length for candidate in candidates], dtype=float)
    layer_counts = np.array([sum(count for count, _ in candidate.runs) for candidate in candidates], dtype=float)
    mixtures = np.array([candidate.experts is not None for candidate in candidates])

    fixed_host = (scores + process)[owner][:, None]
    cache, compute = caches[owner], computes[owner]
    copies = copied * (weights - np.where(embedding == output, 0, embedding))
    host_need = weights + copies + cache + compute + fixed_host
    host_budget = float(machine.memory.available_bytes) if machine.memory else np.inf

    gpus = machine.devices
    room = float(sum(device.memory_free_bytes for device in gpus))
    tied = embedding == output
    moved = weights - embedding + np.where(tied, output, 0.0) + cache
    if gpus:
        overhead = sum(device_overhead(device) for device in gpus)
        device_fixed = compute * len(gpus) + overhead
        inputs = 4.0 * workload.ubatch_tokens * widths[owner][:, None]
        host_fixed = embedding + inputs + fixed_host
        part = np.clip((room - device_fixed) / moved, 0.0, 1.0)
        count = layer_counts[owner][:, None]
        # Whole layers move.
        part = np.where(part < 1, np.floor(part * count) / count, part)
        unified = any(device.unified for device in gpus)
        whole = part >= 1
        device_need = moved * part + np.where(part > 0, device_fixed, 0.0)
        rest = np.where(whole, host_fixed, host_fixed + (moved * (1 - part)) + compute)
        need = device_need + rest
        share = np.maximum(device_need / room, rest / host_budget)
        if unified:
            share = np.maximum(share, need / host_budget)
        processor_only = host_need / host_budget
        use_processor = (part <= 0) | ((share > 1) & (processor_only <= 1))
        part = np.where(use_processor, 0.0, part)
        need = np.where(use_processor, host_need, need)
        share = np.where(use_processor, processor_only, share)
    else:
        part = np.zeros_like(cache)
        need, share = host_need, host_need / host_budget
    share = np.where(allowed[owner], share, np.inf)

    common = {
        "active_bytes": active,
        "is_mixture": mixtures[owner][:, None],
        "cache_bytes": depths[owner],
        "attended": attended[owner],
        "block_count": layer_counts[owner][:, None],
        "vocabulary": vocabulary[owner][:, None],
    }
    thread = np.array([candidate.touched.thread_seconds() for candidate in candidates])
    base = np.array([candidate.touched.active_bytes() for candidate in candidates])
    cores = machine.processor.physical_cores or machine.processor.usable_threads or 1
    host_low, host_high = _fleet(
        machine, None, common, cores=cores, thread_seconds=(thread / base)[owner][:, None] * active
    )
    low, high = host_low, host_high
    if gpus:
        slowest = min(gpus, key=lambda device: device.bandwidth.value if device.bandwidth else 0.0)
        device_low, device_high = _fleet(machine, slowest, common)
        with np.errstate(divide="ignore", invalid="ignore"):
            low = np.where(part >= 1, device_low, 1 / (part / device_low + (1 - part) / host_low))
            high = np.where(part >= 1, device_high, 1 / (part / device_high + (1 - part) / host_high))
            low, high = np.where(part <= 0, host_low, low), np.where(part <= 0, host_high, high)
    return Ranking(rows, tuple(contexts), need, share, part, low, high)


def _fleet(machine: Machine, device: Device | None, common: Mapping[str, Any], **more: Any) -> tuple[Any, Any]:
    if device is None:
        figure = machine.memory.bandwidth if machine.memory else None
    else:
        figure = device.bandwidth
    kind = list(speed.EFFICIENCIES).index(speed.efficiency_of(device))
    return speed.fleet(**common, bandwidth=figure.value if figure else float("nan"), kind=kind, **more)


def _step(workload: Workload, context: int) -> Step:
    return Step(
        context, workload.parallel, min(workload.ubatch_tokens, cells_of(context)), workload.parallel,
        workload.flash_attention, workload.unified_cache, workload.full_windows,
    )  # fmt: skip
