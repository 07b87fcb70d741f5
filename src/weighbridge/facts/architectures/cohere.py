"""Command R: attention and feed-forward beside each other behind one norm."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from weighbridge.facts.architectures._assumed import assume
from weighbridge.facts.architectures.llama import decoder, feed_forward, grouped_query, head_length
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part


def complete(config: Config) -> Config:
    """The defaults of `CohereConfig`."""
    return assume(config, tie_word_embeddings=True)


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    return decoder(config, prefix, output, _attention, partial(feed_forward, bias=False), norms=("input_layernorm",))


def _attention(config: Config, name: str, layer: int) -> Iterator[Part]:
    yield from grouped_query(config, name, layer)
    if config.flag("use_qk_norm"):
        heads = config.whole("num_attention_heads")
        kv_heads = config.whole("num_key_value_heads", default=heads)
        yield Part(f"{name}.self_attn.q_norm.weight", (heads, head_length(config)))
        yield Part(f"{name}.self_attn.k_norm.weight", (kv_heads, head_length(config)))
