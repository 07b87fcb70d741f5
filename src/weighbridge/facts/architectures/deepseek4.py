"""DeepSeek-V4, as GGUF names it: what llama.cpp assumes."""

from __future__ import annotations

from weighbridge.facts.gguf import Value
from weighbridge.facts.keys import Keys


def complete_header(_keys: Keys) -> dict[str, Value]:
    """Its window is beside compressed entries."""
    return {"attention.window_kind": "compressed"}
