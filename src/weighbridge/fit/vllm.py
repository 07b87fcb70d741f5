"""What vLLM needs of each GPU for a model, and how much context its cache then holds; by vLLM 0.33.0's own source.

vLLM takes `gpu_memory_utilization` of a GPU, loads its share of the weights, runs the largest step once to see what
activations take, and gives all that is left to the cache, in blocks. So the sum here is made in the same order. All of
it is computed (`Basis.COMPUTED`) from the model's files, but for what `CONTEXT`, `COMMUNICATION`, `GRAPH`, `ENCODER`,
`REPACKED` and `VISIBLE` hold, which are assumed. No GPU took part in its making: the formulas were read in the source,
and held against logs that users published, which `tests/fit/test_vllm.py` lists.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from weighbridge.errors import BadModelFile, BadSetting
from weighbridge.facts import Layer, ModelFacts
from weighbridge.facts.roles import role_of
from weighbridge.figures import Basis, Figure
from weighbridge.machine import Device
from weighbridge.sizes import show_bytes

from .memory import DeviceNeed, MemoryNeed
from .workload import Workload

VERSION = "0.33.0"
_GIB = 1 << 30

CONTEXT = Figure(0.5 * _GIB, Basis.ASSUMED, "logs: 0.35 GiB (vllm#10517), 0.30 (#15815); 1.8 on one H100 (#10511)")
"""Bytes that CUDA's context, cuBLAS and the kernels take of each GPU, beside torch's own."""
COMMUNICATION = Figure(0.25 * _GIB, Basis.ASSUMED, "logs: 0.75 GiB beside the weights at two GPUs (club-3090#1087)")
"""Bytes more where GPUs work together: NCCL's buffers and those of the custom all-reduce."""
GRAPH = Figure(4 << 20, Basis.ASSUMED, "logs: 0.14 GiB for 30 graphs, 0.08 for 102, 0.36 for 16; at least 1 MiB each")
"""Bytes of one captured CUDA graph; gpu_model_runner.py, profile_cudagraph_memory, counts at least 1 MiB."""
VISIBLE = Figure(0.98, Basis.ASSUMED, "cudaMemGetInfo of NVML's total: 23.58 of 24 GiB, 39.39 of 40, 79.2 of 79.65")
"""How much of a GPU's memory CUDA lets a program have."""

ENCODER = Figure(1.6 * _GIB, Basis.ASSUMED, "log: 1.59 GiB for Qwen3.8-27B on two GPUs, whose text takes 0.63 "
                 "(club-3090#1087)")  # fmt: skip
"""Least bytes of activations where there is an encoder of images or sound."""
REPACKED = Figure(0.06, Basis.ASSUMED, "logs: 3.3 GiB more than the sum for gpt-oss-120b (vllm#23278, #27508)")
"""What more MXFP4 experts take, of their own size, after they were laid out anew for the kernel at loading."""

# Bytes of one score at the sampler: 16-bit, its 32-bit copy, the probabilities, the noise (v1/sample/sampler.py and
# ops/topk_topp_sampler.py with Triton). 13 to 15 fit two logs of 0.19 (gpt-oss-20b, gemma-4-26B); before that it was
# sorted, and took 27 to 41.
_SCORE_BYTES = 14
_CACHE_BYTES = {"auto": 2, "float16": 2, "bfloat16": 2, "fp8": 1, "fp8_e4m3": 1, "fp8_e5m2": 1}
_DTYPES = {"auto": 2, "float16": 2, "half": 2, "bfloat16": 2, "float32": 4, "float": 4}
_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
# vocab_parallel_embedding.py, DEFAULT_VOCAB_PADDING_SIZE.
_VOCABULARY_STEP = 64
# mla_attention.py: with a sparse indexer 8-bit entries are packed with their scales.
_SPARSE_LATENT_FP8_BYTES = 656
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks?)\.(\d+)\.")
# linear.py, ReplicatedLinear: what MLA makes smaller before it makes it wide again, and the sparse indexer.
_REPLICATED = re.compile(r"q_a_|kv_a_|wq_a|wkv_a|indexer|fused_qkv_a")
_KEY_OR_VALUE = re.compile(r"(^|[._])(k|v|wk|wv|key|value)(_proj|_lin)?\.(?!.*norm)")
_FUSED = re.compile(r"qkv|c_attn|query_key_value|W_pack")
_LINEAR = frozenset({"attention", "feed_forward", "routed_experts", "shared_experts", "recurrent"})
# What only the first stage of a pipeline has.
_FIRST = frozenset({"embedding", "per_layer_embedding", "vision", "audio"})
_WHOLE = frozenset({"norm", "router", "buffer", "other", "vision", "audio"})
_LATENT = frozenset({"latent", "sparse_index"})


@dataclass(frozen=True, slots=True)
class Settings:
    """How vLLM is started; None is vLLM's own default for the GPU (engine/arg_utils.py, get_batch_defaults)."""

    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    expert_parallel: bool = False
    """Whether each GPU holds whole experts instead of a slice of each."""
    gpu_memory_utilization: float = 0.92
    max_num_batched_tokens: int | None = None
    """Tokens of one step: 2048 below 70 GiB and on an A100, 8192 from there, 16384 from 160 GiB."""
    max_num_seqs: int | None = None
    """Sequences at once: 256, or 1024 from 70 GiB (but an A100)."""
    block_size: int = 16
    """Tokens of a block, where the layers allow it."""
    kv_cache_dtype: str = "auto"
    dtype: str = "auto"
    quantization: str | None = None
    """`fp8` makes 8-bit weights of 16-bit ones at loading; what a checkpoint has quantized stays so."""
    enforce_eager: bool = False
    """Whether to do without CUDA graphs."""
    prefix_caching: bool = True
    states_per_sequence: int | None = None
    """Blocks of recurrent state that a sequence holds. None: 3 with prefix caching (mamba_mixer2.py: two, and a
    checkpoint within a prompt), 1 without. Releases before 0.30 and kernels that export no checkpoint have 2."""


