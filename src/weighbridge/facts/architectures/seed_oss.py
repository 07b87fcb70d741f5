"""Seed-OSS: Llama with biases on queries, keys and values."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume
from weighbridge.facts.architectures.llama import decoder, feed_forward, grouped_query
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part


def complete(config: Config) -> Config:
    """The defaults of `SeedOssConfig`."""
    return assume(config, num_key_value_heads=8, head_dim=128, attention_bias=True)


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    return decoder(config, prefix, output, _attention, feed_forward)


def _attention(config: Config, name: str, layer: int) -> Iterator[Part]:
    return grouped_query(config, name, layer, output_bias=config.flag("attention_out_bias"))
