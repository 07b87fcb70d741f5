"""Gemma: Llama with long heads and the embedding as output matrix."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from weighbridge.facts.architectures._assumed import assume
from weighbridge.facts.architectures.llama import NORMS, decoder, feed_forward, grouped_query
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part


def complete(config: Config) -> Config:
    """The defaults of `GemmaConfig`."""
    return assume(config, head_dim=256, num_key_value_heads=16, tie_word_embeddings=True)


def parts(
    config: Config, prefix: str = "model", output: str = "lm_head", norms: tuple[str, ...] = NORMS
) -> Iterator[Part]:
    """Every tensor."""
    return decoder(config, prefix, output, grouped_query, partial(feed_forward, bias=False), norms=norms)
