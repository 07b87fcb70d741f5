"""BLOOM: queries, keys and values in one matrix, a norm after the embedding, biases everywhere."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import MOST_LAYERS, assume
from weighbridge.facts.architectures.gpt_neox import wide_feed_forward
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear, norm


def complete(config: Config) -> Config:
    """The defaults of `BloomConfig`, and its sizes under their usual keys."""
    config = assume(config, vocab_size=250880, tie_word_embeddings=True)
    return config.replace(
        hidden_size=config.whole("n_embed", "hidden_size"),
        num_attention_heads=config.whole("num_attention_heads", "n_head", least=1),
    )


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    width, vocabulary = config.whole("hidden_size"), config.whole("vocab_size")
    yield Part("word_embeddings.weight", (vocabulary, width))
    yield from norm("word_embeddings_layernorm", width, bias=True)
    if not config.flag("tie_word_embeddings"):
        yield Part("lm_head.weight", (vocabulary, width))
    for layer in range(config.whole("n_layer", "num_hidden_layers", most=MOST_LAYERS)):
        name = f"h.{layer}"
        yield from linear(f"{name}.self_attention.query_key_value", width, 3 * width, bias=True)
        yield from linear(f"{name}.self_attention.dense", width, width, bias=True)
        yield from wide_feed_forward(f"{name}.mlp", width, 4 * width)
        yield from norm(f"{name}.input_layernorm", width, bias=True)
        yield from norm(f"{name}.post_attention_layernorm", width, bias=True)
    yield from norm("ln_f", width, bias=True)
