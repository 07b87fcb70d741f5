"""Layers from the keys that a GGUF header holds, as llama.cpp reads them; no architecture is asked for its name.

Where llama.cpp knows more of an architecture than its files say, `complete_header` in `architectures/` supplies keys,
some of which no file has:

- `attention.cached`: false where nothing is kept, as in encoders,
- `attention.nextn_cached`: true where the main context keeps the layers that predict further tokens too,
- `attention.window_kind`: `chunked`, `compressed`, or `none` where the window is not heeded,
- `attention.dense_first`: true where the first layer of each period is the one without a window,
- `attention.indexer.leading_dense`: how many of the first layers have no indexer,
- `attention.indexer.vectors`: how many vectors of its length an indexer keeps a token,
- `attention.indexer.value_length`: room for values that is made beside an indexer's keys,
- `attention.router_layer`: true where after the last layer comes one more, with a single head,
- `lightning.head_dim`: the length of a head of MiniMax's linear attention.

Sources: llama-model.cpp (load_hparams, create_memory), llama-hparams.cpp, llama-kv-cache*.cpp, llama-memory-*.cpp, the
`load_arch_hparams` of models/*.cpp, read 2026-11; tests/facts/test_engine_caches.py asks the engine.
"""

from __future__ import annotations

from dataclasses import dataclass

from .keys import Keys
from .model_facts import Layer

_MOST_LAYERS = 4096
# The two ratios at which DeepSeek-V4 compresses (llama-kv-cache-dsv4.cpp, DSV4_CSA_RATIO and DSV4_HCA_RATIO).
_FINE, _COARSE = 4, 128


@dataclass(frozen=True, slots=True)
class _Attention:
    """The keys on attention: one number for all layers, or a list with one a layer."""

    heads: tuple[int, ...]
    kv_heads: tuple[int, ...]
    lengths: tuple[int, int]
    window_lengths: tuple[int, int]
    windows: tuple[int | None, ...]
    window_kind: str
    is_latent: bool
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
    count = keys.whole("block_count", least=1, most=_MOST_LAYERS)
    if keys.flag("attention.cached") is False:
        return (Layer("none"),) * count
    attention = _attention(keys, count, notes)
    recurrent = _recurrent(keys, count, attention)
    kept = _kept(keys, count)
    shared = keys.number("attention.shared_kv_layers") or 0
    layers = []
    for index in range(count):
        if index >= kept:
            layers.append(Layer("none"))
        elif index >= count - shared:
            layers.append(Layer("shared_kv", window_tokens=attention.windows[index]))
        else:
            layers.append(_layer(keys, attention, index, recurrent[index]))
    if keys.flag("attention.router_layer"):
        layers.append(Layer("full", *attention.lengths))
    # A stack that is run through several times keeps what each time needs (Nanbeige).
    loops = keys.number("num_loops") or 1
    if loops * count > _MOST_LAYERS:
        raise keys.wrong("num_loops", loops, f"at most {_MOST_LAYERS // count:,} for {count:,} layers")
    return tuple(layers) * loops


def _kept(keys: Keys, count: int) -> int:
    """How many layers keep anything: those that predict further tokens come last, and the main context keeps nothing
    for them."""
    predicting = keys.number("nextn_predict_layers") or 0
    keeps_all = predicting >= count or keys.flag("attention.nextn_cached")
    return count if keeps_all else count - predicting


def _attention(keys: Keys, count: int, notes: list[str]) -> _Attention:
    embedding = keys.whole("embedding_length")
    heads = keys.per_layer("attention.head_count", count) or (0,) * count
    kv_heads = keys.per_layer("attention.head_count_kv", count) or heads
    head_length = embedding // max(1, heads[0])
    key_length = keys.number("attention.key_length") or head_length
    value_length = keys.number("attention.value_length") or head_length
    # Without these two keys llama.cpp unfolds the latent vector and keeps a key and a value for each head
    # (llama-hparams.cpp, is_mla).
    is_latent = bool(keys.number("attention.key_length_mla") and keys.number("attention.value_length_mla"))
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
        is_latent,
        _index_keys(keys, count),
    )


def _windows(keys: Keys, count: int, notes: list[str]) -> tuple[int | None, ...]:
    window = keys.number("attention.sliding_window")
    if not window or keys.text("attention.window_kind") == "none":
        return (None,) * count
    pattern = _listed(keys, "attention.sliding_window_pattern", count)
    if pattern is None:
        # A single number is a period.
        period = keys.number("attention.sliding_window_pattern")
        if period is None:
            notes.append(
                f"a sliding window of {window:,} tokens, but the file does not say which layers use it: "
                "each is counted as attending to everything, the most that it can be"
            )
            return (None,) * count
        pattern = every(period, count, dense_first=keys.flag("attention.dense_first") is True)
    return tuple(window if uses else None for uses in pattern)


def _listed(keys: Keys, key: str, count: int) -> list[int] | None:
    """A list with one entry a layer, or fewer: layers that predict further tokens are left out of some."""
    found = keys.numbers(key)
    if found is not None and len(found) > count:
        raise keys.wrong(key, found, f"at most {count} numbers, one a layer")
    return None if found is None else found + [0] * (count - len(found))


