"""Nemotron-H with experts, as GGUF names it: what llama.cpp assumes."""

from __future__ import annotations

from weighbridge.facts.gguf import Value
from weighbridge.facts.keys import Keys


def complete_header(_keys: Keys) -> dict[str, Value]:
    """llama.cpp's: the layers that predict further tokens keep what the others do."""
    return {"attention.nextn_cached": True}
