"""Laguna: a gate for each head, a number of heads a layer, experts beside a shared one after the first layer."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume, layer_count
from weighbridge.facts.architectures.deepseek_v3 import is_sparse
from weighbridge.facts.architectures.llama import decoder, feed_forward, grouped_query, head_length, with_kinds
from weighbridge.facts.config import Config
from weighbridge.facts.gguf import Value
from weighbridge.facts.keys import Keys
from weighbridge.facts.parts import Part, gated, linear, routed


def complete(config: Config) -> Config:
    """The defaults of `LagunaConfig`: all layers attend to everything unless kinds are listed."""
    config = assume(
        config, num_key_value_heads=8, head_dim=128, num_experts=256, sliding_window=512, first_k_dense_replace=1,
        shared_expert_intermediate_size=512,
    )  # fmt: skip
    return with_kinds(config, ["full_attention"] * layer_count(config))


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor, and the biases that balance experts, which are parameters here."""
    return decoder(config, prefix, output, _attention, _mixture)


def _attention(config: Config, name: str, layer: int) -> Iterator[Part]:
    listed = config.numbers("num_attention_heads_per_layer") or []
    heads = listed[layer] if layer < len(listed) else config.whole("num_attention_heads")
    yield from grouped_query(config, name, layer, heads=heads, head_norms=True)
    for_each_head = config.data.get("gating", True) in (True, "per-head")
    gates = heads if for_each_head else heads * head_length(config)
    yield from linear(f"{name}.self_attn.g_proj", config.whole("hidden_size"), gates)


def _mixture(config: Config, name: str, layer: int) -> Iterator[Part]:
    if not is_sparse(config, layer):
        yield from feed_forward(config, name, layer, bias=False)
        return
    width, experts = config.whole("hidden_size"), config.whole("num_experts")
    yield from routed(f"{name}.mlp", width, config.whole("moe_intermediate_size"), experts)
    yield Part(f"{name}.mlp.experts.e_score_correction_bias", (experts,))
    yield from gated(f"{name}.mlp.shared_expert", width, config.whole("shared_expert_intermediate_size"))


def complete_header(_keys: Keys) -> dict[str, Value]:
    """llama.cpp's: the first layer of each four has no window."""
    return {"attention.sliding_window_pattern": 4, "attention.dense_first": True}
