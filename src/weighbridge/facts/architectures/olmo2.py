"""OLMo 2: norms after each block, queries and keys normed over all heads."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from weighbridge.facts.architectures.llama import decoder, feed_forward, grouped_query
from weighbridge.facts.config import Config
from weighbridge.facts.gguf import Value
from weighbridge.facts.keys import Keys
from weighbridge.facts.parts import Part

NORMS = ("post_attention_layernorm", "post_feedforward_layernorm")


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    attention = partial(grouped_query, wide_norms=True)
    return decoder(config, prefix, output, attention, partial(feed_forward, bias=False), norms=NORMS)


def complete_header(_keys: Keys) -> dict[str, Value]:
    """llama.cpp's: each fourth layer has no window, where there is one (OLMo 3)."""
    return {"attention.sliding_window_pattern": 4}
