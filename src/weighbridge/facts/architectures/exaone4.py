"""EXAONE 4: normed heads, norms after each block, a window in three of four layers where one is given."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from weighbridge.facts.architectures._assumed import assume, each
from weighbridge.facts.architectures.llama import decoder, feed_forward, grouped_query, with_kinds
from weighbridge.facts.architectures.olmo2 import NORMS
from weighbridge.facts.config import Config
from weighbridge.facts.gguf import Value
from weighbridge.facts.keys import Keys
from weighbridge.facts.parts import Part

attention = partial(grouped_query, bias=False, head_norms=True)


def complete(config: Config) -> Config:
    """The defaults of `Exaone4Config`; the period of the windows is a number, or a word such as `LLLG`."""
    config = assume(config, sliding_window=4096, num_key_value_heads=32)
    if not config.has("sliding_window"):
        return config
    word = config.text("sliding_window_pattern")
    period = len(word) if word else config.whole("sliding_window_pattern", default=4)
    return with_kinds(config, each(config, period, "full_attention", "sliding_attention"))


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    return decoder(config, prefix, output, attention, partial(feed_forward, bias=False), norms=NORMS)


def complete_header(keys: Keys) -> dict[str, Value]:
    """llama.cpp's: it heeds the window in the 32B model, known by its layers; each fourth has none there."""
    if keys.whole("block_count") - (keys.number("nextn_predict_layers") or 0) != 64:
        return {"attention.window_kind": "none"}
    return {"attention.sliding_window": 4096, "attention.sliding_window_pattern": 4}
