"""LFM2 with experts behind the first layers."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume, layer_count
from weighbridge.facts.architectures.lfm2 import around, feeding, keeping, mixing
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear


def complete(config: Config) -> Config:
    """The defaults of `Lfm2MoeConfig`; which layers attend, each config says itself."""
    config = assume(
        config, vocab_size=65536, hidden_size=2048, intermediate_size=7168, moe_intermediate_size=1792,
        num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8, conv_L_cache=3, num_dense_layers=2,
        num_experts=32, num_experts_per_tok=4,
    )  # fmt: skip
    return keeping(config)


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    yield from around(config, (_layer(config, layer) for layer in range(layer_count(config))))


def _layer(config: Config, layer: int) -> Iterator[Part]:
    width, block = config.whole("hidden_size"), f"model.layers.{layer}"
    yield from mixing(config, block, layer)
    if layer < config.whole("num_dense_layers"):
        yield from feeding(f"{block}.feed_forward", width, config.whole("intermediate_size"))
    else:
        experts, inner = config.whole("num_experts"), config.whole("moe_intermediate_size")
        yield from linear(f"{block}.feed_forward.gate", width, experts)
        yield from feeding(f"{block}.feed_forward.experts.*", width, inner, copies=experts)
