"""ZAYA1: attention over convolved queries and keys, and experts chosen by a small network, one of them idle."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume, layer_count, layer_types
from weighbridge.facts.architectures.llama import NORMS, decoder
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, fused_experts, linear, norm


def complete(config: Config) -> Config:
    """The defaults of `ZayaConfig`; what the convolutions keep beside the cache is a few vectors a layer."""
    config = assume(
        config, vocab_size=262272, hidden_size=2048, num_hidden_layers=40, num_attention_heads=8,
        num_key_value_heads=2, head_dim=128, moe_intermediate_size=2048, num_experts_per_tok=1, num_experts=16,
        router_hidden_size=256, cca_time0=2, cca_time1=2, tie_word_embeddings=True,
    )  # fmt: skip
    config = assume(config, layer_types=["hybrid"] * layer_count(config))
    words = {"hybrid": "full_attention", "hybrid_sliding": "sliding_attention"}
    return config.replace(layer_types=layer_types(config, words))


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    width = config.whole("hidden_size")
    yield Part("model.input_hidden_states_scale", (width,))
    yield Part("model.input_hidden_states_bias", (width,))
    yield from decoder(config, "model", "lm_head", _attention, _mixture, _scales, norms=NORMS)
    if config.flag("lm_head_bias"):
        yield Part("lm_head.bias", (config.whole("vocab_size"),))


def _attention(config: Config, name: str, _layer: int) -> Iterator[Part]:
    width, bias, length = config.whole("hidden_size"), config.flag("attention_bias"), config.whole("head_dim")
    heads, kv_heads = config.whole("num_attention_heads"), config.whole("num_key_value_heads")
    place, channels = f"{name}.self_attn.qkv_proj", (heads + kv_heads) * length
    half = kv_heads * length // 2
    outputs = {"q_proj": heads * length, "k_proj": kv_heads * length, "v_proj_current": half, "v_proj_delayed": half}
    for matrix, size in outputs.items():
        yield from linear(f"{place}.{matrix}", width, size, bias=bias)
    for kind, inputs, time in (("depthwise", 1, "cca_time0"), ("grouped", length, "cca_time1")):
        yield Part(f"{place}.conv_qk_{kind}.weight", (channels, inputs, config.whole(time)))
        yield Part(f"{place}.conv_qk_{kind}.bias", (channels,))
    yield Part(f"{name}.self_attn.qk_norm.temp", (kv_heads,))
    yield from linear(f"{name}.self_attn.o_proj", heads * length, width, bias=bias)


def _mixture(config: Config, name: str, layer: int) -> Iterator[Part]:
    width, experts, inner = config.whole("hidden_size"), config.whole("num_experts"), config.whole("router_hidden_size")
    gate = f"{name}.mlp.gate"
    yield from linear(f"{gate}.down_proj", width, inner, bias=True)
    yield from norm(f"{gate}.router_mlp.norm", inner)
    yield from linear(f"{gate}.router_mlp.fc1", inner, inner, bias=True)
    yield from linear(f"{gate}.router_mlp.fc2", inner, inner, bias=True)
    yield from linear(f"{gate}.router_mlp.out_proj", inner, experts + 1)
    if layer:
        yield Part(f"{gate}.router_states_scale", (inner,))
    yield from fused_experts(f"{name}.mlp.experts", width, config.whole("moe_intermediate_size"), experts)


def _scales(config: Config, name: str, _layer: int) -> Iterator[Part]:
    for place in ("post_attention", "post_mlp"):
        for vector in ("hidden_states_scale", "hidden_states_bias", "residual_scale", "residual_bias"):
            yield Part(f"{name}.{place}_residual_scale.{vector}", (config.whole("hidden_size"),))
