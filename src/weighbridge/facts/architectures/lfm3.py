"""LFM3: short convolutions between layers of gated attention, some of it in a window."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume, layer_count, layer_types
from weighbridge.facts.architectures.lfm2 import around, convolution, feeding, keeping
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, attention, linear, norm


def complete(config: Config) -> Config:
    """The defaults of `Lfm3Config`."""
    config = assume(
        config, vocab_size=128000, hidden_size=2048, intermediate_size=7680, num_hidden_layers=24,
        num_attention_heads=16, num_key_value_heads=4, head_dim=128, conv_L_cache=7, sliding_window=256,
        use_sandwich_norm=True, use_attention_gate=True,
    )  # fmt: skip
    kinds = ["sliding_attention", "conv", "full_attention", "conv"]
    listed = ["conv", *(kinds[layer % 4] for layer in range(1, layer_count(config)))]
    return keeping(assume(config, layer_types=listed[: layer_count(config)]))


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    yield from around(config, (_layer(config, layer, kind) for layer, kind in enumerate(layer_types(config))))


def _layer(config: Config, layer: int, kind: str) -> Iterator[Part]:
    width, block = config.whole("hidden_size"), f"model.layers.{layer}"
    if kind == "conv":
        bias = config.flag("conv_bias")
        yield from convolution(f"{block}.conv", width, config.whole("conv_L_cache"), bias=bias)
    else:
        heads, kv_heads = config.whole("num_attention_heads"), config.whole("num_key_value_heads")
        name, length, bias = f"{block}.self_attn", config.whole("head_dim"), config.flag("attention_bias")
        yield from attention(name, width, heads, kv_heads, length, bias=bias, head_norms=True)
        if config.flag("use_attention_gate"):
            yield from linear(f"{name}.gate_proj", width, heads)
    yield from feeding(f"{block}.feed_forward", width, config.whole("intermediate_size"))
    norms = ["operator_norm", "ffn_norm"]
    norms += ["post_operator_norm", "post_ffn_norm"] if config.flag("use_sandwich_norm") else []
    for name in norms:
        yield from norm(f"{block}.{name}", width)
