"""StableLM: Llama with layer norms."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from weighbridge.facts.architectures._assumed import assume
from weighbridge.facts.architectures.llama import NORMS, decoder, feed_forward, grouped_query, head_length
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part


def complete(config: Config) -> Config:
    """The defaults of `StableLmConfig`."""
    return assume(config, num_key_value_heads=32)


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor; with `use_parallel_residual` one norm serves both blocks."""
    norms = NORMS[:1] if config.flag("use_parallel_residual") else NORMS
    return decoder(config, prefix, output, _attention, partial(feed_forward, bias=False), norms=norms, shift=True)


def _attention(config: Config, name: str, layer: int) -> Iterator[Part]:
    yield from grouped_query(config, name, layer, bias=config.flag("use_qkv_bias"), output_bias=False)
    if config.flag("qk_layernorm"):
        for each, key in (("q", "num_attention_heads"), ("k", "num_key_value_heads")):
            yield Part(f"{name}.self_attn.{each}_layernorm.norms.*.weight", (head_length(config),), config.whole(key))
