"""Cohere's mixture: Command A with experts after a few dense layers."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures import cohere
from weighbridge.facts.architectures._assumed import assume, each
from weighbridge.facts.architectures.deepseek_v3 import is_sparse
from weighbridge.facts.architectures.llama import decoder, grouped_query, with_kinds
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, gated, routed


def complete(config: Config) -> Config:
    """The defaults of `Cohere2MoeConfig`: the dense layers have a pattern of windows of their own."""
    config = assume(cohere.complete(config), sliding_window=4096, head_dim=128, num_experts=8)
    first, period = config.whole("first_k_dense_replace", default=0), config.whole("sliding_window_pattern", default=4)
    before = config.whole("prefix_dense_sliding_window_pattern", default=1)
    kinds = each(config, period, "full_attention", "sliding_attention")
    dense = each(config, before, "full_attention", "sliding_attention")[:first]
    return with_kinds(config, dense + kinds[: len(kinds) - len(dense)])


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    return decoder(config, prefix, output, grouped_query, _mixture, norms=("input_layernorm",))


def _mixture(config: Config, name: str, layer: int) -> Iterator[Part]:
    width, inner = config.whole("hidden_size"), config.whole("intermediate_size")
    if not is_sparse(config, layer):
        yield from gated(f"{name}.mlp", width, config.whole("prefix_dense_intermediate_size", default=inner))
        return
    yield from routed(f"{name}.mlp", width, inner, config.whole("num_experts"))
    if shared := config.whole("num_shared_experts", default=0):
        yield from gated(f"{name}.mlp.shared_experts", width, shared * inner)
