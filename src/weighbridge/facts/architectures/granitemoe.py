"""Granite 3, mixture: Llama whose experts are stacked."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures.llama import decoder, grouped_query
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    return decoder(config, prefix, output, grouped_query, mixture)


def mixture(config: Config, name: str, _layer: int) -> Iterator[Part]:
    """Experts in two tensors, gate and up as one."""
    width, inner = config.whole("hidden_size"), config.whole("intermediate_size")
    experts, place = config.whole("num_local_experts", default=8), f"{name}.block_sparse_moe"
    yield from linear(f"{place}.router.layer", width, experts)
    yield Part(f"{place}.input_linear.weight", (experts, 2 * inner, width))
    yield Part(f"{place}.output_linear.weight", (experts, width, inner))
