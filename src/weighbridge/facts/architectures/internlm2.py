"""InternLM2 and 2.5: Llama under other names, queries, keys and values in one matrix."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume, layer_count
from weighbridge.facts.architectures.llama import head_length
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear, norm


def complete(config: Config) -> Config:
    """The defaults of `InternLM2Config`."""
    return assume(config, bias=True)


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    width, vocabulary, bias = config.whole("hidden_size"), config.whole("vocab_size"), config.flag("bias")
    heads, length, inner = config.whole("num_attention_heads"), head_length(config), config.whole("intermediate_size")
    kv_heads = config.whole("num_key_value_heads", default=heads)
    yield Part("model.tok_embeddings.weight", (vocabulary, width))
    if not config.flag("tie_word_embeddings"):
        yield Part("output.weight", (vocabulary, width))
    for layer in range(layer_count(config)):
        name = f"model.layers.{layer}"
        yield from linear(f"{name}.attention.wqkv", width, (heads + 2 * kv_heads) * length, bias=bias)
        yield from linear(f"{name}.attention.wo", heads * length, width, bias=bias)
        yield from linear(f"{name}.feed_forward.w1", width, inner)
        yield from linear(f"{name}.feed_forward.w3", width, inner)
        yield from linear(f"{name}.feed_forward.w2", inner, width)
        yield from norm(f"{name}.attention_norm", width)
        yield from norm(f"{name}.ffn_norm", width)
    yield from norm("model.norm", width)
