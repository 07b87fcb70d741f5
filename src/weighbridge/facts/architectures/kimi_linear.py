"""Kimi Linear: Kimi Delta Attention in most layers, latent attention in the others, experts named as Mixtral's."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume, layer_count, layer_types
from weighbridge.facts.architectures.deepseek_v3 import is_sparse, latent
from weighbridge.facts.architectures.llama import decoder, feed_forward, with_kinds
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, gated, linear, norm, routed


def complete(config: Config) -> Config:
    """The defaults of `KimiLinearConfig`; the published config numbers its layers from 1."""
    linear_part = config.section("linear_attn_config")
    full, count = linear_part.numbers("full_attn_layers"), layer_count(config)
    listed = [layer + 1 in full if full else layer > 0 and layer % 4 == 0 for layer in range(count)]
    config = assume(config, first_k_dense_replace=1, num_shared_experts=1, num_experts=256)
    heads = {
        "num_heads": linear_part.whole("num_heads", default=config.whole("linear_num_heads", default=32)),
        "head_dim": linear_part.whole("head_dim", default=config.whole("linear_head_dim", default=128)),
        "short_conv_kernel_size": linear_part.whole(
            "short_conv_kernel_size", default=config.whole("linear_conv_kernel_dim", default=4)
        ),
    }
    config = config.replace(linear_attn_config=linear_part.data | heads)
    return with_kinds(config, ["full_attention" if is_full else "linear_attention" for is_full in listed])


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    kinds = layer_types(config)

    def attention(config: Config, name: str, layer: int) -> Iterator[Part]:
        is_full = kinds[layer] == "full_attention"
        return latent(config, name, layer) if is_full else delta(config, f"{name}.self_attn")

    return decoder(config, prefix, output, attention, _mixture)


def delta(config: Config, name: str) -> Iterator[Part]:
    """Kimi Delta Attention."""
    shape, width = config.section("linear_attn_config"), config.whole("hidden_size")
    heads, length, kernel = shape.whole("num_heads"), shape.whole("head_dim"), shape.whole("short_conv_kernel_size")
    inner = heads * length
    for each in ("q", "k", "v"):
        yield from linear(f"{name}.{each}_proj", width, inner)
        yield Part(f"{name}.{each}_conv1d.weight", (inner, 1, kernel))
    yield Part(f"{name}.A_log", (1, 1, heads, 1))
    yield Part(f"{name}.dt_bias", (inner,))
    yield from linear(f"{name}.b_proj", width, heads)
    for each in ("f", "g"):
        yield from linear(f"{name}.{each}_a_proj", width, length)
        yield from linear(f"{name}.{each}_b_proj", length, inner)
    yield from norm(f"{name}.o_norm", length)
    yield from linear(f"{name}.o_proj", inner, width)


def _mixture(config: Config, name: str, layer: int) -> Iterator[Part]:
    if not is_sparse(config, layer):
        yield from feed_forward(config, name, layer, bias=False)
        return
    width, inner, place = config.whole("hidden_size"), config.whole("moe_intermediate_size"), "block_sparse_moe"
    yield from routed(f"{name}.{place}", width, inner, config.whole("num_experts"), names=("w1", "w3", "w2"))
    if shared := config.whole("num_shared_experts", "n_shared_experts", default=0):
        yield from gated(f"{name}.{place}.shared_experts", width, shared * inner)
