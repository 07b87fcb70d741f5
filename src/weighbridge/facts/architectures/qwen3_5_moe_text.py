"""Qwen3.5's decoder with experts alone."""

from weighbridge.facts.architectures.qwen3_5_moe import complete_text as complete
from weighbridge.facts.architectures.qwen3_5_text import parts as parts

__all__ = ["complete", "parts"]
