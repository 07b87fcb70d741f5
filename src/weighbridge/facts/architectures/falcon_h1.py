"""Falcon-H1: each layer has attention and a Mamba 2 mixer side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from weighbridge.facts.architectures._assumed import assume, layer_count
from weighbridge.facts.architectures.bamba import attending, complete_sizes, feeding
from weighbridge.facts.architectures.mamba2 import complete_hybrid, hybrid_mixer
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, embedding_and_output, norm


def complete(config: Config) -> Config:
    """The defaults of `FalconH1Config`: all layers keep a cache and a state."""
    config = complete_hybrid(complete_sizes(assume(config, mamba_d_ssm=1024)))
    return config.replace(layer_types=["hybrid"] * layer_count(config))


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    width, tied = config.whole("hidden_size"), config.flag("tie_word_embeddings")
    mixer = replace(
        hybrid_mixer(config), is_normed=config.flag("mamba_rms_norm"), output_bias=config.flag("projectors_bias")
    )
    yield from embedding_and_output(width, config.whole("vocab_size"), tied=tied)
    for layer in range(layer_count(config)):
        block = f"model.layers.{layer}"
        yield from mixer.parts(f"{block}.mamba")
        yield from attending(config, f"{block}.self_attn")
        yield from feeding(config, block)
    yield from norm("model.final_layernorm", width)
