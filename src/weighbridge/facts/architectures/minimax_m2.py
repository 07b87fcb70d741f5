"""MiniMax-M2: Mixtral's experts, queries and keys normed over all heads; its further layers are not published."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from weighbridge.facts.architectures._assumed import assume
from weighbridge.facts.architectures.llama import decoder, grouped_query
from weighbridge.facts.architectures.mixtral import mixture
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part


def complete(config: Config) -> Config:
    """The defaults of `MiniMaxM2Config`."""
    return assume(config, head_dim=128, num_key_value_heads=8, num_local_experts=256)


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    return decoder(config, prefix, output, partial(grouped_query, bias=False, wide_norms=True), mixture)
