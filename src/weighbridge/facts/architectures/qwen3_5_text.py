"""Qwen3.5's decoder alone, dense or with experts."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures import qwen3_next
from weighbridge.facts.architectures.qwen3_5 import complete_text as complete
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part

__all__ = ["complete", "parts"]


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    return qwen3_next.decoder(config, prefix, output, is_split=True, is_fused=True)
