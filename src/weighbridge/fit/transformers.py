"""What Hugging Face transformers needs for a model on one device; by the source of transformers 5.23.0.

Weights are loaded as they are stored, the cache grows with the tokens, and a prompt is read in one step. The formulas
for cache and activations are exact to the byte for dense models: `tests/fit/test_transformers.py` holds them against
what was counted over every tensor that transformers made, without a GPU (torch's fake tensors). What a GPU's driver
and torch's allocator add is assumed.
"""

from __future__ import annotations

from weighbridge.errors import BadModelFile, BadSetting
from weighbridge.facts import ModelFacts
from weighbridge.figures import Basis, Figure
from weighbridge.machine import Device
from weighbridge.sizes import show_bytes

from .heads import is_latent, kv_heads, latent_lengths
from .memory import DeviceNeed, MemoryNeed
from .workload import Workload

VERSION = "5.23.0"
_GIB = 1 << 30

CONTEXT = Figure(0.5 * _GIB, Basis.ASSUMED, "as vLLM's logs: 0.30 to 0.35 GiB, 1.8 on one H100")
"""Bytes that CUDA's context, cuBLAS and the kernels take of a GPU; Python and torch take as much of main memory."""

# Bytes a weight by the names that `dtype` may have: plain types, and bitsandbytes': one byte and a scale a row, or
# half a byte and a 32-bit scale for 64 weights (integrations/bitsandbytes.py).
_PLAIN = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0}
_PACKED = {"int8": 1.0, "nf4": 0.5 + 4 / 64, "fp4": 0.5 + 4 / 64}
_FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
# Weights of linear layers, which bitsandbytes packs; a mixture's experts are no linear layers since 5.0, but one
# tensor of three dimensions, and stay whole, as the output does.
_LINEAR = frozenset({"attention", "feed_forward", "shared_experts", "recurrent"})
_NOT_LOADED = frozenset({"mtp", "copy"})
_ATTENTIONS = ("sdpa", "eager")


def plan_memory(
    facts: ModelFacts,
    device: Device | None,
    workload: Workload,
    dtype: str | None = None,
    *,
    attention: str = "sdpa",
    all_logits: bool = False,
) -> tuple[DeviceNeed, tuple[str, ...]]:
    """The need of the device (None: main memory) with `Workload.parallel` prompts that fill the context, and notes.

    `dtype` None is as stored; `int8`, `nf4` and `fp4` are bitsandbytes'. `all_logits` is a forward pass that keeps
    the scores of all tokens, not the last ones (`logits_to_keep`), as `generate` does. By hand: Llama-3.1-8B, 4096
    tokens: 16.06 GB weights, 32 x 4096 x 4096 B = 0.54 GB cache, 4096 x 119,304 B = 0.49 GB activations.
    """
    _refuse_unknown(facts, dtype, attention)
    context = workload.context_of(facts)
    parallel = max(1, workload.parallel)
    value = 4 if dtype == "float32" or (dtype is None and _is_stored_whole(facts)) else 2
    memory = MemoryNeed(
        weights=_weights(facts, dtype),
        kv_cache=parallel * _kv_cache(facts, context, value),
        recurrent_state=parallel * sum(layer.state_bytes for layer in facts.layers),
        compute=_prompts(facts, context, parallel, value, attention, all_logits)
        + parallel * _beyond_windows(facts, context, value),
        output=4 * parallel * (facts.vocabulary_size or 0),
        overhead=int(CONTEXT.value),
    )
    available = device.memory_free_bytes if device else None
    name, index = (device.name, 0) if device else ("main memory", None)
    need = DeviceNeed(name, index, memory, available, layers=len(facts.layers))
    return need, tuple(_notes(facts, dtype, attention, value, memory))


