"""Qwen3-Next, as GGUF names it: what llama.cpp assumes."""

from __future__ import annotations

from weighbridge.facts.gguf import Value
from weighbridge.facts.keys import Keys


def complete_header(_keys: Keys) -> dict[str, Value]:
    """llama.cpp's: each fourth layer has attention."""
    return {"full_attention_interval": 4}
