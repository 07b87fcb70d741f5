"""Bamba: Mamba 2 mixers, attention in the layers that the config numbers."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume, layer_count, layer_types
from weighbridge.facts.architectures.mamba2 import complete_hybrid, hybrid_mixer
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, attention, embedding_and_output, gated, norm


def complete(config: Config) -> Config:
    """The defaults of `BambaConfig`."""
    config = complete_hybrid(complete_sizes(config))
    attending = set(config.numbers("attn_layer_indices") or [])
    kinds = ["full_attention" if layer in attending else "mamba" for layer in range(layer_count(config))]
    return config.replace(layer_types=kinds)


def complete_sizes(config: Config) -> Config:
    """The defaults that Falcon-H1 shares."""
    return assume(
        config, vocab_size=128000, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
        num_attention_heads=32, num_key_value_heads=8,
    )  # fmt: skip


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    width, tied = config.whole("hidden_size"), config.flag("tie_word_embeddings")
    yield from embedding_and_output(width, config.whole("vocab_size"), tied=tied)
    for layer, kind in enumerate(layer_types(config)):
        block = f"model.layers.{layer}"
        if kind == "mamba":
            yield from hybrid_mixer(config).parts(f"{block}.mamba")
        else:
            yield from attending(config, f"{block}.self_attn")
        yield from feeding(config, block)
    yield from norm("model.final_layernorm", width)


def attending(config: Config, name: str) -> Iterator[Part]:
    """Grouped-query attention."""
    width, heads = config.whole("hidden_size"), config.whole("num_attention_heads", least=1)
    kv_heads = config.whole("num_key_value_heads", default=heads)
    length = config.whole("head_dim", default=width // heads)
    yield from attention(name, width, heads, kv_heads, length, bias=config.flag("attention_bias"))


def feeding(config: Config, block: str) -> Iterator[Part]:
    """The feed-forward network and both norms."""
    width, bias = config.whole("hidden_size"), config.flag("mlp_bias")
    yield from gated(f"{block}.feed_forward", width, config.whole("intermediate_size"), bias=bias)
    yield from norm(f"{block}.input_layernorm", width)
    yield from norm(f"{block}.pre_ff_layernorm", width)
