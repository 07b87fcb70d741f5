"""Phi-1, 1.5 and 2: attention and feed-forward beside each other, biases everywhere."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures.llama import decoder, grouped_query, head_length
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, norm, plain


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    norms = ("input_layernorm",)
    yield from decoder(config, prefix, output, _block, norms=norms, shift=True, last="final_layernorm")
    yield Part(f"{output}.bias", (config.whole("vocab_size"),))


def _block(config: Config, name: str, layer: int) -> Iterator[Part]:
    yield from grouped_query(config, name, layer, bias=True, output="dense")
    if config.flag("qk_layernorm"):
        for each in ("q_layernorm", "k_layernorm"):
            yield from norm(f"{name}.self_attn.{each}", head_length(config), bias=True)
    yield from plain(
        f"{name}.mlp", config.whole("hidden_size"), config.whole("intermediate_size"), "fc1", "fc2", bias=True
    )
