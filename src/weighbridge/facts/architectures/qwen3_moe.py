"""Qwen3-MoE: Qwen3 with experts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from weighbridge.facts.architectures import qwen2_moe
from weighbridge.facts.architectures._assumed import assume
from weighbridge.facts.architectures.llama import decoder, grouped_query
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part


def complete(config: Config) -> Config:
    """The defaults of `Qwen3MoeConfig`: a window counts only where `use_sliding_window` says so, in every layer."""
    config = assume(config, num_key_value_heads=4, sliding_window=4096)
    return config if config.flag("use_sliding_window") else config.replace(sliding_window=None)


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    # There is no shared expert, though some configs have its key.
    config = config.replace(shared_expert_intermediate_size=0)
    return decoder(config, prefix, output, partial(grouped_query, head_norms=True), qwen2_moe.mixture)