def _refuse_unknown(facts: ModelFacts, dtype: str | None, attention: str) -> None:
    if facts.source.kind == "gguf":
        raise BadModelFile(
            f"{facts.name}: is GGUF, which transformers unpacks to whole weights before it runs them",
            hint="give transformers the safetensors checkpoint that it was made from; llama.cpp runs the GGUF file",
        )
    if not facts.layers:
        raise BadModelFile(
            f"{facts.name}: what the layers of {facts.architecture} keep is not known here",
            hint="memory is computed for language models whose config.json is at hand",
        )
    if any(layer.kind == "compressed" for layer in facts.layers):
        raise BadModelFile(
            f"{facts.name}: what transformers keeps of compressed entries is not known here",
            hint="run it once and read torch.cuda.max_memory_allocated()",
        )
    if dtype is not None and dtype not in _PLAIN | _PACKED:
        raise BadSetting(f"dtype {dtype!r} is not computed here", hint=f"known: {', '.join(_PLAIN | _PACKED)}")
    if attention not in _ATTENTIONS:
        raise BadSetting(f"attention {attention!r} is not computed here", hint=f"known: {', '.join(_ATTENTIONS)}")


def _is_stored_whole(facts: ModelFacts) -> bool:
    """Whether most weights are stored in 32 bits; then all is computed in them."""
    sizes = {row.type: row.bytes for row in facts.weights}
    return bool(sizes) and max(sizes, key=lambda kind: sizes[kind]) == "F32"


def _weights(facts: ModelFacts, dtype: str | None) -> int:
    """Bytes of the weights as loaded: as stored (modeling_utils.py, `dtype="auto"`), in another type, or packed."""
    rows = [row for row in facts.weights if row.role not in _NOT_LOADED]
    if not rows:
        return _weights_of_parameters(facts, dtype)
    total = 0.0
    for row in rows:
        if dtype is None or row.type not in _FLOATS:
            total += row.bytes
        elif dtype in _PACKED:
            total += row.parameters * (_PACKED[dtype] if row.role in _LINEAR else 2)
        else:
            total += row.parameters * _PLAIN[dtype]
    return round(total)


def _weights_of_parameters(facts: ModelFacts, dtype: str | None) -> int:
    """Where the config tells no type, weights are made in 32 bits."""
    known = facts.parameters
    if known.total is None or facts.quantization not in (None, *_FLOATS):
        raise BadModelFile(
            f"{facts.name}: how many bytes its weights take is not told by its config",
            hint="read the folder or repository with its safetensors files, whose headers tell it",
        )
    if dtype in _PACKED:
        apart = sum(part or 0 for part in (known.embedding, known.output, known.routed_experts, known.vision))
        return round((known.total - apart) * _PACKED[dtype] + apart * 2)
    return round(known.total * (_PLAIN[dtype] if dtype else _FLOATS.get(facts.quantization or "F32", 4)))


def _kv_cache(facts: ModelFacts, context: int, value: int) -> int:
    """What one sequence keeps: cache_utils.py, DynamicLayer concatenates keys and values, without padding;
    DynamicSlidingWindowLayer keeps the last ones, as many as the window is long; a latent is kept as it is, with an
    indexer's keys. Gemma-3-1B's first six layers at 8193 tokens: (5 x 512 + 8193) x 1024 B = 11.0 MB.
    """
    total = 0
    for layer in facts.layers:
        if layer.kind == "shared_kv":
            continue
        kept = min(context, layer.window_tokens or context)
        total += kept * (layer.keys + layer.values + layer.index_keys) * value
    return total


def _beyond_windows(facts: ModelFacts, context: int, value: int) -> int:
    """What layers with a window hold beyond it until the first token after the prompt: the window is a view of the
    whole prompt's keys and values (cache_utils.py, DynamicSlidingWindowLayer.update), whose memory stays."""
    return sum(
        max(0, context - layer.window_tokens) * (layer.keys + layer.values) * value
        for layer in facts.layers
        if layer.window_tokens and layer.kind != "shared_kv"
    )


