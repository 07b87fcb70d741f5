"""FlexOlmo: OLMoE with OLMo 2's norms after each block."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures import olmo2, olmoe
from weighbridge.facts.architectures._assumed import assume
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part


def complete(config: Config) -> Config:
    """The defaults of `FlexOlmoConfig`."""
    return assume(config, num_experts=7)


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    return olmoe.parts(config, prefix, output, olmo2.NORMS)
