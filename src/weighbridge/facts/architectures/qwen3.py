"""Qwen3, dense: grouped-query attention with normed heads."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, attention, embedding_and_output, gated, norm


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    width, heads = config.whole("hidden_size"), config.whole("num_attention_heads", least=1)
    kv_heads = config.whole("num_key_value_heads", default=heads)
    length = config.whole("head_dim", default=width // heads)
    yield from embedding_and_output(width, config.whole("vocab_size"), tied=config.flag("tie_word_embeddings"))
    for layer in range(config.whole("num_hidden_layers", most=4096)):
        block = f"model.layers.{layer}"
        bias = config.flag("attention_bias")
        yield from attention(f"{block}.self_attn", width, heads, kv_heads, length, bias=bias, head_norms=True)
        yield from gated(f"{block}.mlp", width, config.whole("intermediate_size"))
        yield from norm(f"{block}.input_layernorm", width)
        yield from norm(f"{block}.post_attention_layernorm", width)
    yield from norm("model.norm", width)
