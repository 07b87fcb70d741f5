"""Qwen3.5 with experts beside a shared one; the rest is as in Qwen3.5."""

from __future__ import annotations

from weighbridge.facts.architectures import qwen3_5, qwen3_next
from weighbridge.facts.architectures._assumed import assume, within
from weighbridge.facts.architectures.qwen3_5 import parts as parts
from weighbridge.facts.config import Config


def complete(config: Config) -> Config:
    """The defaults of `Qwen3_5MoeConfig`."""
    return within(within(config, "text_config", complete_text), "vision_config", qwen3_5.vision)


def complete_text(config: Config) -> Config:
    """The defaults of the decoder."""
    config = assume(
        config, vocab_size=248320, hidden_size=2048, num_hidden_layers=40, num_experts=256,
        moe_intermediate_size=512, shared_expert_intermediate_size=512, num_experts_per_tok=8,
    )  # fmt: skip
    return qwen3_next.complete_layers(config, kv_heads=2)
