"""Falcon: one KV head or groups of them, attention and feed-forward mostly beside each other."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import MOST_LAYERS, assume
from weighbridge.facts.architectures.gpt_neox import wide_feed_forward
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear, norm


def complete(config: Config) -> Config:
    """The defaults of `FalconConfig`, and the number of KV heads, which two switches decide."""
    config = assume(config, tie_word_embeddings=True, multi_query=True, parallel_attn=True)
    heads = config.whole("num_attention_heads", "n_head", least=1)
    kv_heads = config.whole("num_kv_heads", "n_head_kv", default=heads)
    if not config.flag("new_decoder_architecture"):
        kv_heads = 1 if config.flag("multi_query") else heads
    return config.replace(num_attention_heads=heads, num_key_value_heads=kv_heads)


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    width, vocabulary = config.whole("hidden_size", "n_embed"), config.whole("vocab_size")
    yield Part("transformer.word_embeddings.weight", (vocabulary, width))
    if not config.flag("tie_word_embeddings"):
        yield Part("lm_head.weight", (vocabulary, width))
    for layer in range(config.whole("num_hidden_layers", "n_layer", most=MOST_LAYERS)):
        yield from _layer(config, f"transformer.h.{layer}", width)
    yield from norm("transformer.ln_f", width, bias=True)


def _layer(config: Config, name: str, width: int) -> Iterator[Part]:
    heads, bias = config.whole("num_attention_heads", least=1), config.flag("bias")
    outputs = (heads + 2 * config.whole("num_key_value_heads")) * (width // heads)
    yield from linear(f"{name}.self_attention.query_key_value", width, outputs, bias=bias)
    yield from linear(f"{name}.self_attention.dense", width, width, bias=bias)
    yield from wide_feed_forward(f"{name}.mlp", width, config.whole("ffn_hidden_size", default=4 * width), bias=bias)
    two = config.whole("num_ln_in_parallel_attn", default=2 if config.flag("new_decoder_architecture") else 1) == 2
    if not config.flag("parallel_attn"):
        norms: tuple[str, ...] = ("input_layernorm", "post_attention_layernorm")
    else:
        norms = ("ln_attn", "ln_mlp") if two else ("input_layernorm",)
    for each in norms:
        yield from norm(f"{name}.{each}", width, bias=True)
