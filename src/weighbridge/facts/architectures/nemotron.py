"""Nemotron-4 and Minitron: layer norms, a feed-forward network without a gate."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures.llama import decoder, grouped_query
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, plain


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    return decoder(config, prefix, output, grouped_query, _feed_forward, shift=True)


def _feed_forward(config: Config, name: str, _layer: int) -> Iterator[Part]:
    width, inner = config.whole("hidden_size"), config.whole("intermediate_size")
    return plain(f"{name}.mlp", width, inner, bias=config.flag("mlp_bias"))
