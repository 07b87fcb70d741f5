"""GLM-4.5V and 4.6V: GLM-4.5-Air behind GLM-4.1V's vision tower."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from weighbridge.facts.architectures._assumed import assume, text_of, within
from weighbridge.facts.architectures.deepseek_v3 import mixture
from weighbridge.facts.architectures.glm4v import tower, vision
from weighbridge.facts.architectures.llama import decoder, grouped_query
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part


def complete(config: Config) -> Config:
    """The defaults of `Glm4vMoeConfig`."""
    return within(within(config, "text_config", _text), "vision_config", vision)


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    yield from tower(config.section("vision_config"), "model.visual")
    blocks = partial(grouped_query, output_bias=False), mixture
    yield from decoder(text_of(config), "model.language_model", "lm_head", *blocks)


def _text(config: Config) -> Config:
    return assume(
        config, vocab_size=151424, hidden_size=4096, intermediate_size=10944, num_hidden_layers=46,
        num_attention_heads=96, num_key_value_heads=8, attention_bias=True, moe_intermediate_size=1408,
        num_experts_per_tok=8, n_shared_experts=1, n_routed_experts=128, first_k_dense_replace=1,
    )  # fmt: skip
