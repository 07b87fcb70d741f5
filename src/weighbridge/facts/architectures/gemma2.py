"""Gemma 2: Gemma with norms around each block, and a window in every other layer."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures import gemma
from weighbridge.facts.architectures._assumed import assume, each
from weighbridge.facts.architectures.llama import NORMS, with_kinds
from weighbridge.facts.config import Config
from weighbridge.facts.gguf import Value
from weighbridge.facts.keys import Keys
from weighbridge.facts.parts import Part

_NORMS = (*NORMS, "pre_feedforward_layernorm", "post_feedforward_layernorm")


def complete(config: Config) -> Config:
    """The defaults of `Gemma2Config`."""
    config = assume(config, head_dim=256, num_key_value_heads=4, tie_word_embeddings=True, sliding_window=4096)
    return with_kinds(config, each(config, 2, "full_attention", "sliding_attention"))


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    return gemma.parts(config, prefix, output, _NORMS)


def complete_header(_keys: Keys) -> dict[str, Value]:
    """llama.cpp's: every other layer has a window."""
    return {"attention.sliding_window": 4096, "attention.sliding_window_pattern": 2}
