"""`tabulate()`: what of many models does not depend on the machine, in arrays by model, quantization and context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from weighbridge.facts import Experts, Layer
from weighbridge.fit.forms import Form, label_of
from weighbridge.fit.llama_cpp import (
    largest_step,
    layer_cache_bytes,
    process_overhead,
    unsure_share,
)
from weighbridge.fit.recordings import find
from weighbridge.fit.steps import Step, cells_of, rotated_of
from weighbridge.fit.touched import Touched
from weighbridge.fit.workload import Workload

# Blocks of 32 values of 16 bits.
_F16_BLOCK_BYTES = 64


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


def _replayed(contexts: Sequence[int], steps: Sequence[Step]) -> list[int]:
    """Places of the contexts, in rising order, whose steps are replayed: those too short for a whole step, and the
    first and the last of the others."""
    order = sorted(range(len(contexts)), key=lambda k: contexts[k])
    most = max(step.tokens for step in steps)
    whole = [k for k in order if steps[k].tokens == most]
    return [k for k in order if k not in whole[1:-1]]
