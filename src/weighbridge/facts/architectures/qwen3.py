"""Qwen3, dense: grouped-query attention with normed heads."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from weighbridge.facts.architectures import qwen2
from weighbridge.facts.architectures._assumed import assume
from weighbridge.facts.architectures.llama import decoder, feed_forward, grouped_query
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part


def complete(config: Config) -> Config:
    """The defaults of `Qwen3Config`."""
    return qwen2.complete(assume(config, head_dim=128))


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    return decoder(config, prefix, output, partial(grouped_query, head_norms=True), partial(feed_forward, bias=False))
