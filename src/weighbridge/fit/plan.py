"""`make_plan(facts, machine, workload)`: the sum of what llama.cpp allocates, held against what the machine has.

All plans are for llama.cpp on the processor, the one engine that the package embeds, with flash attention (its
default), 16-bit keys and values, and mapped weights.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import StrEnum

from weighbridge.errors import BadModelFile, DoesNotFit
from weighbridge.facts import ModelFacts
from weighbridge.machine import Machine
from weighbridge.sizes import show_bytes

# A process of ours with the engine loaded and no model: 24 MiB measured (resident, two cores, xllamacpp 2026.10).
OVERHEAD_BYTES = 40 << 20
# llama.cpp reserves cells in steps of 256 (llama-context.cpp, GGML_PAD(n_ctx, 256)).
_CELLS_STEP = 256
# Measured on two cores with a 2 MB model: 1 thread 8,000 tokens/s, 2 threads 1,000 to 2,300.
_SMALL_BYTES = 32 << 20
# 16 MiB of scores at 4 bytes each.
_CHEAP_SCORES = 4 << 20
# Below this share of the available memory a plan fits; between it and all of it, it is tight.
_COMFORTABLE = 0.9
# Types that the processor back-end repacks into a second copy, with what their rows must be a multiple of
# (ggml-cpu/repack.cpp, ggml_repack_get_optimal_repack_type, read 2026-11; the wheel is built for AVX2, not AVX-512).
_REPACKED_ON_AVX2 = {"Q4_0": 8, "Q4_K": 8, "IQ4_NL": 8, "MXFP4": 8}
_REPACKED_ON_ARM = {
    "Q4_0": 4, "Q4_K": 8, "Q5_K": 8, "Q6_K": 8, "IQ4_NL": 4, "MXFP4": 4, "Q8_0": 4, "Q1_0": 4,
}  # fmt: skip


class Verdict(StrEnum):
    """Whether it runs: `fits`, `tight` (over nine tenths of what is available), or `no`."""

    FITS = "fits"
    TIGHT = "tight"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Workload:
    """What a model shall do: the context of each sequence in tokens, and how many sequences at once.

    `context_tokens` None asks for all that the model was made for, at most 8192.
    """

    context_tokens: int | None = None
    parallel: int = 2
    ubatch_tokens: int = 512


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Bytes by component, as llama.cpp names its buffers."""

    weights: int
    repack: int
    kv_cache: int
    recurrent_state: int
    compute: int
    output: int
    overhead: int

    @property
    def total(self) -> int:
        """The sum."""
        return sum(getattr(self, component.name) for component in fields(self))


@dataclass(frozen=True, slots=True)
class Plan:
    """How a model would be run, what that takes, and whether the machine has it."""

    facts: ModelFacts
    engine: str
    workload: Workload
    context_tokens: int
    """The context of each sequence."""
    threads: int
    embeddings: bool
    """Whether the engine also gives embeddings, which makes every token of a prompt an output."""
    memory: MemoryNeed
    available_bytes: int
    verdict: Verdict
    largest_context: int | None
    """The longest context of each sequence that fits, at most the model's own; None: not even the shortest."""
    basis: str = "computed"

    def ensure_fits(self) -> None:
        """DoesNotFit with the sum, unless the verdict is `fits` or `tight`."""
        if self.verdict is not Verdict.NO:
            return
        need = self.memory
        parts = f"weights {show_bytes(need.weights)} + cache {show_bytes(need.kv_cache + need.recurrent_state)}"
        rest = need.total - need.weights - need.kv_cache - need.recurrent_state
        hint = "choose a smaller quantization, or end other programs"
        if self.largest_context:
            hint = f"it fits at {self.largest_context:,} tokens: --context {self.largest_context}"
        raise DoesNotFit(
            f"{self.facts.name} needs {show_bytes(need.total)} at {self.context_tokens:,} tokens x "
            f"{self.workload.parallel} ({parts} + buffers {show_bytes(rest)}), "
            f"{show_bytes(self.available_bytes)} are available",
            hint=hint,
        )


