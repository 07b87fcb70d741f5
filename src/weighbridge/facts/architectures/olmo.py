"""OLMo: Llama whose norms have no weights."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from weighbridge.facts.architectures.llama import decoder, feed_forward, grouped_query
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    return decoder(config, prefix, output, grouped_query, partial(feed_forward, bias=False), norms=(), last="")
