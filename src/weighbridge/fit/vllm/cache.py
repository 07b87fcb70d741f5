"""`Cache`: the pool of blocks that all layers share, and what a sequence takes of it (v1/core/kv_cache_planning.py)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from weighbridge.facts import Layer, ModelFacts
from weighbridge.fit.halving import last_enough
from weighbridge.fit.heads import is_latent

from .settings import CACHE_BYTES, Settings
from .splitting import Split

# mla_attention.py: with a sparse indexer 8-bit entries are packed with their scales.
_SPARSE_LATENT_FP8_BYTES = 656


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


class Spec(NamedTuple):
    """What one layer keeps, as a KVCacheSpec of v1/kv_cache_interface.py."""

    kind: str
    """`full`, `window`, `chunk` or `state`."""
    tokens: int
    page: int
    """Bytes of one block of this layer."""
    reach: int
    shape: tuple[int, int]
    """Layers that differ in it are never of one group."""


def specs_of(facts: ModelFacts, split: Split) -> list[tuple[int, Spec]]:
    """What each layer keeps, by its number.

    With a recurrent state, blocks are made so long that one holds a state (platforms/interface.py,
    update_block_size_for_backend): Qwen3.6-27B on two GPUs: 1,603,584 B of state over 1024 B a token, in steps of 16:
    1568 tokens.
    """
    settings = split.settings
    value = CACHE_BYTES[settings.kv_cache_dtype]
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
            found.append((index, Spec(kind, tokens, tokens * a_token[index], layer.window_tokens or 0, shape)))
        if layer.index_keys:
            # deepseek_v2.py, DeepseekV32IndexerCache: 8-bit keys, and a 32-bit scale for 128 of them.
            page = tokens * (layer.index_keys + layer.index_keys // 128 * 4)
            found.append((index, Spec("full", tokens, page, 0, (layer.index_keys, 0))))
        if states[index]:
            page = largest if wide else states[index]
            found.append((index, Spec("state", tokens, page, 0, (0, 0))))
    return found


def _token_bytes(layer: Layer, index: int, split: Split, value: int) -> int:
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


def groups_of(specs: Iterable[tuple[int, Spec]]) -> list[list[tuple[int, Spec]]]:
    """Layers that share a table of blocks (kv_cache_planning.py, get_kv_cache_groups).

    Layers of one kind are one group. Else pages are made equal, by longer blocks or by padding, and layers are put
    into groups of equal size: 10 that see everything and 30 with a state are 4 groups of 10.
    """
    specs = list(specs)
    if len({(spec.kind, spec.reach, spec.page if spec.kind == "state" else 0) for _, spec in specs}) <= 1:
        return [specs] if specs else []
    largest = max(spec.page for _, spec in specs)
    buckets: defaultdict[tuple[object, ...], list[tuple[int, Spec]]] = defaultdict(list)
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


def cache_of(groups: list[list[tuple[int, Spec]]], split: Split, left: Sequence[int], context: int) -> Cache:
    """The pool for sequences of so many tokens: bytes of a block are those of the widest group, blocks as many as the
    poorest GPU holds in what it has `left`, in bytes.

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


def _sequence_blocks(groups: list[list[tuple[int, Spec]]], split: Split, context: int) -> int:
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
    return total + states_of(groups, settings)


def states_of(groups: list[list[tuple[int, Spec]]], settings: Settings) -> int:
    """Blocks of recurrent state that one sequence takes."""
    count = sum(group[0][1].kind == "state" for group in groups)
    # Models without attention have no prefix caching (config/model.py, is_prefix_caching_supported).
    caching = settings.prefix_caching and count < len(groups)
    return count * (settings.states_per_sequence or (3 if caching else 1))


def longest_context(
    facts: ModelFacts, groups: list[list[tuple[int, Spec]]], split: Split, left: Sequence[int], parallel: int
) -> int | None:
    """The longest context at which so many sequences fit, at most the model's own; None where none does, or where a GPU
    (`left` are the bytes that each has) holds not even the weights."""
    blocks = cache_of(groups, split, left, 1).blocks

    def fits(context: int) -> bool:
        return 1 + parallel * _sequence_blocks(groups, split, context) <= blocks

    return last_enough(fits, facts.context_length or 131072) or None if min(left) >= 0 else None
