"""AFMoE (Trinity): what llama.cpp assumes."""

from __future__ import annotations

from weighbridge.facts.gguf import Value
from weighbridge.facts.keys import Keys


def complete_header(_keys: Keys) -> dict[str, Value]:
    """llama.cpp's: each fourth layer has no window."""
    return {"attention.sliding_window_pattern": 4}
