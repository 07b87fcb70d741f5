"""Qwen2-MoE: Qwen2 with experts beside a shared one, which a gate weighs."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume, layer_count
from weighbridge.facts.architectures.llama import decoder, feed_forward, grouped_query, with_kinds
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, gated, linear, routed


def complete(config: Config) -> Config:
    """The defaults of `Qwen2MoeConfig`."""
    config = assume(config, shared_expert_intermediate_size=5632, qkv_bias=True)
    if not config.flag("use_sliding_window"):
        return config.replace(sliding_window=None)
    config = assume(config, sliding_window=4096)
    first, count = config.whole("max_window_layers", default=28), layer_count(config)
    windowed = [layer % 2 == 0 and layer < first for layer in range(count)]
    return with_kinds(config, ["sliding_attention" if is_windowed else "full_attention" for is_windowed in windowed])


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    return decoder(config, prefix, output, _attention, mixture)


def _attention(config: Config, name: str, layer: int) -> Iterator[Part]:
    return grouped_query(config, name, layer, bias=config.flag("qkv_bias", default=True), output_bias=False)


def mixture(config: Config, name: str, layer: int) -> Iterator[Part]:
    """Experts in each `decoder_sparse_step`th layer, but for those that are listed as dense."""
    experts, step = config.whole("num_experts", "num_local_experts"), config.whole("decoder_sparse_step", default=1)
    dense = config.numbers("mlp_only_layers") or []
    if not experts or layer in dense or (layer + 1) % max(step, 1):
        yield from feed_forward(config, name, layer, bias=False)
        return
    width, shared = config.whole("hidden_size"), config.whole("shared_expert_intermediate_size", default=0)
    yield from routed(f"{name}.mlp", width, config.whole("moe_intermediate_size"), experts)
    if shared:
        yield from gated(f"{name}.mlp.shared_expert", width, shared)
        yield from linear(f"{name}.mlp.shared_expert_gate", width, 1)
