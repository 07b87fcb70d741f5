"""Mistral: Llama without biases; the early ones attend to a window."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from weighbridge.facts.architectures._assumed import assume
from weighbridge.facts.architectures.llama import decoder, feed_forward, grouped_query
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part


def complete(config: Config) -> Config:
    """The defaults of `MistralConfig`."""
    return assume(config, sliding_window=4096, num_key_value_heads=8)


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    return decoder(config, prefix, output, partial(grouped_query, bias=False), partial(feed_forward, bias=False))