def _prompts(facts: ModelFacts, context: int, parallel: int, value: int, attention: str, all_logits: bool) -> int:
    """Bytes that live at once while prompts are read in one step, beside their cache.

    A dense layer: three times the inner width (activated gate, up, product; four where gate and up are one matrix),
    four times the outer, and once for all prompts the rotations (models/llama/modeling_llama.py): Llama-3.1-8B: 2 x
    (3 x 14336 + 4 x 4096) + 2 x 2 x 128 + 8 = 119,304 B a token. Experts (integrations/moe.py): for each of a token's,
    four times the outer width, or the outer and four times the inner. `eager` makes all scores, 10 B for each head and
    pair of tokens, of keys and values repeated for each head.
    """
    width, vocabulary = facts.embedding_length or 0, facts.vocabulary_size or 0
    heads, length = facts.head_count or 0, _head_length(facts)
    windows = {layer.window_tokens for layer in facts.layers if layer.keys and layer.kind != "shared_kv"}
    inner = facts.feed_forward_length or 0
    fed = value * (4 if _is_fused(facts) else 3) * inner
    if facts.experts:
        used, own = facts.experts.used, facts.expert_feed_forward_length or inner
        rows = used * max(4 * width, width + 4 * own)
        routed = value * rows + 4 * facts.experts.total + 28 * used
        fed = max(fed, routed) if facts.expert_feed_forward_length else routed
    attended, masks = 0, 0
    if attention == "eager":
        attended, masks = 10 * heads * context + 2 * heads * length * value, len(windows) * context * value
    elif any(window and window < context for window in windows):
        # A window needs a mask of one byte for each pair of tokens; a causal one is left to the kernel.
        masks = context
    if any(is_latent(layer) for layer in facts.layers):
        # Keys and values of one layer, made of the latents of all tokens.
        attended += 2 * heads * sum(latent_lengths(facts)[:2]) * value
    a_token = max(fed, attended) + 4 * width * value + masks
    shared = context * (len(windows) * 2 * length * value + 8) + (8 * facts.experts.total if facts.experts else 0)
    scores = value * (vocabulary + width) * context if all_logits else value * vocabulary
    return max(parallel * context * a_token + shared, parallel * scores)


def _head_length(facts: ModelFacts) -> int:
    """Length of a key's head, or of the rotated part of a latent; at most 256 where it is not told."""
    for layer, heads in zip(facts.layers, kv_heads(facts), strict=True):
        if is_latent(layer):
            return latent_lengths(facts)[2]
        if layer.keys:
            return layer.keys // heads if heads else min(layer.keys, 256)
    return 0


def _is_fused(facts: ModelFacts) -> bool:
    return any(name.endswith("mlp.gate_up_proj.weight") for name, *_ in facts.tensors)


def _notes(facts: ModelFacts, dtype: str | None, attention: str, value: int, memory: MemoryNeed) -> list[str]:
    largest = max((layer.kv_bytes_per_token for layer in facts.layers), default=0)
    notes = [
        f"computed from the source of transformers {VERSION}; no test here ran it on a GPU, and what torch's allocator "
        "rounds up and keeps between steps is not in the sum",
        f"assumed: {show_bytes(CONTEXT.value)} for CUDA and its kernels",
        "a prompt is counted as long as the context, read in one step (generate's prefill_chunk_size is not set)",
    ]
    if largest:
        notes.append("each new token copies one layer's keys, then its values: one such copy more lives for a moment")
    if any(layer.window_tokens for layer in facts.layers):
        notes.append("layers with a window hold the whole prompt until the first token after it")
    if any(layer.recurrent_state for layer in facts.layers):
        notes.append("activations of recurrent layers depend on their kernels and are not in the sum")
    if any(is_latent(layer) for layer in facts.layers) and attention == "sdpa":
        notes.append("keys longer than values may make torch compute all scores: then as with eager attention")
    if dtype in _PACKED and facts.experts:
        notes.append("a mixture's experts are counted whole: bitsandbytes packs linear layers only")
    return notes
