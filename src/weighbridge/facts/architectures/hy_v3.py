"""Hunyuan 3: normed heads, experts beside a shared one after the first layer."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from weighbridge.facts.architectures._assumed import assume, layer_count
from weighbridge.facts.architectures.deepseek_v3 import is_sparse
from weighbridge.facts.architectures.llama import NORMS, decoder, feed_forward, grouped_query, one_layer
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, gated, linear, routed

_attention = partial(grouped_query, head_norms=True)


def complete(config: Config) -> Config:
    """The defaults of `HYV3Config`."""
    return assume(
        config, num_key_value_heads=8, head_dim=128, num_experts=192, num_shared_experts=1, first_k_dense_replace=1
    )


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    yield from decoder(config, prefix, output, _attention, _mixture)
    width, count = config.whole("hidden_size"), layer_count(config)
    for layer in range(count, count + config.whole("num_nextn_predict_layers", default=0, most=64)):
        name = f"{prefix}.layers.{layer}"
        yield from linear(f"{name}.eh_proj", 2 * width, width)
        norms = (*NORMS, "enorm", "hnorm", "final_layernorm")
        yield from one_layer(config, name, layer, _attention, _mixture, norms=norms)


def _mixture(config: Config, name: str, layer: int) -> Iterator[Part]:
    if not is_sparse(config, layer):
        yield from feed_forward(config, name, layer)
        return
    width, inner = config.whole("hidden_size"), config.whole("moe_intermediate_size")
    yield from routed(f"{name}.mlp", width, inner, config.whole("num_experts"), router="router.gate")
    if shared := config.whole("num_shared_experts", default=0):
        yield from gated(f"{name}.mlp.shared_mlp", width, shared * inner, bias=config.flag("mlp_bias"))
