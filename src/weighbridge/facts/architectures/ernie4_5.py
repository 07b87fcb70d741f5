"""ERNIE 4.5, dense: Llama with one switch for all biases."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume
from weighbridge.facts.architectures.llama import decoder, feed_forward, grouped_query
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part


def complete(config: Config) -> Config:
    """The defaults of `Ernie4_5Config`."""
    return assume(config, num_key_value_heads=2, head_dim=128, tie_word_embeddings=True)


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    return decoder(config, prefix, output, attention, dense)


def attention(config: Config, name: str, layer: int) -> Iterator[Part]:
    """Grouped-query attention."""
    return grouped_query(config, name, layer, bias=config.flag("use_bias"))


def dense(config: Config, name: str, layer: int) -> Iterator[Part]:
    """Gate, up and down."""
    return feed_forward(config, name, layer, bias=config.flag("use_bias"))