def _cells(context_tokens: int) -> int:
    return -(-context_tokens // _CELLS_STEP) * _CELLS_STEP


def _kv_cache(facts: ModelFacts, context_tokens: int, workload: Workload) -> int:
    """Each sequence has cells for its context; a window keeps window + ubatch tokens (llama-kv-cache-iswa.cpp)."""
    total = 0
    for layer in facts.layers:
        cells = _cells(context_tokens)
        if layer.window_tokens:
            cells = min(cells, _cells(layer.window_tokens + workload.ubatch_tokens))
        total += cells * layer.kv_bytes_per_token
    return total * workload.parallel


def _compute(facts: ModelFacts, context_tokens: int, workload: Workload) -> int:
    """The compute buffer with flash attention: the largest set of activations that live at once, in 32-bit floats.

    Dense: 4 ub (3 FF + 5 E) + 2 ub cells; a mixture: 4 ub max(3 k FFe + 5 E, 2 k E + 6 E) in the first term. Read off
    llama.cpp's own log over 20 shapes and exact to 0.05 MiB on 12 unseen ones, e.g. 32.02 MiB for Qwen3-0.6B at 4096.
    """
    cells = _cells(context_tokens)
    ubatch = min(workload.ubatch_tokens, cells * workload.parallel)
    width, feed_forward = facts.embedding_length or 0, facts.feed_forward_length or 0
    live = [3 * feed_forward + 5 * width]
    if facts.experts:
        used = facts.experts.used
        inner = facts.expert_feed_forward_length or feed_forward
        live.append(max(3 * used * inner + 5 * width, 2 * used * width + 6 * width))
    windowed = [layer.window_tokens for layer in facts.layers if layer.window_tokens]
    masks = cells + (min(cells, _cells(max(windowed) + workload.ubatch_tokens)) if windowed else 0)
    return 4 * ubatch * max(live) + 2 * ubatch * masks + (1 << 16)


def _repack(facts: ModelFacts, machine: Machine) -> int:
    """The processor back-end's second copy of matrices whose type it can interleave (ggml-cpu/repack.cpp)."""
    sets = set(machine.processor.instruction_sets)
    rows: dict[str, int] = {}
    if "AVX2" in sets:
        rows = _REPACKED_ON_AVX2
    elif sets & {"DOTPROD", "MATMUL_INT8"}:
        rows = _REPACKED_ON_ARM
    # A tied embedding is the output matrix too, and repacked as that; otherwise it is only looked up.
    tied = not any(tensor.name == "output.weight" for tensor in facts.tensors)
    return sum(
        tensor.bytes
        for tensor in facts.tensors
        if tensor.type in rows
        and len(tensor.shape) in (2, 3)
        and tensor.shape[1] % rows[tensor.type] == 0
        and (tensor.name != "token_embd.weight" or tied)
    )


def _gives_embeddings(facts: ModelFacts, workload: Workload) -> bool:
    """Embedding models do, and models with so few tokens that scores for a whole step of a prompt cost little."""
    scores = workload.ubatch_tokens * (facts.vocabulary_size or 0)
    return "embedding" in facts.modalities.output or scores <= _CHEAP_SCORES


def _output(facts: ModelFacts, workload: Workload) -> int:
    """Rows of scores in 32-bit floats (llama-context.cpp, output_reserve): one a sequence, or one for each token of a
    step, with its embedding, where embeddings are given."""
    vocabulary = facts.vocabulary_size or 0
    if _gives_embeddings(facts, workload):
        return 4 * (vocabulary + (facts.embedding_length or 0)) * workload.ubatch_tokens
    return 4 * vocabulary * workload.parallel


def _need(facts: ModelFacts, machine: Machine, context_tokens: int, workload: Workload) -> MemoryNeed:
    return MemoryNeed(
        weights=facts.weights_bytes or 0,
        repack=_repack(facts, machine),
        kv_cache=_kv_cache(facts, context_tokens, workload),
        recurrent_state=workload.parallel * sum(layer.state_bytes for layer in facts.layers),
        compute=_compute(facts, context_tokens, workload),
        output=_output(facts, workload),
        overhead=OVERHEAD_BYTES,
    )


def _largest_context(facts: ModelFacts, need: MemoryNeed, workload: Workload, available: int) -> int | None:
    """The need grows with the context, so the longest that fits is found by halving; only two parts of it grow."""

    def fits(context: int) -> bool:
        cache, compute = _kv_cache(facts, context, workload), _compute(facts, context, workload)
        return replace(need, kv_cache=cache, compute=compute).total <= available

    most = facts.context_length or 8192
    if fits(most):
        return most
    low, high = 0, most // _CELLS_STEP
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle * _CELLS_STEP):
            low = middle
        else:
            high = middle - 1
    return low * _CELLS_STEP or None


def _threads(facts: ModelFacts, machine: Machine) -> int:
    """One thread a core, and a single one for a model so small that waking a second costs more than it saves."""
    if (facts.active_weights_bytes or 0) < _SMALL_BYTES:
        return 1
    usable = machine.processor.usable_threads
    return max(1, min(machine.processor.physical_cores or usable, usable))


def make_plan(facts: ModelFacts, machine: Machine, workload: Workload, *, reserved_bytes: int = 0) -> Plan:
    """The plan for one model; `reserved_bytes` are promised to other models and count as gone.

    Raises BadModelFile for what llama.cpp, the embedded engine, does not run: other formats, and files without layers.
    """
    if facts.source.kind != "gguf" or not facts.layers:
        raise BadModelFile(
            f"{facts.name}: is {facts.source.kind} of architecture {facts.architecture}, expected a language model in "
            "GGUF: that is what the embedded engine runs",
            hint="fetch the model as a .gguf file",
        )
    context = workload.context_tokens or min(facts.context_length or 4096, 8192)
    available = max(0, machine.memory.available_bytes - reserved_bytes)
    need = _need(facts, machine, context, workload)
    if need.total <= available * _COMFORTABLE:
        verdict = Verdict.FITS
    else:
        verdict = Verdict.TIGHT if need.total <= available else Verdict.NO
    return Plan(
        facts=facts,
        engine="llama_cpp",
        workload=replace(workload, context_tokens=context),
        context_tokens=context,
        threads=_threads(facts, machine),
        embeddings=_gives_embeddings(facts, workload),
        memory=need,
        available_bytes=available,
        verdict=verdict,
        largest_context=_largest_context(facts, need, workload, available),
    )
