"""BERT: what llama.cpp assumes."""

from __future__ import annotations

from weighbridge.facts.gguf import Value
from weighbridge.facts.keys import Keys


def complete_header(_keys: Keys) -> dict[str, Value]:
    """Nothing is kept from token to token."""
    return {"attention.cached": False}
