"""LFM2: short convolutions between layers of attention; no state but the last few values."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume, kind_of, layer_count, recurrent
from weighbridge.facts.config import Config
from weighbridge.facts.gguf import Value
from weighbridge.facts.keys import Keys
from weighbridge.facts.parts import Part, attention, embedding_and_output, linear, norm


def complete(config: Config) -> Config:
    """The defaults of `Lfm2Config`, whose older keys count before the newer ones."""
    config = assume(
        config, vocab_size=65536, hidden_size=2560, intermediate_size=12288, num_hidden_layers=32,
        num_attention_heads=32, num_key_value_heads=8, conv_L_cache=3, block_multiple_of=256,
        block_auto_adjust_ff_dim=True,
    )  # fmt: skip
    attending = None if not config.has("full_attn_idxs") else set(config.numbers("full_attn_idxs") or [])
    kinds = ["conv" if attending is not None and i not in attending else "full_attention" for i in _layers(config)]
    inner = config.whole("block_ff_dim", "intermediate_size")
    return keeping(assume(config, layer_types=kinds).replace(intermediate_size=inner))


def keeping(config: Config) -> Config:
    """What a convolution keeps, and whether the output is tied."""
    tied = config.flag("tie_embedding", "tie_word_embeddings", default=True)
    last = config.whole("conv_L_cache", least=1) - 1
    return recurrent(config, conv=config.whole("hidden_size") * last, state=0).replace(tie_word_embeddings=tied)


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    inner = config.whole("intermediate_size")
    if config.flag("block_auto_adjust_ff_dim"):
        multiple, factor = config.whole("block_multiple_of", least=1), config.data.get("block_ffn_dim_multiplier", 1)
        if factor is not None and (isinstance(factor, bool) or not isinstance(factor, int | float) or factor != factor):
            raise config.wrong("block_ffn_dim_multiplier", factor, "a number")
        inner = 2 * inner // 3
        inner = inner if factor is None else -(-int(max(0, min(factor, 64)) * inner) // multiple) * multiple
    yield from around(config, (_layer(config, f"model.layers.{layer}", inner, layer) for layer in _layers(config)))


def around(config: Config, layers: Iterator[Iterator[Part]]) -> Iterator[Part]:
    """The layers with embedding and output."""
    width, tied = config.whole("hidden_size"), config.flag("tie_word_embeddings")
    yield from embedding_and_output(width, config.whole("vocab_size"), tied=tied)
    for layer in layers:
        yield from layer
    yield from norm("model.embedding_norm", width)


def mixing(config: Config, block: str, layer: int) -> Iterator[Part]:
    """Attention or a convolution, and both norms."""
    width, bias = config.whole("hidden_size"), config.flag("conv_bias")
    if kind_of(config, layer) == "conv":
        yield from convolution(f"{block}.conv", width, config.whole("conv_L_cache"), bias=bias)
    else:
        heads = config.whole("num_attention_heads", least=1)
        length = config.whole("head_dim", default=width // heads)
        kv_heads, norms = config.whole("num_key_value_heads"), ("q_layernorm", "k_layernorm")
        name = f"{block}.self_attn"
        yield from attention(name, width, heads, kv_heads, length, output="out_proj", head_norms=True, norms=norms)
    yield from norm(f"{block}.operator_norm", width)
    yield from norm(f"{block}.ffn_norm", width)


def convolution(name: str, width: int, kernel: int, *, bias: bool) -> Iterator[Part]:
    """A gated convolution over the last few tokens."""
    yield Part(f"{name}.conv.weight", (width, 1, kernel))
    if bias:
        yield Part(f"{name}.conv.bias", (width,))
    yield from linear(f"{name}.in_proj", width, 3 * width, bias=bias)
    yield from linear(f"{name}.out_proj", width, width, bias=bias)


def feeding(name: str, width: int, inner: int, *, copies: int = 1) -> Iterator[Part]:
    """A gated feed-forward network, its matrices numbered."""
    yield from linear(f"{name}.w1", width, inner, copies=copies)
    yield from linear(f"{name}.w3", width, inner, copies=copies)
    yield from linear(f"{name}.w2", inner, width, copies=copies)


def _layers(config: Config) -> range:
    return range(layer_count(config))


def _layer(config: Config, block: str, inner: int, layer: int) -> Iterator[Part]:
    yield from mixing(config, block, layer)
    yield from feeding(f"{block}.feed_forward", config.whole("hidden_size"), inner)


def complete_header(_keys: Keys) -> dict[str, Value]:
    """llama.cpp's: where there is a window, all attention has it."""
    return {"attention.sliding_window_pattern": 0}
