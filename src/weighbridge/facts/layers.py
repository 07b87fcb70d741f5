"""Layers from the keys that a header holds; no architecture is asked for its name."""

from __future__ import annotations

from dataclasses import dataclass

from .keys import Keys
from .model_facts import Layer

_F16_BYTES = 2
_F32_BYTES = 4


@dataclass(frozen=True, slots=True)
class _Attention:
    """The keys on attention: one number for all layers, or a list with one a layer."""

    heads: tuple[int, ...]
    kv_heads: tuple[int, ...]
    key_length: int
    value_length: int
    windows: tuple[int | None, ...]


def _windows(keys: Keys, count: int, notes: list[str]) -> tuple[int | None, ...]:
    window = keys.number("attention.sliding_window")
    if not window:
        return (None,) * count
    # A single number there is a period, whose meaning differs from one architecture to another.
    is_listed = keys.length("attention.sliding_window_pattern") is not None
    pattern = keys.per_layer("attention.sliding_window_pattern", count) if is_listed else None
    if pattern is None:
        # Every layer counted whole is never too little; which layers have a window only the engine's code knows.
        notes.append(
            f"{keys.named('attention.sliding_window')} is {window:,}, and the file does not say which layers use it: "
            "each is counted as attending to everything, the most that it can be"
        )
        return (None,) * count
    return tuple(window if uses else None for uses in pattern)


def read_layers(keys: Keys, notes: list[str]) -> tuple[Layer, ...]:
    """What each layer keeps, as llama.cpp keeps it (llama-kv-cache.cpp, llama-memory-recurrent.cpp), 16 bits a value.

    Full attention keeps kv_heads x (key_length + value_length) values a token, e.g. 8 x (128 + 128) x 2 = 4096 bytes.
    """
    count = keys.whole("block_count", least=1, most=4096)
    embedding = keys.whole("embedding_length")
    heads = keys.per_layer("attention.head_count", count) or (1,) * count
    kv_heads = keys.per_layer("attention.head_count_kv", count) or heads
    head_length = embedding // max(1, *heads)
    attention = _Attention(
        heads,
        kv_heads,
        keys.number("attention.key_length") or head_length,
        keys.number("attention.value_length") or head_length,
        _windows(keys, count, notes),
    )
    # Without these two keys llama.cpp unfolds the latent vector and keeps a key and a value for each head
    # (llama-hparams.cpp, is_mla).
    is_latent = keys.number("attention.key_length_mla") and keys.number("attention.value_length_mla")
    latent = keys.number("attention.kv_lora_rank") if is_latent else None
    state_bytes = _state_bytes(keys, embedding)
    if state_bytes and (keys.per_layer("attention.head_count_kv", count) is None or keys.number("wkv.head_size")):
        attention = _Attention(heads, (0,) * count, 0, 0, attention.windows)
    return tuple(_layer(keys, attention, index, latent, state_bytes) for index in range(count))


def _layer(keys: Keys, attention: _Attention, index: int, latent: int | None, state_bytes: int) -> Layer:
    kv_heads, window = attention.kv_heads[index], attention.windows[index]
    if kv_heads == 0:
        return Layer("recurrent", 0, state_bytes=state_bytes)
    # A list of heads tells recurrent layers from the others by its zeros; one number for all means that every layer
    # is both (Falcon-H1).
    own_state = 0 if keys.length("attention.head_count_kv") is not None else state_bytes
    if latent:
        # One latent vector and the rotary part of one key serve all heads (DeepSeek-V2, section 2.1).
        rotary = keys.number("rope.dimension_count") or 0
        return Layer("latent", (latent + rotary) * _F16_BYTES, own_state, window)
    bytes_per_token = kv_heads * (attention.key_length + attention.value_length) * _F16_BYTES
    return Layer("sliding_window" if window else "full", bytes_per_token, own_state, window)


def _state_bytes(keys: Keys, embedding: int) -> int:
    """Fixed state a recurrent layer: llama.cpp's n_embd_r + n_embd_s (llama-hparams.cpp), 32-bit floats."""
    if short := keys.number("shortconv.l_cache"):
        return embedding * (short - 1) * _F32_BYTES
    if head := keys.number("wkv.head_size"):  # RWKV
        return embedding * ((keys.number("token_shift_count") or 2) + head) * _F32_BYTES
    inner, state = keys.number("ssm.inner_size"), keys.number("ssm.state_size")
    if not inner or not state:
        return 0
    kernel, groups = keys.number("ssm.conv_kernel") or 1, keys.number("ssm.group_count") or 0
    return ((kernel - 1) * (inner + 2 * groups * state) + state * inner) * _F32_BYTES
