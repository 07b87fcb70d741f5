"""OLMoE: experts, queries and keys normed over all heads."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from weighbridge.facts.architectures._assumed import assume
from weighbridge.facts.architectures.llama import NORMS, decoder, grouped_query
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, routed


def complete(config: Config) -> Config:
    """The defaults of `OlmoeConfig`."""
    return assume(config, num_experts=64)


def parts(
    config: Config, prefix: str = "model", output: str = "lm_head", norms: tuple[str, ...] = NORMS
) -> Iterator[Part]:
    """Every tensor."""
    return decoder(config, prefix, output, partial(grouped_query, wide_norms=True), _mixture, norms=norms)


def _mixture(config: Config, name: str, _layer: int) -> Iterator[Part]:
    width, inner = config.whole("hidden_size"), config.whole("intermediate_size")
    return routed(f"{name}.mlp", width, inner, config.whole("num_experts", "num_local_experts"))
