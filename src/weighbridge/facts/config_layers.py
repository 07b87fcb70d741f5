"""Layers from the keys of a config.json, as the engines that read such files keep their caches.

Sources: transformers 5 (`cache_utils`, `configuration_*`), vLLM (`v1/kv_cache_interface.py`, `mamba_utils.py`), read
2026-11. What a family assumes where its config is silent is filled in before (`architectures/`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .config import Config
from .model_facts import Layer

# The words that configs use for a layer, and what they mean here.
_KINDS = {
    "full_attention": "attention", "attention": "attention", "global_attention": "attention", "global": "attention",
    "full": "attention", "*": "attention", "indexed_attention": "attention", "sparse_attention": "attention",
    "deepseek_sparse_attention": "attention", "minimax_m3_sparse": "attention", "dense": "attention",
    "sliding_attention": "window", "sliding": "window", "local": "window", "local_attention": "window",
    "window": "window", "chunked_attention": "chunk", "linear_attention": "state", "mamba": "state", "mamba2": "state",
    "M": "state", "recurrent": "state", "conv": "state", "short_conv": "state", "kda": "state", "linear": "state",
    "mlp": "none", "moe": "none", "-": "none", "E": "none", "none": "none", "no_op": "none", "hybrid": "both",
    "compressed_sparse_attention": "compressed", "heavily_compressed_attention": "compressed",
}  # fmt: skip
_MOST_LAYERS = 4096


def block_count(config: Config) -> int | None:
    """How many layers answer; None where the config does not say."""
    count = config.number("num_hidden_layers", "n_layers", "n_layer", "num_layers")
    if count is None:
        listed = config.list("layer_types", "layers_block_type", most=_MOST_LAYERS)
        pattern = config.text("hybrid_override_pattern")
        count = len(listed) if listed else len(pattern) if pattern else None
    if count is not None and count > _MOST_LAYERS:
        raise config.wrong("num_hidden_layers", count, f"at most {_MOST_LAYERS:,} layers")
    return count


def read_layers(config: Config, notes: list[str]) -> tuple[Layer, ...]:
    """What each layer keeps; empty where the config does not say enough."""
    count = block_count(config)
    width = config.number("hidden_size", "d_model", "n_embd", "dim")
    heads = config.number("num_attention_heads", "n_head", "n_heads", "num_heads")
    if not count or not width:
        return ()
    words = _words(config, count)
    unknown = sorted({word for word in words if word not in _KINDS})
    if unknown:
        notes.append(f"layers of the kind {', '.join(unknown)[:80]} are not known here: no cache is counted")
        return ()
    if not heads and any(_KINDS[word] not in ("state", "none") for word in words):
        return ()
    shared = config.number("num_kv_shared_layers") or 0
    layers = []
    for index, word in enumerate(words):
        if index >= count - shared > 0:
            windowed = config.number("sliding_window") if _KINDS[word] == "window" else None
            layers.append(Layer("shared_kv", window_tokens=windowed))
        else:
            layers.append(_layer(config, index, word, heads or 0, width))
    return tuple(layers)


def _words(config: Config, count: int) -> list[str]:
    listed = config.list("layer_types", "layers_block_type", most=_MOST_LAYERS)
    if listed is None and (pattern := config.text("hybrid_override_pattern")):
        # A `|` only divides stages.
        listed = list(pattern.replace("|", ""))
    if listed is None and (flags := config.list("hybrid_layer_pattern", most=_MOST_LAYERS)):
        listed = ["sliding_attention" if flag else "full_attention" for flag in flags]
    if listed is None:
        plain = "sliding_attention" if config.number("sliding_window") else "full_attention"
        return [plain] * count
    # A list may go on with the layers that predict further tokens.
    if len(listed) < count or not all(isinstance(word, str) for word in listed):
        raise config.wrong("layer_types", f"{len(listed)} entries", f"one word for each of {count} layers")
    return listed[:count]


def _per_layer(config: Config, index: int, *names: str) -> int | None:
    """A number, or the entry of a list with one a layer."""
    name, value = config.find(*names)
    if not isinstance(value, list):
        return config.number(*names)
    if index >= len(value):
        raise config.wrong(name, f"{len(value)} entries", "one for each layer")
    return Config({name: value[index]}, config.label, config.prefix).number(name)


def _layer(config: Config, index: int, word: str, heads: int, width: int) -> Layer:
    kind = _KINDS[word]
    if kind == "none":
        return Layer("none")
    conv, state = _state(config, width, word) if kind in ("state", "both") else (0, 0)
    if kind == "state":
        return Layer("recurrent", convolution_state=conv, recurrent_state=state)
    # In a family that compresses, keys serve as values in the layers that do not, too.
    if kind == "compressed" or (kind == "window" and config.has("compress_ratios", "compress_rates")):
        return _compressed(config, index, word)
    if config.number("kv_lora_rank") and config.number("qk_rope_head_dim") is not None and kind != "window":
        return _latent(config, index)
    return _grouped(config, index, kind, heads, width, conv, state)


def _latent(config: Config, index: int) -> Layer:
    """One latent vector and the rotary part of one key serve all heads (DeepSeek-V2, section 2.1): 512 + 64 values; a
    sparse indexer keeps a key of its own beside them (DeepSeek-V3.2)."""
    latent, index_keys = config.whole("kv_lora_rank"), _index_keys(config, index)
    rotates = config.list("no_rope_layers", most=_MOST_LAYERS)
    if rotates is None or index >= len(rotates) or rotates[index]:
        latent += config.whole("qk_rope_head_dim")
    sources = config.numbers("kv_source_layers")
    if sources is not None and index < len(sources) and sources[index] != index:
        # The latent of an earlier layer is used (Mistral Large 4); an indexer may still be its own.
        return Layer("shared_kv", index_keys=index_keys)
    return Layer("sparse_index" if index_keys else "latent", latent, 0, index_keys)


def _index_keys(config: Config, index: int) -> int:
    length = config.number("index_head_dim") or 0
    types = config.list("indexer_types", most=_MOST_LAYERS)
    if types is not None and index < len(types):
        # A `shared` layer uses the indexer of one before it.
        return length if types[index] == "full" else 0
    return length


class Heads(NamedTuple):
    """How many heads of a layer keep keys and values, and the lengths of both."""

    kept: int
    key_length: int
    value_length: int


def heads_of(config: Config, index: int, kind: str, heads: int, width: int) -> Heads:
    """The heads that keep something; layers with a window, or without, may have other numbers (Gemma 4, MiMo-V2)."""
    kept = _per_layer(config, index, "num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num")
    kept = heads if kept is None else kept
    key_length = config.number("head_dim", "attention_head_dim", "kv_channels") or width // max(1, heads)
    value_length = config.number("v_head_dim") or key_length
    if kind == "window":
        key_length = config.number("swa_head_dim") or key_length
        value_length = config.number("swa_v_head_dim") or config.number("swa_head_dim") or value_length
        return Heads(config.number("swa_num_key_value_heads") or kept, key_length, value_length)
    if kind == "chunk":
        return Heads(kept, key_length, value_length)
    if global_length := config.number("global_head_dim"):
        key_length = value_length = global_length
    if config.flag("attention_k_eq_v") or config.has("num_global_key_value_heads"):
        kept = config.number("num_global_key_value_heads") or kept
    return Heads(kept, key_length, value_length)


def read_dimensions(config: Config, layers: Sequence[Layer]) -> dict[str, int | tuple[int, ...]]:
    """Counts and lengths of heads by GGUF's names, one number or one a layer; 0 where a layer keeps nothing by heads.

    Qwen3-30B-A3B: 4 heads of 128, where width over heads would be 64.
    """
    heads = config.number("num_attention_heads", "n_head", "n_heads", "num_heads")
    width = config.number("hidden_size", "d_model", "n_embd", "dim")
    if not layers or not heads or not width:
        return {}
    words = _words(config, len(layers))
    none = Heads(0, 0, 0)
    # What is kept for all heads together (a latent, a compressed entry) is kept by no head.
    found = [
        heads_of(config, index, _KINDS[word], heads, width) if layer.keys and layer.values else none
        for index, (word, layer) in enumerate(zip(words, layers, strict=True))
    ]
    told = {"attention.head_count": heads} | {
        name: values[0] if len(set(values)) == 1 else values
        for name, values in (
            ("attention.head_count_kv", tuple(each.kept for each in found)),
            ("attention.key_length", tuple(each.key_length for each in found)),
            ("attention.value_length", tuple(each.value_length for each in found)),
        )
    }
    if config.number("kv_lora_rank"):
        # Lengths of the heads that are made of a latent.
        rotated = config.number("qk_rope_head_dim") or 0
        lengths = {"rope.dimension_count": rotated}
        if plain := config.number("qk_nope_head_dim"):
            lengths["attention.key_length_mla"] = plain + rotated
        if values := config.number("v_head_dim"):
            lengths["attention.value_length_mla"] = values
        told |= lengths
    return told


def _grouped(config: Config, index: int, kind: str, heads: int, width: int, conv: int, state: int) -> Layer:
    """Keys and values for each of the layer's own KV heads."""
    kept, key_length, value_length = heads_of(config, index, kind, heads, width)
    if kind == "window":
        window = config.number("sliding_window", "window_size")
        return _windowed("sliding_window", window, kept, key_length, value_length)
    if kind == "chunk":
        return _windowed("chunked", config.number("attention_chunk_size"), kept, key_length, value_length)
    if kept == 0:
        return Layer("none")
    index_keys = _index_keys(config, index)
    name = "sparse_index" if index_keys else "grouped_query" if kept < heads else "full"
    return Layer(name, kept * key_length, kept * value_length, index_keys, None, conv, state)


