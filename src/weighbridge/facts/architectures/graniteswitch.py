"""Granite with adapters that its own text switches on and off, as GGUF names it: what llama.cpp assumes."""

from __future__ import annotations

from weighbridge.facts.gguf import Value
from weighbridge.facts.keys import Keys


def complete_header(_keys: Keys) -> dict[str, Value]:
    """llama.cpp's: after the last layer comes one more, with a single head, by which adapters are chosen."""
    return {"attention.router_layer": True}
