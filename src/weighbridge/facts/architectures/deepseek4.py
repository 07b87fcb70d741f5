"""DeepSeek-V4, as GGUF names it: what llama.cpp assumes."""

from __future__ import annotations

from weighbridge.facts.gguf import Value
from weighbridge.facts.keys import Keys


def complete_header(_keys: Keys) -> dict[str, Value]:
    """llama.cpp's: a window beside compressed entries; layers that predict further tokens keep as others do."""
    return {"attention.window_kind": "compressed", "attention.nextn_cached": True}