def _windowed(kind: str, window: int | None, kv_heads: int, key_length: int, value_length: int) -> Layer:
    return Layer(kind, kv_heads * key_length, kv_heads * value_length, 0, window or None)


def _compressed(config: Config, index: int, word: str) -> Layer:
    """DeepSeek-V4: a window of whole tokens, and one entry for every few tokens before it; keys serve as values."""
    ratios: list[int] = config.numbers("compress_ratios") or []
    ratio = ratios[index] if index < len(ratios) else 0
    if not ratio and _KINDS[word] == "compressed":
        rates = config.section("compress_rates")
        ratio = rates.number(word) or 1
    entry, window = config.whole("head_dim"), config.number("sliding_window")
    if ratio < 2:
        return Layer("sliding_window", entry, 0, 0, window)
    chooses = word == "compressed_sparse_attention"
    return Layer("compressed", entry, 0, _index_keys(config, index) if chooses else 0, window, tokens_per_entry=ratio)


def _state(config: Config, width: int, word: str) -> tuple[int, int]:
    """Values of a convolution's memory and of a recurrent state (vLLM, mamba_utils.py, MambaStateShapeCalculator)."""
    stated = config.number("conv_state_values"), config.number("recurrent_state_values")
    if stated != (None, None):  # filled in by the family's file
        return stated[0] or 0, stated[1] or 0
    if short := config.number("conv_L_cache"):  # LFM2
        return width * (short - 1), 0
    if heads := config.number("linear_num_value_heads"):  # gated delta net (Qwen3-Next)
        key_heads = config.whole("linear_num_key_heads", default=heads)
        keys, values = config.whole("linear_key_head_dim"), config.whole("linear_value_head_dim")
        kernel = config.whole("linear_conv_kernel_dim", default=4, least=1)
        return (2 * key_heads * keys + heads * values) * (kernel - 1), heads * keys * values
    linear = config.section("linear_attn_config")
    if linear.data and word != "mamba":  # Kimi Delta Attention: three convolutions, a matrix a head
        heads, length = linear.whole("num_heads"), linear.whole("head_dim")
        kernel = linear.whole("short_conv_kernel_size", default=4, least=1)
        return 3 * heads * length * (kernel - 1), heads * length * length
    kernel = config.whole("conv_kernel", "mamba_d_conv", "conv_kernel_size", "mamba_conv_kernel", default=4, least=1)
    state = config.number("ssm_state_size", "mamba_d_state", "state_size", "mamba_state_dim")
    if state:
        inner = _inner(config, width)
        # Only the second Mamba shares its inputs among groups of heads.
        is_grouped = config.has("mamba_num_heads", "mamba_n_heads", "num_heads")
        groups = config.number("n_groups", "mamba_n_groups", "mamba_ngroups", default=1) if is_grouped else 0
        return (inner + 2 * (groups or 0) * state) * (kernel - 1), inner * state
    if size := config.number("head_size"):  # RWKV
        return 2 * width, width * size
    if heads := config.number("num_attention_heads"):  # lightning attention (MiniMax-Text-01): a matrix a head
        size = config.number("head_dim") or width // heads
        return 0, heads * size * size
    return 0, 0


def _inner(config: Config, width: int) -> int:
    inner = config.number("mamba_d_ssm", "mamba_intermediate_size")
    heads, length = (
        config.number("mamba_num_heads", "mamba_n_heads", "num_heads"),
        config.number("mamba_head_dim", "mamba_d_head", "mamba_headdim", "head_dim"),
    )
    if inner is None and heads and length and config.has("mamba_num_heads", "mamba_n_heads", "num_heads"):
        inner = heads * length
    if inner is None:
        inner = config.number("intermediate_size") if config.has("state_size") else None
    return inner if inner is not None else width * config.whole("expand", "mamba_expand", default=2)
