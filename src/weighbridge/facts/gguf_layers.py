"""Layers from the keys that a GGUF header holds, as llama.cpp reads them; no architecture is asked for its name.

Sources: llama-model.cpp (load_hparams, create_memory), llama-hparams.cpp, llama-kv-cache.cpp, read 2026-11.
"""

from __future__ import annotations

from dataclasses import dataclass

from .keys import Keys
from .model_facts import Layer


@dataclass(frozen=True, slots=True)
class _Attention:
    """The keys on attention: one number for all layers, or a list with one a layer."""

    heads: tuple[int, ...]
    kv_heads: tuple[int, ...]
    lengths: tuple[int, int]
    window_lengths: tuple[int, int]
    windows: tuple[int | None, ...]
    window_kind: str
    latent: int | None
    index_keys: tuple[int, ...]


def every(period: int, count: int, *, dense_first: bool = False) -> list[int]:
    """1 for each layer with a window where one layer in `period` has none: the last of them, or the first
    (llama-hparams.cpp, set_swa_pattern)."""
    if period == 0:
        return [1] * count
    plain = 0 if dense_first else period - 1
    return [int(index % period != plain) for index in range(count)]


def read_layers(keys: Keys, notes: list[str]) -> tuple[Layer, ...]:
    """What each layer keeps, as llama.cpp keeps it.

    Full attention keeps kv_heads x (key_length + value_length) values a token, e.g. 8 x (128 + 128) x 2 = 4096 bytes.
    """
    count = keys.whole("block_count", least=1, most=4096)
    # Layers that predict further tokens come last, and the main context keeps nothing for them.
    answering = count - min(keys.number("nextn_predict_layers") or 0, count - 1)
    attention = _attention(keys, count, notes)
    recurrent = _recurrent(keys, count, attention)
    shared = keys.number("attention.shared_kv_layers") or 0
    ratios = keys.numbers("attention.compress_ratios") or []
    layers = []
    for index in range(count):
        if index >= answering or keys.flag("attention.causal") is False:
            layers.append(Layer("none"))
        elif index >= count - shared:
            layers.append(Layer("shared_kv", window_tokens=attention.windows[index]))
        elif ratios:
            layers.append(_compressed(keys, attention, ratios[index] if index < len(ratios) else 0, index))
        else:
            layers.append(_layer(keys, attention, index, recurrent[index]))
    return tuple(layers)


def _attention(keys: Keys, count: int, notes: list[str]) -> _Attention:
    embedding = keys.whole("embedding_length")
    heads = keys.per_layer("attention.head_count", count) or (1,) * count
    kv_heads = keys.per_layer("attention.head_count_kv", count) or heads
    head_length = embedding // max(1, *heads)
    key_length = keys.number("attention.key_length") or head_length
    value_length = keys.number("attention.value_length") or head_length
    # Without these two keys llama.cpp unfolds the latent vector and keeps a key and a value for each head
    # (llama-hparams.cpp, is_mla).
    is_latent = keys.number("attention.key_length_mla") and keys.number("attention.value_length_mla")
    return _Attention(
        heads,
        kv_heads,
        (key_length, value_length),
        (
            keys.number("attention.key_length_swa") or key_length,
            keys.number("attention.value_length_swa") or value_length,
        ),
        _windows(keys, count, notes),
        keys.text("attention.window_kind") or "sliding_window",
        keys.number("attention.kv_lora_rank") if is_latent else None,
        _index_keys(keys, count),
    )


def _windows(keys: Keys, count: int, notes: list[str]) -> tuple[int | None, ...]:
    window = keys.number("attention.sliding_window")
    if not window:
        return (None,) * count
    pattern = keys.per_layer("attention.sliding_window_pattern", count)
    if pattern is None:
        notes.append(
            f"a sliding window of {window:,} tokens, but the file does not say which layers use it: "
            "each is counted as attending to everything, the most that it can be"
        )
        return (None,) * count
    if keys.length("attention.sliding_window_pattern") is None:
        # A single number is a period: the last layer of each attends to everything.
        pattern = tuple(every(pattern[0], count))
    return tuple(window if uses else None for uses in pattern)


def _index_keys(keys: Keys, count: int) -> tuple[int, ...]:
    """Values a token that a sparse indexer keeps a layer: layers may share another's indexer, and the first ones of
    MiniMax-M3 have none."""
    length = keys.number("attention.indexer.key_length") or 0
    types = keys.per_layer("attention.indexer.types", count)
    dense = keys.number("attention.indexer.leading_dense") or 0
    return tuple(length if index >= dense and (types is None or types[index]) else 0 for index in range(count))


