"""BitNet: Llama with a norm inside each block."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume
from weighbridge.facts.architectures.llama import decoder, feed_forward, grouped_query
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, norm


def complete(config: Config) -> Config:
    """The defaults of `BitNetConfig`."""
    return assume(config, num_key_value_heads=5)


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    return decoder(config, prefix, output, _block)


def _block(config: Config, name: str, layer: int) -> Iterator[Part]:
    yield from grouped_query(config, name, layer)
    yield from norm(f"{name}.self_attn.attn_sub_norm", config.whole("hidden_size"))
    yield from feed_forward(config, name, layer, bias=False)
    yield from norm(f"{name}.mlp.ffn_sub_norm", config.whole("intermediate_size"))