@dataclass(frozen=True, slots=True)
class Cache:
    """The pool of blocks that all layers share: v1/core/kv_cache_planning.py."""

    block_tokens: int
    """Tokens that a block holds of a layer that sees everything."""
    block_bytes: tuple[int, ...]
    """Bytes of one block on a GPU of each pipeline stage."""
    blocks: int
    sequence_blocks: int
    """Blocks that one sequence of the context takes at most."""
    tokens: int
    """As vLLM logs it: `GPU KV cache size`."""
    concurrency: float
    """As vLLM logs it: `Maximum concurrency`: so many sequences of the context at once."""


@dataclass(frozen=True, slots=True)
class VLLMNeed:
    """What each GPU must hold, what the cache then holds, and how to start vLLM so."""

    devices: tuple[DeviceNeed, ...]
    settings: Settings
    """With all defaults filled in."""
    context_tokens: int
    cache: Cache
    largest_context: int | None
    """The longest context at which `Workload.parallel` sequences fit at once, at most the model's; None: none does."""
    notes: tuple[str, ...]
    arguments: tuple[str, ...]
    """Of `vllm serve`, after the model's name."""
    basis: Basis = Basis.COMPUTED
    engine: str = f"vllm {VERSION}"

    @property
    def cache_tokens(self) -> int:
        """Tokens that the memory left for the cache holds."""
        return self.cache.tokens

    @property
    def max_concurrency(self) -> float:
        """How many sequences of the context fit at once."""
        return self.cache.concurrency

    @property
    def fits(self) -> bool:
        """Whether every GPU holds its part with the cache that the workload needs."""
        return all(device.fits for device in self.devices)


class _Spec(NamedTuple):
    """What one layer keeps, as a KVCacheSpec of v1/kv_cache_interface.py."""

    kind: str
    """`full`, `window`, `chunk` or `state`."""
    tokens: int
    page: int
    """Bytes of one block of this layer."""
    reach: int
    shape: tuple[int, int]
    """Layers that differ in it are never of one group."""


class _Part(NamedTuple):
    """Some weights as they are stored, and where they belong."""

    role: str
    layer: int | None
    bytes: int
    name: str
    rows: int | None


class _Split(NamedTuple):
    """How a model is cut: the settings, and what must be known of its heads."""

    settings: Settings
    kv_heads: tuple[int, ...]
    """Heads that keep keys, by layer; 1 where they are kept once for all."""
    stages: tuple[range, ...]
    largest_graph: int = 512

    @property
    def ways(self) -> int:
        return self.settings.tensor_parallel

    def kv_ways(self, layer: int | None) -> int:
        """By how much keys and values are divided: beyond the number of heads they are copied (linear.py,
        QKVParallelLinear)."""
        heads = min(self.kv_heads) if layer is None or layer >= len(self.kv_heads) else self.kv_heads[layer]
        return min(self.ways, heads)


