"""GLM-4: Llama with biases on queries, keys and values, and gate and up in one matrix."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from weighbridge.facts.architectures._assumed import assume
from weighbridge.facts.architectures.llama import decoder, grouped_query
from weighbridge.facts.architectures.phi3 import joined_feed_forward
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part

attention = partial(grouped_query, output_bias=False)


def complete(config: Config) -> Config:
    """The defaults of `GlmConfig`."""
    return assume(config, num_key_value_heads=2, head_dim=128, attention_bias=True)


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    return decoder(config, prefix, output, attention, joined_feed_forward)
