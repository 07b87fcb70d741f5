"""Phi-3 and Phi-4: Llama with queries, keys and values in one matrix, and gate and up in another."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures.llama import decoder, head_length
from weighbridge.facts.config import Config
from weighbridge.facts.gguf import Value
from weighbridge.facts.keys import Keys
from weighbridge.facts.parts import Part, linear


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    return decoder(config, prefix, output, _attention, joined_feed_forward)


def _attention(config: Config, name: str, _layer: int) -> Iterator[Part]:
    width, heads, length = config.whole("hidden_size"), config.whole("num_attention_heads"), head_length(config)
    kv_heads = config.whole("num_key_value_heads", default=heads)
    yield from linear(f"{name}.self_attn.qkv_proj", width, (heads + 2 * kv_heads) * length)
    yield from linear(f"{name}.self_attn.o_proj", heads * length, width)


def joined_feed_forward(config: Config, name: str, _layer: int) -> Iterator[Part]:
    """Gate and up in one matrix, and down."""
    width, inner = config.whole("hidden_size"), config.whole("intermediate_size")
    yield from linear(f"{name}.mlp.gate_up_proj", width, 2 * inner)
    yield from linear(f"{name}.mlp.down_proj", inner, width)


def complete_header(_keys: Keys) -> dict[str, Value]:
    """llama.cpp's: it does not heed the window."""
    return {"attention.window_kind": "none"}
