"""Gemma 3's decoder: normed heads, four norms a layer, each sixth layer attends to everything."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume, each, layer_count
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, attention, embedding_and_output, gated, norm


def complete(config: Config) -> Config:
    """The defaults of `Gemma3TextConfig`."""
    config = assume(
        config, vocab_size=262208, hidden_size=2304, intermediate_size=9216, num_hidden_layers=26,
        num_attention_heads=8, num_key_value_heads=4, head_dim=256, sliding_window=4096, tie_word_embeddings=True,
    )  # fmt: skip
    interval = config.whole("sliding_window_pattern", "_sliding_window_pattern", default=6)
    return assume(config, layer_types=each(config, interval, "full_attention", "sliding_attention"))


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    width, length = config.whole("hidden_size"), config.whole("head_dim")
    heads, kv_heads = config.whole("num_attention_heads"), config.whole("num_key_value_heads")
    tied, bias = config.flag("tie_word_embeddings"), config.flag("attention_bias")
    yield from embedding_and_output(width, config.whole("vocab_size"), tied=tied, prefix=prefix, output=output)
    for layer in range(layer_count(config)):
        block = f"{prefix}.layers.{layer}"
        yield from attention(f"{block}.self_attn", width, heads, kv_heads, length, bias=bias, head_norms=True)
        yield from gated(f"{block}.mlp", width, config.whole("intermediate_size"))
        for name in ("input", "post_attention", "pre_feedforward", "post_feedforward"):
            yield from norm(f"{block}.{name}_layernorm", width)
    yield from norm(f"{prefix}.norm", width)
