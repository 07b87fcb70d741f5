"""ERNIE 4.5, mixture: experts beside shared ones in a range of layers."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume, layer_count
from weighbridge.facts.architectures.ernie4_5 import attention, dense
from weighbridge.facts.architectures.llama import decoder, one_layer
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, gated, linear, norm, routed


def complete(config: Config) -> Config:
    """The defaults of `Ernie4_5_MoeConfig`; -1 is the last layer."""
    if config.data.get("moe_layer_end_index") == -1:
        config = config.replace(moe_layer_end_index=None)
    return assume(
        config, num_key_value_heads=4, tie_word_embeddings=True, moe_num_shared_experts=2, moe_layer_start_index=1
    )


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor, and the biases that balance experts, which are parameters here."""
    yield from decoder(config, prefix, output, attention, _mixture)
    width, bias = config.whole("hidden_size"), config.flag("use_bias")
    if bias:
        yield Part(f"{output}.bias", (config.whole("vocab_size"),))
    for layer in range(config.whole("num_nextn_predict_layers", default=0, most=64)):
        yield from norm(f"{prefix}.mtp_emb_norm.{layer}", width)
        yield from norm(f"{prefix}.mtp_hidden_norm.{layer}", width)
        yield from linear(f"{prefix}.mtp_linear_proj.{layer}", 2 * width, width, bias=bias)
        yield from one_layer(config, f"{prefix}.mtp_block.{layer}", layer, attention, dense)


def _mixture(config: Config, name: str, layer: int) -> Iterator[Part]:
    last = config.whole("moe_layer_end_index", default=max(layer_count(config) - 1, 0))
    first, interval = config.whole("moe_layer_start_index"), config.whole("moe_layer_interval", default=1, least=1)
    if not first <= layer <= last or (layer + 1) % interval:
        yield from dense(config, name, layer)
        return
    width, inner = config.whole("hidden_size"), config.whole("moe_intermediate_size")
    experts = config.whole("moe_num_experts", "num_experts")
    yield from routed(f"{name}.mlp", width, inner, experts)
    yield Part(f"{name}.mlp.moe_statics.e_score_correction_bias", (1, experts))
    if shared := config.whole("moe_num_shared_experts", default=0):
        yield from gated(f"{name}.mlp.shared_experts", width, shared * inner, bias=config.flag("use_bias"))
