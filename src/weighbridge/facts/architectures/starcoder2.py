"""StarCoder2: layer norms, biases everywhere, a feed-forward network without a gate."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume
from weighbridge.facts.architectures.llama import decoder, grouped_query
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, plain


def complete(config: Config) -> Config:
    """The defaults of `Starcoder2Config`."""
    return assume(config, num_key_value_heads=2, tie_word_embeddings=True, use_bias=True)


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    return decoder(config, prefix, output, _block, shift=True)


def _block(config: Config, name: str, layer: int) -> Iterator[Part]:
    bias = config.flag("use_bias", default=True)
    yield from grouped_query(config, name, layer, bias=bias)
    yield from plain(
        f"{name}.mlp", config.whole("hidden_size"), config.whole("intermediate_size"), "c_fc", "c_proj", bias=bias
    )