def plan_memory(facts: ModelFacts, devices: Sequence[Device], workload: Workload, settings: Settings) -> VLLMNeed:
    """The need of every GPU, and the largest context, for the workload.

    Raises BadModelFile for what vLLM does not run or no rule is known for, BadSetting where the model cannot be cut so.
    Worked by hand: Qwen3-8B in bf16 on an A100 of 40 GB at 0.9, without graphs: 40 x 0.98 x 0.9 = 35.28 GiB, less 15.27
    of weights, 0.51 of activations and 0.5 of context leave 19.0 for the cache; vLLM 0.9.2 logged 18.69.
    """
    notes: list[str] = []
    _refuse_unknown(facts)
    settings = _resolve(facts, devices, workload, settings, notes)
    split = _cut(facts, settings, notes)
    if (devices[0].compute_capability or "").startswith("10."):
        split = split._replace(largest_graph=1024)
    context = workload.context_of(facts)
    if facts.context_length and context > facts.context_length:
        notes.append(f"{context:,} tokens are more than the model was made for: VLLM_ALLOW_LONG_MAX_MODEL_LEN=1")
    used = devices[: settings.tensor_parallel * settings.pipeline_parallel]
    parts = _parts(facts, split)
    fixed = [_fixed(facts, split, parts, stage) for stage in range(len(split.stages))]
    if _sees(facts):
        notes.append(
            f"an encoder's activations are assumed to take {show_bytes(ENCODER.value)} at least, its weights to be "
            "whole on each GPU; --language-model-only does without them"
        )
    budgets = [_budget(device, settings) for device in used]
    left = [
        budget - fixed[index // settings.tensor_parallel].total for index, budget in enumerate(budgets)
    ]  # ranks of one stage are neighbours (distributed/parallel_state.py)
    groups = _groups(_specs(facts, split))
    cache = _cache(groups, split, left, context)
    states = _states(groups, settings)
    parallel = max(1, workload.parallel)
    needs = []
    for index, device in enumerate(used):
        stage = index // settings.tensor_parallel
        # One block is vLLM's own: an empty place to point at (block_pool.py, null_block).
        held = (1 + parallel * cache.sequence_blocks) * cache.block_bytes[stage]
        state = parallel * states * cache.block_bytes[stage]
        memory = replace(fixed[stage], kv_cache=held - state, recurrent_state=state)
        needs.append(DeviceNeed(device.name, index, memory, max(0, budgets[index]), layers=len(split.stages[stage])))
    _warn_of_free(used, budgets, settings, notes)
    return VLLMNeed(
        devices=tuple(needs),
        settings=settings,
        context_tokens=context,
        cache=cache,
        largest_context=_largest_context(facts, groups, split, left, parallel),
        notes=(*notes, *_UNCONFIRMED),
        arguments=_arguments(settings, context),
    )


_UNCONFIRMED = (
    f"computed from the source of vLLM {VERSION} and held against published logs: no test here ran vLLM or a GPU",
    "activations are an upper estimate: the largest set that lives at once in a step, without what a compiler fuses",
    f"assumed: {CONTEXT.value / _GIB:.2g} GiB a GPU for CUDA, {COMMUNICATION.value / _GIB:.2g} more where GPUs work "
    f"together, {GRAPH.value / 2**20:.0f} MiB a CUDA graph, and that CUDA sees {VISIBLE.value:.0%} of the memory",
)


def cache_capacity(facts: ModelFacts, cache_bytes: int, context_tokens: int, settings: Settings) -> Cache:
    """What a cache of so many bytes a GPU holds: of vLLM's `Available KV cache memory` its `GPU KV cache size`.

    Qwen3.6-35B-A3B with an 8-bit cache: a state of 2,146,304 B makes blocks of 2096 tokens; ten layers share one of
    21,463,040 B, of which 5.98 GiB hold 299; a sequence of 131,072 tokens takes 63 and 3 x 2, so 4.33 fit.
    """
    _refuse_unknown(facts)
    settings = replace(
        settings,
        max_num_batched_tokens=settings.max_num_batched_tokens or 2048,
        max_num_seqs=settings.max_num_seqs or 256,
    )
    split = _cut(facts, settings, [])
    left = [cache_bytes] * (settings.tensor_parallel * settings.pipeline_parallel)
    return _cache(_groups(_specs(facts, split)), split, left, context_tokens)


def weights_bytes(facts: ModelFacts, settings: Settings) -> tuple[int, ...]:
    """Bytes of weights on a GPU of each pipeline stage: vLLM's `Model loading took`.

    Llama-3.1-8B: 8,030,261,248 x 2 B, and 32 MiB of rotations for 131,072 positions: 14.989 GiB; logged: 14.9888.
    """
    _refuse_unknown(facts)
    split = _cut(facts, settings, [])
    parts = _parts(facts, split)
    return tuple(_weights(facts, split, parts, stage) for stage in range(len(split.stages)))


def parallel_choices(facts: ModelFacts, devices: Sequence[Device]) -> tuple[tuple[int, int], ...]:
    """(tensor_parallel, pipeline_parallel) that use all or some of the GPUs and cut the model evenly, fewest GPUs
    first; of equal counts, more tensor parallelism first, as it also divides the time of a step."""
    alike = 0
    while alike < len(devices) and _is_alike(devices[alike], devices[0]):
        alike += 1
    found = []
    heads = _some_kv_heads(facts)
    for count in range(1, alike + 1):
        for tensor in range(count, 0, -1):
            if count % tensor == 0 and count // tensor <= len(facts.layers) and not _obstacle(facts, heads, tensor):
                found.append((tensor, count // tensor))
    return tuple(found)


def capture_sizes(settings: Settings, largest: int = 512) -> tuple[int, ...]:
    """Batch sizes that vLLM records as CUDA graphs: 1, 2, 4, by 8 up to 256, by 16 up to 2 x max_num_seqs, at most
    512, and 1024 on data-centre Blackwell (config/vllm.py, _set_cudagraph_sizes)."""
    tokens = settings.max_num_batched_tokens or 2048
    most = min((settings.max_num_seqs or 256) * 2, largest, tokens)
    sizes = [size for size in (1, 2, 4) if size <= most]
    sizes += [*range(8, min(most + 1, 256), 8), *range(256, most + 1, 16)]
    return tuple(sorted({*sizes, tokens} if tokens <= most else sizes))


def _refuse_unknown(facts: ModelFacts) -> None:
    if facts.source.kind == "gguf":
        raise BadModelFile(
            f"{facts.name}: is GGUF, which vLLM {VERSION} reads only by a plugin that is experimental",
            hint="give vLLM the safetensors checkpoint that it was made from; llama.cpp runs the GGUF file",
        )
    if not facts.layers:
        raise BadModelFile(
            f"{facts.name}: what the layers of {facts.architecture} keep is not known here",
            hint="vLLM's memory is computed for language models whose config.json is at hand",
        )
    unknown = {layer.kind for layer in facts.layers} & {"compressed"}
    if unknown:
        raise BadModelFile(
            f"{facts.name}: how vLLM lays out a cache of {', '.join(sorted(unknown))} entries is not known here",
            hint="start vLLM and read `GPU KV cache size` from its log",
        )


def _resolve(
    facts: ModelFacts, devices: Sequence[Device], workload: Workload, settings: Settings, notes: list[str]
) -> Settings:
    """The settings with vLLM's defaults; BadSetting for those that cannot be."""
    tensor, pipeline = settings.tensor_parallel, settings.pipeline_parallel
    if tensor < 1 or pipeline < 1 or tensor * pipeline > len(devices):
        raise BadSetting(
            f"tensor_parallel {tensor} x pipeline_parallel {pipeline} needs as many GPUs, there are {len(devices)}",
            hint=f"choose two numbers whose product is at most {len(devices)}",
        )
    used = devices[: tensor * pipeline]
    if not all(_is_alike(device, used[0]) for device in used):
        names = ", ".join(dict.fromkeys(device.name for device in used))
        notes.append(f"the GPUs differ ({names}): vLLM gives all the same part, and the smallest sets the cache")
    heads = _some_kv_heads(facts)
    obstacle = _obstacle(facts, heads, tensor, expert_parallel=settings.expert_parallel)
    if obstacle:
        ways = [str(count) for count in range(1, len(devices) + 1) if not _obstacle(facts, heads, count)]
        raise BadSetting(
            f"{facts.name} cannot be cut into {tensor}: {obstacle}", hint=f"tensor_parallel can be {', '.join(ways)}"
        )
    if pipeline > len(facts.layers):
        raise BadSetting(
            f"{facts.name} has {len(facts.layers)} layers, fewer than {pipeline} stages",
            hint=f"choose at most {len(facts.layers)} stages",
        )
    for name, table, value in (
        ("kv_cache_dtype", _CACHE_BYTES, settings.kv_cache_dtype),
        ("dtype", _DTYPES, settings.dtype),
        ("quantization", {"fp8": 1, None: 1}, settings.quantization),
    ):
        if value not in table:
            known = ", ".join(str(key) for key in table)
            raise BadSetting(f"{name} {value!r} is not computed here", hint=f"known: {known}")
    total = min(device.memory_total_bytes for device in used)
    small = total < 70 * _GIB or "a100" in used[0].name.lower() or used[0].compute_capability == "12.1"
    tokens, sequences = (2048, 256) if small else (16384 if total >= 160 * _GIB else 8192, 1024)
    context = workload.context_of(facts)
    sequences = settings.max_num_seqs or max(sequences, workload.parallel)
    tokens = settings.max_num_batched_tokens or min(tokens, sequences * context)
    if sequences < workload.parallel:
        raise BadSetting(
            f"max_num_seqs {sequences} is less than the {workload.parallel} sequences at once",
            hint=f"choose at least {workload.parallel}",
        )
    return replace(settings, max_num_batched_tokens=tokens, max_num_seqs=min(sequences, tokens))


def _is_alike(one: Device, other: Device) -> bool:
    return (one.name, one.memory_total_bytes) == (other.name, other.memory_total_bytes)


def _obstacle(facts: ModelFacts, kv_heads: int | None, ways: int, *, expert_parallel: bool = False) -> str | None:
    """Why tensor parallelism cannot be that (config/model.py, verify_with_parallel_config; linear.py, divide)."""
    if facts.head_count and facts.head_count % ways:
        return f"{facts.head_count} heads do not divide by it"
    if facts.feed_forward_length and facts.feed_forward_length % ways:
        return f"a feed-forward length of {facts.feed_forward_length} does not divide by it"
    inner = facts.expert_feed_forward_length
    if inner and not expert_parallel and inner % ways:
        return f"experts of {inner} do not divide by it"
    if kv_heads and kv_heads % ways and ways % kv_heads:
        return f"{kv_heads} heads of keys neither divide by it nor divide it"
    return None


def _some_kv_heads(facts: ModelFacts) -> int | None:
    """Heads of keys of the first layer that has any, where they are known."""
    return next((heads for heads in kv_heads(facts) if heads), None)


def kv_heads(facts: ModelFacts) -> tuple[int | None, ...]:
    """Heads that keep keys and values, by layer; 0 where none are kept by heads, None where it is not known."""
    return tuple(
        0 if is_latent(layer) or not layer.keys else _of_layer(facts, "attention.head_count_kv", index) or None
        for index, layer in enumerate(facts.layers)
    )


def is_latent(layer: Layer) -> bool:
    """Whether a layer keeps one vector for all its heads."""
    return layer.kind in _LATENT and not layer.values


def _cut(facts: ModelFacts, settings: Settings, notes: list[str]) -> _Split:
    """How the model is cut. Where heads are not told, every GPU is taken to keep all keys: never too little."""
    heads = kv_heads(facts)
    if None in heads and settings.tensor_parallel > 1:
        notes.append("how many heads keep keys is not told by its files: each GPU is taken to keep all of them")
    counts = tuple(max(1, known or 1) for known in heads)
    return _Split(settings, counts, _stages(len(facts.layers), settings.pipeline_parallel))


def _of_layer(facts: ModelFacts, name: str, index: int) -> int | None:
    """A dimension as this layer has it; None where the files do not tell it."""
    value = facts.dimensions.get(name)
    if isinstance(value, tuple):
        return value[index] if index < len(value) else None
    return value


def latent_lengths(facts: ModelFacts) -> tuple[int, int, int]:
    """Lengths of a query's and a value's head that latents are made into, and of the rotated part: 192, 128 and 64 of
    DeepSeek-V3, 256, 256 and 64 of GLM-5. BadModelFile where the files do not tell them."""
    names = ("attention.key_length_mla", "attention.value_length_mla", "rope.dimension_count")
    query, value, rotated = (_of_layer(facts, name, 0) for name in names)
    if query is None or value is None or rotated is None:
        raise BadModelFile(
            f"{facts.name}: how long the heads are that its latents are made into is not told by its config",
            hint="fetch the config again: qk_nope_head_dim, qk_rope_head_dim and v_head_dim tell it",
        )
    return query, value, rotated


def _stages(layers: int, count: int) -> tuple[range, ...]:
    """Layers of each pipeline stage: equal parts, and what is left over from the last but one backwards
    (distributed/utils.py, get_pp_indices): 62 layers on 4 GPUs are 15, 16, 16, 15."""
    sizes = [layers // count] * count
    for index in range(2, layers % count + 2):
        sizes[-index] += 1
    starts = [sum(sizes[:index]) for index in range(count + 1)]
    return tuple(range(starts[index], starts[index + 1]) for index in range(count))


# Weights.


def _weights(facts: ModelFacts, split: _Split, parts: Sequence[_Part], stage: int) -> int:
    """Bytes of weights that one GPU of the stage loads.

    Sharded are embedding and output by rows of the vocabulary (padded to a multiple of 64), matrices of attention,
    feed-forward and experts by columns or rows (layers/linear.py); whole on every GPU are norms, the router, what MLA
    makes small, and keys and values beyond the number of their heads. Heads for multi-token prediction are not loaded.
    """
    layers, is_last = split.stages[stage], stage == len(split.stages) - 1
    is_tied = not any(part.role == "output" for part in parts)
    total = 0
    for part in parts:
        if part.role in ("mtp", "copy"):
            continue
        if part.layer is not None:
            is_here = part.layer in layers
        elif part.role in _FIRST:
            is_here = not stage or (is_last and is_tied and part.role == "embedding")
        else:
            is_here = is_last or part.role != "output"
        if is_here:
            total += _share(facts, split, part)
    return total + _rotations(facts, split)


def _share(facts: ModelFacts, split: _Split, part: _Part) -> int:
    """What one GPU has of some weights."""
    role, ways = part.role, split.ways
    if role in ("embedding", "output", "per_layer_embedding"):
        rows = part.rows or facts.vocabulary_size or 0
        padded = -(-rows // _VOCABULARY_STEP) * _VOCABULARY_STEP
        return -(-part.bytes * padded // (max(1, rows) * ways))
    if role in _WHOLE or (role == "attention" and _REPLICATED.search(part.name)):
        return part.bytes
    if role == "routed_experts" and split.settings.expert_parallel and facts.experts:
        return -(-part.bytes * -(-facts.experts.total // ways) // facts.experts.total)
    if role == "attention" and _KEY_OR_VALUE.search(part.name):
        return -(-part.bytes // split.kv_ways(part.layer))
    if role == "attention" and part.layer is not None and part.rows and _FUSED.search(part.name):
        layer = facts.layers[part.layer]
        kept = part.bytes * min(part.rows, layer.keys + layer.values) // part.rows
        return -(-(part.bytes - kept) // ways) - (-kept // split.kv_ways(part.layer))
    return -(-part.bytes // ways)


def _parts(facts: ModelFacts, split: _Split) -> tuple[_Part, ...]:
    """The weights as vLLM loads them: by tensor where headers are at hand and the model is cut, else by role."""
    settings = split.settings
    padding = _padding(facts, settings)
    if facts.tensors and split.ways * len(split.stages) > 1:
        return tuple(_parts_of_tensors(facts, settings, padding))
    rows = [(row.role, _loaded(row.bytes, row.parameters, row.type, settings, row.role), row.type)
            for row in facts.weights]  # fmt: skip
    if not rows:
        rows = [(role, size, "") for role, size in _parts_of_parameters(facts, settings)]
    return tuple(_parts_of_roles(facts, settings, rows, padding))


def _parts_of_roles(
    facts: ModelFacts, settings: Settings, rows: Iterable[tuple[str, int, str]], padding: float | None
) -> Iterator[_Part]:
    """Each layer has its part of a sum; of attention's, keys and values apart, as they divide otherwise."""
    count = len(facts.layers)
    keys = sum(layer.keys + layer.values for layer in facts.layers if not is_latent(layer))
    for role, size, kind in rows:
        if padding and kind == "MXFP4" and role == "routed_experts":
            size = round(size * padding)
        if role not in _LINEAR and role not in ("norm", "router"):
            yield _Part(role, None, size, "", None)
            continue
        kept = 0
        if role == "attention" and facts.embedding_length:
            kept = min(size, facts.embedding_length * keys * _DTYPES[settings.dtype])
        for index in range(count):
            share = size * (index + 1) // count - size * index // count
            own = kept * (index + 1) // count - kept * index // count
            yield _Part(role, index, share - own, "", None)
            if own:
                yield _Part(role, index, own, "k_proj.", None)


def _parts_of_tensors(facts: ModelFacts, settings: Settings, padding: float | None) -> Iterator[_Part]:
    is_tied = facts.parameters.output == 0
    is_packed = any(tensor.type not in _FLOATS for tensor in facts.tensors)
    for tensor in facts.tensors:
        role = role_of(tensor.name, len(facts.layers))
        if role == "output" and is_tied:
            role = "copy"
        size = tensor.bytes
        if not is_packed:
            is_matrix = role in _LINEAR and len(tensor.shape) > 1
            size = _loaded(size, tensor.elements, tensor.type, settings, role if is_matrix else "norm")
        if padding and role == "routed_experts" and tensor.name.endswith(("_blocks", "_scales")):
            size = round(size * padding)
        found = _LAYER.search(tensor.name)
        is_inside = found is not None and role not in ("vision", "audio", "mtp")
        layer = int(found[1]) if found and is_inside else None
        yield _Part(role, layer, size, tensor.name, tensor.shape[0] if tensor.shape else None)


def _parts_of_parameters(facts: ModelFacts, settings: Settings) -> Iterator[tuple[str, int]]:
    """Where no type is stated vLLM takes 16 bits (config/model.py, _resolve_auto_dtype)."""
    known = facts.parameters
    if known.total is None or facts.quantization not in (None, "BF16", "F16", "F32"):
        raise BadModelFile(
            f"{facts.name}: how many bytes its weights take is not told by its config",
            hint="read the folder or repository with its safetensors files, whose headers tell it",
        )
    rest = known.total
    for role in ("embedding", "output", "routed_experts", "shared_experts", "vision", "audio", "per_layer_embedding"):
        count = getattr(known, role) or 0
        rest -= count
        yield role, _loaded(count * 2, count, "BF16", settings, role)
    yield "attention", _loaded(rest * 2, rest, "BF16", settings, "attention")


def _loaded(size: int, weights: int, kind: str, settings: Settings, role: str) -> int:
    """Bytes in the type that vLLM computes in; what is quantized stays as it is stored."""
    if kind not in _FLOATS:
        return size
    if settings.quantization == "fp8" and role in _LINEAR:
        return weights
    return weights * _DTYPES[settings.dtype]


def _padding(facts: ModelFacts, settings: Settings) -> float | None:
    """How much larger MXFP4 experts are on the GPU: widths are rounded up to 256 and 128 for the kernels of most GPUs
    (fused_moe/oracle/mxfp4.py, mxfp4_round_up_hidden_size_and_intermediate_size).

    gpt-oss: 3072 x 2944 over 2880 x 2880 = 1.0904; its 12.8 GiB became 13.72, its 60.8 GiB 65.97 by their logs.
    """
    width, inner = facts.embedding_length, facts.expert_feed_forward_length or facts.feed_forward_length
    if not width or not inner or not any(row.type == "MXFP4" for row in facts.weights):
        return None
    own = inner if settings.expert_parallel else inner // settings.tensor_parallel
    return (-(-width // 256) * 256) * (-(-own // 128) * 128) / (width * own)


def _rotations(facts: ModelFacts, split: _Split) -> int:
    """The table of rotations that all layers of a kind share (rotary_embedding/base.py): positions x head x 2 B.

    131,072 x 128 x 2 B = 32 MiB for Llama-3.1.
    """
    rotated = [index for index, layer in enumerate(facts.layers) if layer.keys and layer.kind != "shared_kv"]
    if not rotated:
        return 0
    layer = facts.layers[rotated[0]]
    length = latent_lengths(facts)[2] if is_latent(layer) else layer.keys // split.kv_heads[rotated[0]]
    tables = len({bool(facts.layers[index].window_tokens) for index in rotated})
    return tables * (facts.context_length or 0) * length * 2


# The cache.


def _specs(facts: ModelFacts, split: _Split) -> list[tuple[int, _Spec]]:
    """What each layer keeps, by its number.

    With a recurrent state, blocks are made so long that one holds a state (platforms/interface.py,
    update_block_size_for_backend): Qwen3.6-27B on two GPUs: 1,603,584 B of state over 1024 B a token, in steps of 16:
    1568 tokens.
    """
    settings = split.settings
    value = _CACHE_BYTES[settings.kv_cache_dtype]
    if settings.dtype in ("float32", "float") and settings.kv_cache_dtype == "auto":
        value = 4
    bare = [(index, layer) for index, layer in enumerate(facts.layers)]
    states = {index: _state_bytes(layer, split.ways) for index, layer in bare}
    a_token = {index: _token_bytes(layer, index, split, value) for index, layer in bare}
    latent = any(is_latent(layer) for layer in facts.layers)
    tokens = max(settings.block_size, 64) if latent else settings.block_size
    largest = max(states.values(), default=0)
    wide = [a_token[index] for index, layer in bare if a_token[index] and not layer.window_tokens]
    wide = wide or [size for size in a_token.values() if size]
    if largest and wide:
        step = max(tokens, 128) if latent else tokens
        tokens = max(tokens, step * -(-largest // (step * wide[0])))
        largest = max(largest, tokens * wide[0])
    found = []
    for index, layer in bare:
        if a_token[index]:
            kind = "full"
            if layer.window_tokens:
                kind = "chunk" if layer.kind == "chunked" else "window"
            shape = (layer.keys, layer.values)
            found.append((index, _Spec(kind, tokens, tokens * a_token[index], layer.window_tokens or 0, shape)))
        if layer.index_keys:
            # deepseek_v2.py, DeepseekV32IndexerCache: 8-bit keys, and a 32-bit scale for 128 of them.
            page = tokens * (layer.index_keys + layer.index_keys // 128 * 4)
            found.append((index, _Spec("full", tokens, page, 0, (layer.index_keys, 0))))
        if states[index]:
            page = largest if wide else states[index]
            found.append((index, _Spec("state", tokens, page, 0, (0, 0))))
    return found


def _token_bytes(layer: Layer, index: int, split: _Split, value: int) -> int:
    """Bytes that a token adds to a layer on one GPU; a latent is kept whole on each."""
    if not layer.keys or layer.kind == "shared_kv":
        return 0
    if is_latent(layer):
        sparse = layer.kind == "sparse_index" and value == 1
        return _SPARSE_LATENT_FP8_BYTES if sparse else (layer.keys + layer.values) * value
    return -(-(layer.keys + layer.values) // split.kv_ways(index)) * value


def _state_bytes(layer: Layer, ways: int) -> int:
    """A convolution's memory in 16 bits, a state in 32 (mamba_utils.py; Qwen3.5's and Nemotron-H's configs ask for
    it, others may keep 16: then it is less). Heads are divided among GPUs."""
    return -(-layer.convolution_state // ways) * 2 + -(-layer.recurrent_state // ways) * 4


def _groups(specs: Iterable[tuple[int, _Spec]]) -> list[list[tuple[int, _Spec]]]:
    """Layers that share a table of blocks (kv_cache_planning.py, get_kv_cache_groups).

    Layers of one kind are one group. Else pages are made equal, by longer blocks or by padding, and layers are put
    into groups of equal size: 10 that see everything and 30 with a state are 4 groups of 10.
    """
    specs = list(specs)
    if len({(spec.kind, spec.reach, spec.page if spec.kind == "state" else 0) for _, spec in specs}) <= 1:
        return [specs] if specs else []
    largest = max(spec.page for _, spec in specs)
    buckets: defaultdict[tuple[object, ...], list[tuple[int, _Spec]]] = defaultdict(list)
    for index, spec in specs:
        longer = largest // spec.page if largest % spec.page == 0 and spec.kind != "state" else 1
        spec = spec._replace(tokens=spec.tokens * longer, page=largest)
        buckets[spec.kind, spec.reach, spec.tokens, spec.shape].append((index, spec))
    sizes = [len(bucket) for bucket in buckets.values()]
    size = max(sizes) if max(sizes) < 1.5 * min(sizes) else min(sizes)
    groups = []
    for bucket in buckets.values():
        count = -(-len(bucket) // size)
        groups += [bucket[start::count] for start in range(count)]
    return groups


def _cache(groups: list[list[tuple[int, _Spec]]], split: _Split, left: Sequence[int], context: int) -> Cache:
    """The pool: bytes of a block are those of the widest group, blocks as many as the poorest GPU holds.

    kv_cache_utils.py, get_max_concurrency_for_kv_cache_config and get_kv_cache_capacity.
    """
    widths = tuple(
        max((sum(spec.page for index, spec in group if index in stage) for group in groups), default=0)
        for stage in split.stages
    )
    ways = split.ways
    blocks = min(
        (max(0, size) // widths[index // ways] for index, size in enumerate(left) if widths[index // ways]), default=0
    )
    taken = _sequence_blocks(groups, split, context)
    concurrency = blocks / taken if taken else math.inf
    tokens = next((group[0][1].tokens for group in groups if group[0][1].kind == "full"), 0)
    return Cache(
        block_tokens=tokens or next((group[0][1].tokens for group in groups), split.settings.block_size),
        block_bytes=widths,
        blocks=blocks,
        sequence_blocks=taken,
        tokens=int(concurrency * context) if taken else 0,
        concurrency=concurrency,
    )


def _sequence_blocks(groups: list[list[tuple[int, _Spec]]], split: _Split, context: int) -> int:
    """Blocks that one sequence takes: each group has its own table (max_memory_usage_bytes of each KVCacheSpec).

    A window keeps itself and the tokens of the steps under way, of which there are two (config/vllm.py,
    max_in_flight_tokens): 128 tokens of gpt-oss at 2048 a step are (127 + 4096) / 16 + 1 = 265 blocks.
    """
    settings = split.settings
    under_way = (settings.pipeline_parallel + 1) * (settings.max_num_batched_tokens or 2048)
    total = 0
    for group in groups:
        spec = group[0][1]
        if spec.kind == "full":
            total += -(-context // spec.tokens)
        elif spec.kind == "window":
            total += -(-min(spec.reach - 1 + under_way, context) // spec.tokens) + 1
        elif spec.kind == "chunk":
            total += -(-min(spec.reach + under_way, context) // spec.tokens)
    return total + _states(groups, settings)


def _states(groups: list[list[tuple[int, _Spec]]], settings: Settings) -> int:
    """Blocks of recurrent state that one sequence takes."""
    count = sum(group[0][1].kind == "state" for group in groups)
    # Models without attention have no prefix caching (config/model.py, is_prefix_caching_supported).
    caching = settings.prefix_caching and count < len(groups)
    return count * (settings.states_per_sequence or (3 if caching else 1))


def _largest_context(
    facts: ModelFacts, groups: list[list[tuple[int, _Spec]]], split: _Split, left: Sequence[int], parallel: int
) -> int | None:
    """The need of blocks grows with the context, so the longest that fits is found by halving."""
    blocks = _cache(groups, split, left, 1).blocks

    def fits(context: int) -> bool:
        return 1 + parallel * _sequence_blocks(groups, split, context) <= blocks

    return _last(fits, facts.context_length or 131072) if min(left) >= 0 else None


def _last(holds: Callable[[int], bool], most: int) -> int | None:
    """The largest number from 1 to `most` for which it holds, where it holds up to some number only."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if holds(middle):
            low = middle
        else:
            high = middle - 1
    return low or None


# What is taken before the cache.


def _fixed(facts: ModelFacts, split: _Split, parts: Sequence[_Part], stage: int) -> MemoryNeed:
    """Weights, activations and overhead of one GPU of the stage.

    A step's activations are gone when it is sampled from, but for the experts' workspace (v1/worker/workspace.py).
    """
    settings = split.settings
    tokens, sequences = settings.max_num_batched_tokens or 2048, settings.max_num_seqs or 256
    sampled = 0
    if stage == len(split.stages) - 1:
        sampled = _SCORE_BYTES * min(tokens, sequences) * (facts.vocabulary_size or 0)
    overhead = int(CONTEXT.value)
    if len(split.stages) * split.ways > 1:
        overhead += int(COMMUNICATION.value)
    if not settings.enforce_eager:
        overhead += _graphs(facts, split)
    if _padding(facts, settings):
        experts = (part for part in parts if part.role == "routed_experts")
        here = (part for part in experts if part.layer is None or part.layer in split.stages[stage])
        overhead += int(REPACKED.value * sum(_share(facts, split, part) for part in here))
    compute = _expert_workspace(facts, split, tokens) + max(_activations(facts, split, tokens), sampled)
    if not stage and _sees(facts):
        compute = max(compute, int(ENCODER.value))
    return MemoryNeed(weights=_weights(facts, split, parts, stage), compute=compute, overhead=overhead)


def _sees(facts: ModelFacts) -> bool:
    """Whether it has an encoder of images or sound, which vLLM runs once with the largest of them."""
    return bool(facts.parameters.vision or facts.parameters.audio)


def _activations(facts: ModelFacts, split: _Split, tokens: int) -> int:
    """Bytes that live at once in a step of so many tokens, 16 bits each: three times the width (input, residual,
    output) and the widest of gate, up and their product (models/llama.py, LlamaMLP), or queries, keys, values and
    what is attended.

    Llama-3.1-8B: 2 x (3 x 14336 + 3 x 4096) = 110,592 B a token. Two logs that differ by 9000 tokens differ by 0.92
    GiB (vllm#10517): 109,800.
    """
    width, inner, ways = facts.embedding_length or 0, facts.feed_forward_length or 0, split.ways
    shared = (facts.experts.shared or 0) if facts.experts else 0
    if shared and facts.expert_feed_forward_length:
        inner = max(inner, shared * facts.expert_feed_forward_length)
    attention = 0
    for index, layer in enumerate(facts.layers):
        heads = facts.head_count or 1
        length = max(1, layer.values // split.kv_heads[index]) if layer.values else 0
        queries = heads * length
        if is_latent(layer):
            # mla_attention.py: queries and keys of 192, values of 128 a head (DeepSeek-V3), while a prompt is read.
            queries = heads * sum(latent_lengths(facts)[:2])
        attention = max(attention, 2 * queries // ways + (layer.keys + layer.values) // split.kv_ways(index))
    return _DTYPES[split.settings.dtype] * tokens * (3 * width + max(-(-3 * inner // ways), attention))


def _expert_workspace(facts: ModelFacts, split: _Split, tokens: int) -> int:
    """Two workspaces of the fused experts, of one row for each expert of each token, and the output
    (fused_moe/experts/triton_moe.py, workspace_shapes): Qwen3-30B-A3B: 2 x 2048 x (8 x (2048 + 2048) + 2048)."""
    if not facts.experts:
        return 0
    width = facts.embedding_length or 0
    inner = facts.expert_feed_forward_length or facts.feed_forward_length or 0
    if not split.settings.expert_parallel:
        inner = -(-inner // split.ways)
    rows = facts.experts.used * (max(inner, width) + max(2 * inner, width)) + width
    return _DTYPES[split.settings.dtype] * tokens * rows


def _graphs(facts: ModelFacts, split: _Split) -> int:
    """CUDA graphs, which vLLM sets aside since 0.21 (gpu_worker.py): one for each size of mixed steps, one for each
    size of pure decoding, and once the activations of the largest."""
    sizes = capture_sizes(split.settings, split.largest_graph)
    count = len(sizes) + sum(size <= (split.settings.max_num_seqs or 256) for size in sizes)
    largest = max(sizes, default=0)
    shared = _activations(facts, split, largest) + _expert_workspace(facts, split, largest)
    return shared + count * int(GRAPH.value)


def _budget(device: Device, settings: Settings) -> int:
    """Bytes that vLLM may take: utilization x all (v1/worker/utils.py, request_memory), and never more than is free."""
    visible = int(device.memory_total_bytes * VISIBLE.value)
    return min(math.ceil(visible * settings.gpu_memory_utilization), device.memory_free_bytes)


def _warn_of_free(devices: Sequence[Device], budgets: Sequence[int], settings: Settings, notes: list[str]) -> None:
    for device, budget in zip(devices, budgets, strict=True):
        wanted = device.memory_total_bytes * VISIBLE.value * settings.gpu_memory_utilization
        if budget < wanted - 1:
            share = math.floor(budget / (device.memory_total_bytes * VISIBLE.value) * 100) / 100
            notes.append(
                f"{device.name} has {show_bytes(device.memory_free_bytes)} free, less than vLLM would take: it starts "
                f"only with --gpu-memory-utilization {share:.2f} or less"
            )
            return


def _arguments(settings: Settings, context: int) -> tuple[str, ...]:
    found = [
        "--max-model-len", str(context),
        "--gpu-memory-utilization", f"{settings.gpu_memory_utilization:g}",
        "--max-num-seqs", str(settings.max_num_seqs),
        "--max-num-batched-tokens", str(settings.max_num_batched_tokens),
    ]  # fmt: skip
    for flag, value, default in (
        ("--tensor-parallel-size", settings.tensor_parallel, 1),
        ("--pipeline-parallel-size", settings.pipeline_parallel, 1),
        ("--block-size", settings.block_size, 16),
        ("--kv-cache-dtype", settings.kv_cache_dtype, "auto"),
        ("--dtype", settings.dtype, "auto"),
        ("--quantization", settings.quantization, None),
    ):
        if value != default:
            found += [flag, str(value)]
    for flag, wanted in (
        ("--enable-expert-parallel", settings.expert_parallel),
        ("--enforce-eager", settings.enforce_eager),
        ("--no-enable-prefix-caching", not settings.prefix_caching),
    ):
        if wanted:
            found.append(flag)
    return tuple(found)
