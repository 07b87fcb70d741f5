"""Apertus: normed heads, a feed-forward network without a gate, whose activation is learned."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures.llama import decoder, grouped_query
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, plain

_NORMS = ("attention_layernorm", "feedforward_layernorm")


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    return decoder(config, prefix, output, _block, norms=_NORMS)


def _block(config: Config, name: str, layer: int) -> Iterator[Part]:
    yield from grouped_query(config, name, layer, head_norms=True)
    yield from plain(f"{name}.mlp", config.whole("hidden_size"), config.whole("intermediate_size"))
    if (config.text("hidden_act") or "xielu") == "xielu":
        yield Part(f"{name}.mlp.act_fn.alpha_p", (1,))
        yield Part(f"{name}.mlp.act_fn.alpha_n", (1,))
