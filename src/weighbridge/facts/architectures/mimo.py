"""MiMo: Qwen2 with heads of any length and a layer that predicts a further token."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from weighbridge.facts.architectures import qwen2
from weighbridge.facts.architectures.llama import NORMS, feed_forward, one_layer
from weighbridge.facts.architectures.qwen2 import complete as complete
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear

_NORMS = (*NORMS, "token_layernorm", "hidden_layernorm", "final_layernorm")


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    yield from qwen2.parts(config, prefix, output)
    width = config.whole("hidden_size")
    for layer in range(config.whole("num_nextn_predict_layers", default=0, most=64)):
        name = f"{prefix}.mtp_layers.{layer}"
        yield from linear(f"{name}.input_proj", 2 * width, width)
        yield from one_layer(config, name, layer, qwen2.biased, partial(feed_forward, bias=False), norms=_NORMS)
