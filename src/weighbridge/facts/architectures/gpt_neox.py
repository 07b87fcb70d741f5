"""GPT-NeoX and Pythia: queries, keys and values in one matrix, layer norms, biases everywhere."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import layer_count
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear, norm, plain


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    width, vocabulary = config.whole("hidden_size"), config.whole("vocab_size")
    bias = config.flag("attention_bias", default=True)
    yield Part("gpt_neox.embed_in.weight", (vocabulary, width))
    if not config.flag("tie_word_embeddings"):
        yield Part("embed_out.weight", (vocabulary, width))
    for layer in range(layer_count(config)):
        name = f"gpt_neox.layers.{layer}"
        yield from linear(f"{name}.attention.query_key_value", width, 3 * width, bias=bias)
        yield from linear(f"{name}.attention.dense", width, width, bias=bias)
        yield from wide_feed_forward(f"{name}.mlp", width, config.whole("intermediate_size"))
        yield from norm(f"{name}.input_layernorm", width, bias=True)
        yield from norm(f"{name}.post_attention_layernorm", width, bias=True)
    yield from norm("gpt_neox.final_layer_norm", width, bias=True)


def wide_feed_forward(name: str, width: int, inner: int, *, bias: bool = True) -> Iterator[Part]:
    """The feed-forward network of Megatron's models."""
    return plain(name, width, inner, "dense_h_to_4h", "dense_4h_to_h", bias=bias)