def _recurrent(keys: Keys, count: int, attention: _Attention) -> tuple[str, ...]:
    """For each layer: `state` (only a state), `both`, `attention`, or `none`."""
    conv, state = _state(keys, attention)
    if keys.number("wkv.head_size") or (conv + state and keys.length("attention.head_count_kv") is None
                                        and keys.number("attention.head_count_kv") is None):  # fmt: skip
        return ("state",) * count
    listed = keys.per_layer("attention.recurrent_layers", count)
    interval = keys.number("full_attention_interval")
    if listed is None and interval and conv + state:
        listed = tuple(int((index + 1) % interval != 0) for index in range(count))
    if listed is not None:
        return tuple("state" if is_recurrent else "attention" for is_recurrent in listed)
    feed_forward = keys.per_layer("feed_forward_length", count) or (0,) * count
    # Where some layers have no feed-forward network, each layer is one thing alone (Nemotron-H).
    alone = 0 in feed_forward and any(feed_forward)
    kinds = []
    for index in range(count):
        if attention.kv_heads[index] == 0:
            kinds.append("none" if not conv + state or (alone and feed_forward[index]) else "state")
        else:
            # One number of heads for all means that every layer is both (Falcon-H1).
            both = conv + state and keys.length("attention.head_count_kv") is None
            kinds.append("both" if both else "attention")
    return tuple(kinds)


def _layer(keys: Keys, attention: _Attention, index: int, part: str) -> Layer:
    if part == "none":
        return Layer("none")
    conv, state = _state(keys, attention) if part in ("state", "both") else (0, 0)
    if part == "state":
        return Layer("recurrent", convolution_state=conv, recurrent_state=state)
    kv_heads, window = attention.kv_heads[index], attention.windows[index]
    index_keys = attention.index_keys[index]
    if attention.latent:
        # One latent vector and the rotary part of one key serve all heads (DeepSeek-V2, section 2.1).
        rotary = keys.number("rope.dimension_count") or 0
        kind = "sparse_index" if index_keys else "latent"
        return Layer(kind, attention.latent + rotary, 0, index_keys, window, conv, state)
    lengths = attention.window_lengths if window else attention.lengths
    kind = "sparse_index" if index_keys else attention.window_kind if window else ""
    if not kind:
        kind = "grouped_query" if kv_heads < attention.heads[index] else "full"
    return Layer(kind, kv_heads * lengths[0], kv_heads * lengths[1], index_keys, window, conv, state)


def _compressed(keys: Keys, attention: _Attention, ratio: int, index: int) -> Layer:
    """DeepSeek-V4: a window of whole tokens, and one entry for every `ratio` tokens before it; keys serve as values."""
    window = keys.number("attention.sliding_window")
    entry = attention.kv_heads[index] * attention.lengths[0]
    if ratio < 2:
        return Layer("sliding_window", entry, 0, 0, window)
    # Only the finely compressed layers choose among entries (llama-kv-cache-dsv4.cpp, DSV4_CSA_RATIO).
    chooses = ratio == min(other for other in (keys.numbers("attention.compress_ratios") or [ratio]) if other > 1)
    return Layer("compressed", entry, 0, attention.index_keys[index] if chooses else 0, window, tokens_per_entry=ratio)


def _state(keys: Keys, attention: _Attention) -> tuple[int, int]:
    """Values of fixed state of a recurrent layer: llama.cpp's n_embd_r and n_embd_s (llama-hparams.cpp)."""
    embedding = keys.whole("embedding_length")
    if short := keys.number("shortconv.l_cache"):
        return embedding * (short - 1), 0
    if head := keys.number("wkv.head_size"):  # RWKV
        return embedding * (keys.number("token_shift_count") or 2), embedding * head
    kernel = keys.number("ssm.conv_kernel") or 0
    if head := keys.number("kda.head_dim"):  # Kimi Delta Attention: three convolutions, a matrix a head
        heads = max(attention.heads)
        return 3 * (kernel - 1 if kernel else 3) * heads * head, head * head * heads
    inner, state = keys.number("ssm.inner_size"), keys.number("ssm.state_size")
    if not inner or not state:
        return 0, 0
    groups = keys.number("ssm.group_count") or 0
    return max(0, kernel - 1) * (inner + 2 * groups * state), state * inner
