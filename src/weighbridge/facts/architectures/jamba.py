"""Jamba: Mamba mixers with normed inputs, attention in each eighth layer, experts in each second."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume, layer_count, layer_types
from weighbridge.facts.architectures.bamba import attending
from weighbridge.facts.architectures.mamba import Mixer, rank_of
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, embedding_and_output, gated, linear, norm


def complete(config: Config) -> Config:
    """The defaults of `JambaConfig`."""
    config = assume(
        config, vocab_size=65536, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
        num_attention_heads=32, num_key_value_heads=8, num_experts=16, num_experts_per_tok=2, expert_layer_period=2,
        expert_layer_offset=1, attn_layer_period=8, attn_layer_offset=4, mamba_d_state=16, mamba_d_conv=4,
        mamba_expand=2,
    )  # fmt: skip
    period, offset = config.whole("attn_layer_period", least=1), config.whole("attn_layer_offset")
    layers = range(layer_count(config))
    kinds = ["full_attention" if layer % period == offset else "mamba" for layer in layers]
    return _mixer(config).kept_by(config).replace(layer_types=kinds)


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    width, mixer, tied = config.whole("hidden_size"), _mixer(config), config.flag("tie_word_embeddings")
    inner, experts = config.whole("intermediate_size"), config.whole("num_experts")
    period, offset = config.whole("expert_layer_period", least=1), config.whole("expert_layer_offset")
    yield from embedding_and_output(width, config.whole("vocab_size"), tied=tied)
    for layer, kind in enumerate(layer_types(config)):
        block = f"model.layers.{layer}"
        if kind == "mamba":
            yield from mixer.parts(f"{block}.mamba")
            yield from norm(f"{block}.mamba.dt_layernorm", mixer.rank)
            yield from norm(f"{block}.mamba.b_layernorm", mixer.state)
            yield from norm(f"{block}.mamba.c_layernorm", mixer.state)
        else:
            yield from attending(config, f"{block}.self_attn")
        if experts > 1 and layer % period == offset:
            yield from linear(f"{block}.feed_forward.router", width, experts)
            yield from gated(f"{block}.feed_forward.experts.*", width, inner, copies=experts)
        else:
            yield from gated(f"{block}.feed_forward", width, inner)
        yield from norm(f"{block}.input_layernorm", width)
        yield from norm(f"{block}.pre_ff_layernorm", width)
    yield from norm("model.final_layernorm", width)


def _mixer(config: Config) -> Mixer:
    width = config.whole("hidden_size")
    return Mixer(
        width, config.whole("mamba_expand") * width, config.whole("mamba_d_state"), config.whole("mamba_d_conv"),
        rank_of(config, "mamba_dt_rank"), config.flag("mamba_proj_bias"),
        config.flag("mamba_conv_bias", default=True),
    )  # fmt: skip
