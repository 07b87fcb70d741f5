"""Cohere 2 with experts, as GGUF names it: what llama.cpp assumes."""

from __future__ import annotations

from weighbridge.facts.gguf import Value
from weighbridge.facts.keys import Keys


def complete_header(_keys: Keys) -> dict[str, Value]:
    """llama.cpp's: the first layer of each four has no window."""
    return {"attention.sliding_window_pattern": 4, "attention.dense_first": True}
