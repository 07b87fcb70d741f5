"""OPT: learned positions, biases everywhere; the smallest embeds in fewer values than it works with."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume, layer_count
from weighbridge.facts.architectures.llama import grouped_query
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear, norm, plain

# Positions are counted from 2 on.
_OFFSET = 2


def complete(config: Config) -> Config:
    """The defaults of `OPTConfig`."""
    return assume(
        config, tie_word_embeddings=True, enable_bias=True, layer_norm_elementwise_affine=True,
        do_layer_norm_before=True, max_position_embeddings=2048,
    )  # fmt: skip


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    width, vocabulary, top = config.whole("hidden_size"), config.whole("vocab_size"), "model.decoder"
    outer = config.whole("word_embed_proj_dim", default=width)
    yield Part(f"{top}.embed_tokens.weight", (vocabulary, outer))
    yield Part(f"{top}.embed_positions.weight", (config.whole("max_position_embeddings") + _OFFSET, width))
    if not config.flag("tie_word_embeddings"):
        yield Part("lm_head.weight", (vocabulary, outer))
    if outer != width:
        yield from linear(f"{top}.project_in", outer, width)
        yield from linear(f"{top}.project_out", width, outer)
    has_norms = config.flag("layer_norm_elementwise_affine")
    for layer in range(layer_count(config)):
        name, bias = f"{top}.layers.{layer}", config.flag("enable_bias")
        yield from grouped_query(config, name, layer, bias=bias, output="out_proj")
        yield from plain(name, width, config.whole("ffn_dim"), "fc1", "fc2", bias=bias)
        for each in ("self_attn_layer_norm", "final_layer_norm") if has_norms else ():
            yield from norm(f"{name}.{each}", width, bias=True)
    if config.flag("do_layer_norm_before") and not config.flag("_remove_final_layer_norm") and has_norms:
        yield from norm(f"{top}.final_layer_norm", width, bias=True)
