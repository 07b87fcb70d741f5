"""Hunyuan-A13B: experts beside one shared network of the same size."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures.hunyuan_v1_dense import attention
from weighbridge.facts.architectures.llama import decoder
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, gated, routed


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    return decoder(config, prefix, output, attention, _mixture)


def _mixture(config: Config, name: str, _layer: int) -> Iterator[Part]:
    width, inner = config.whole("hidden_size"), config.whole("intermediate_size")
    yield from routed(f"{name}.mlp", width, inner, config.whole("num_experts", default=1), router="gate.wg")
    yield from gated(f"{name}.mlp.shared_mlp", width, inner)
