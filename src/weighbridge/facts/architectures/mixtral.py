"""Mixtral: Mistral whose feed-forward networks are experts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from weighbridge.facts.architectures._assumed import assume
from weighbridge.facts.architectures.llama import decoder, grouped_query
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, routed


def complete(config: Config) -> Config:
    """The defaults of `MixtralConfig`."""
    return assume(config, num_key_value_heads=8, num_local_experts=8)


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    return decoder(config, prefix, output, partial(grouped_query, bias=False), mixture)


def mixture(config: Config, name: str, _layer: int, place: str = "block_sparse_moe") -> Iterator[Part]:
    """Experts named as Mixtral names them."""
    width, inner = config.whole("hidden_size"), config.whole("intermediate_size")
    experts = config.whole("num_local_experts", "num_experts")
    yield from routed(f"{name}.{place}", width, inner, experts, names=("w1", "w3", "w2"))
