"""Phi-3.5-MoE: Mixtral with layer norms."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume
from weighbridge.facts.architectures.llama import decoder, grouped_query
from weighbridge.facts.architectures.mixtral import mixture
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part


def complete(config: Config) -> Config:
    """The defaults of `PhimoeConfig`."""
    return assume(config, num_key_value_heads=8, num_local_experts=16)


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    yield from decoder(config, prefix, output, grouped_query, mixture, shift=True)
    if config.flag("lm_head_bias"):
        yield Part(f"{output}.bias", (config.whole("vocab_size"),))
