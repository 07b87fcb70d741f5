"""Qwen2 and 2.5: Llama with biases on queries, keys and values."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from weighbridge.facts.architectures._assumed import assume, layer_count
from weighbridge.facts.architectures.llama import decoder, feed_forward, grouped_query, with_kinds
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part

biased = partial(grouped_query, bias=True, output_bias=False)


def complete(config: Config) -> Config:
    """The defaults of `Qwen2Config`: a window counts only where `use_sliding_window` says so, in the upper layers."""
    if not config.flag("use_sliding_window"):
        return config.replace(sliding_window=None)
    config = assume(config, sliding_window=4096)
    first, count = config.whole("max_window_layers", default=28), layer_count(config)
    windowed = config.has("sliding_window")
    kinds = ["sliding_attention" if windowed and layer >= first else "full_attention" for layer in range(count)]
    return with_kinds(config, kinds)


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    return decoder(config, prefix, output, biased, partial(feed_forward, bias=False))
