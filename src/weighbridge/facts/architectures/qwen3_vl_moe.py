"""Qwen3-VL with experts: Qwen3-MoE behind Qwen3-VL's vision tower."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures import qwen3_moe, qwen3_vl
from weighbridge.facts.architectures._assumed import assume, placed, text_of, within
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part


def complete(config: Config) -> Config:
    """The defaults of `Qwen3VLMoeConfig`."""
    return within(within(config, "text_config", _text), "vision_config", qwen3_vl.vision)


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    yield from qwen3_vl.tower(config.section("vision_config"), "model.visual")
    yield from placed(qwen3_moe.parts(text_of(config)), "model.language_model")


def _text(config: Config) -> Config:
    config = assume(
        config, vocab_size=151936, hidden_size=2048, intermediate_size=5632, num_hidden_layers=24,
        num_attention_heads=16, num_key_value_heads=16, decoder_sparse_step=1,
        moe_intermediate_size=1408, num_experts_per_tok=4, num_experts=60,
    )  # fmt: skip
    return assume(config, head_dim=config.whole("hidden_size") // config.whole("num_attention_heads", least=1))
