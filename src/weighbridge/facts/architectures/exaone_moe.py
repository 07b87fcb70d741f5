"""K-EXAONE: EXAONE 4's attention with DeepSeek-V3's experts."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures import exaone4
from weighbridge.facts.architectures._assumed import assume
from weighbridge.facts.architectures.deepseek_v3 import mixture
from weighbridge.facts.architectures.llama import decoder, feed_forward, one_layer
from weighbridge.facts.config import Config
from weighbridge.facts.gguf import Value
from weighbridge.facts.keys import Keys
from weighbridge.facts.parts import Part, linear, norm


def complete(config: Config) -> Config:
    """The defaults of `ExaoneMoeConfig`."""
    return exaone4.complete(assume(config, first_k_dense_replace=1, num_shared_experts=1, num_experts=64))


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor; the layers that predict further tokens are dense."""
    yield from decoder(config, prefix, output, exaone4.attention, mixture)
    width = config.whole("hidden_size")
    further = config.whole("num_nextn_predict_layers", default=0, most=64)
    if further:
        yield from linear("mtp.fc", 2 * width, width)
        for each in ("pre_fc_norm_embedding", "pre_fc_norm_hidden", "norm"):
            yield from norm(f"mtp.{each}", width)
    for layer in range(further):
        yield from one_layer(config, f"mtp.layers.{layer}", layer, exaone4.attention, feed_forward)


def complete_header(_keys: Keys) -> dict[str, Value]:
    """llama.cpp's: each fourth layer has no window."""
    return {"attention.sliding_window_pattern": 4}