def _index_keys(keys: Keys, count: int) -> tuple[int, ...]:
    """Values a token that a sparse indexer keeps a layer: layers may share another's indexer, and the first ones of
    MiniMax-M3 have none."""
    length = keys.number("attention.indexer.key_length") or 0
    if keys.number("attention.indexer.kpool"):
        # Key, gate and pooled value (llama-memory-hybrid-idx.cpp).
        length *= 3
    length *= keys.number("attention.indexer.vectors") or 1
    length += keys.number("attention.indexer.value_length") or 0
    types = _listed(keys, "attention.indexer.types", count)
    dense = keys.number("attention.indexer.leading_dense") or 0
    return tuple(length if index >= dense and (types is None or types[index]) else 0 for index in range(count))


def _recurrent(keys: Keys, count: int, attention: _Attention) -> tuple[str, ...]:
    """For each layer: `state` (only a state), `both`, `attention`, or `none`."""
    has_state = any(_state(keys, attention))
    if keys.number("wkv.head_size") or (has_state and keys.value("attention.head_count_kv") is None):
        return ("state",) * count
    listed = keys.per_layer("attention.recurrent_layers", count)
    interval = keys.number("full_attention_interval")
    if listed is None and interval and has_state:
        listed = tuple(every(interval, count))
    if listed is not None:
        return tuple("state" if is_recurrent else "attention" for is_recurrent in listed)
    feed_forward = keys.per_layer("feed_forward_length", count) or (0,) * count
    # Where some layers of a hybrid have no feed-forward network, those with one have nothing else (Nemotron-H).
    alone = has_state and 0 in feed_forward
    kinds = []
    for index in range(count):
        if alone and feed_forward[index]:
            kinds.append("none")
        elif attention.kv_heads[index] == 0:
            kinds.append("state" if has_state else "none")
        else:
            # One number of heads for all means that every layer is both (Falcon-H1).
            both = has_state and keys.length("attention.head_count_kv") is None
            kinds.append("both" if both else "attention")
    return tuple(kinds)


def _layer(keys: Keys, attention: _Attention, index: int, part: str) -> Layer:
    if part == "none":
        return Layer("none")
    conv, state = _state(keys, attention) if part in ("state", "both") else (0, 0)
    if part == "state":
        return Layer("recurrent", convolution_state=conv, recurrent_state=state)
    kv_heads, window, index_keys = attention.kv_heads[index], attention.windows[index], attention.index_keys[index]
    key_length, value_length = attention.window_lengths if window else attention.lengths
    if attention.window_kind == "compressed":
        return _compressed(keys, kv_heads * key_length, index_keys, index)
    if attention.is_latent:
        # One latent vector and the rotary part of one key serve all heads (DeepSeek-V2, section 2.1).
        kind = "sparse_index" if index_keys else "latent"
        return Layer(kind, kv_heads * key_length, 0, index_keys, window, conv, state)
    kind = "sparse_index" if index_keys else attention.window_kind if window else ""
    if not kind:
        kind = "grouped_query" if kv_heads < attention.heads[index] else "full"
    return Layer(kind, kv_heads * key_length, kv_heads * value_length, index_keys, window, conv, state)


def _compressed(keys: Keys, entry: int, index_keys: int, index: int) -> Layer:
    """DeepSeek-V4: a window of whole tokens, and one entry for every `ratio` tokens before it; keys serve as values."""
    ratios = keys.numbers("attention.compress_ratios") or []
    window = keys.number("attention.sliding_window")
    ratio = ratios[index] if index < len(ratios) else 0
    if ratio not in (_FINE, _COARSE):
        return Layer("sliding_window", entry, 0, 0, window)
    # What becomes an entry is gathered for keys and for scores, twice as much of it where entries overlap; only finely
    # compressed layers choose among entries, by an index that is gathered too.
    gathered = 2 * ratio * entry
    if ratio == _FINE:
        gathered = 2 * 2 * ratio * 2 * (entry + index_keys)
    return Layer(
        "compressed", entry, 0, index_keys if ratio == _FINE else 0, window, recurrent_state=gathered,
        tokens_per_entry=ratio,
    )  # fmt: skip


def _state(keys: Keys, attention: _Attention) -> tuple[int, int]:
    """Values of fixed state of a recurrent layer: llama.cpp's n_embd_r and n_embd_s (llama-hparams.cpp)."""
    embedding = keys.whole("embedding_length")
    if short := keys.number("shortconv.l_cache"):
        return embedding * (short - 1), 0
    if head := keys.number("wkv.head_size"):  # RWKV
        shifts = keys.number("token_shift_count")
        return embedding * (2 if shifts is None else shifts), embedding * head
    kernel = keys.number("ssm.conv_kernel") or 0
    heads = attention.heads[0]
    if head := keys.number("kda.head_dim"):  # Kimi Delta Attention: three convolutions, a matrix a head
        return 3 * (kernel - 1 if kernel else 3) * heads * head, head * head * heads
    if head := keys.number("lightning.head_dim"):  # MiniMax-01: a matrix a head
        return 0, head * head * heads
    inner, state = keys.number("ssm.inner_size"), keys.number("ssm.state_size")
    if not inner or not state:
        return 0, 0
    groups = keys.number("ssm.group_count") or 0
    return max(0, kernel - 1) * (inner + 2 * groups * state), state * inner
