"""MiniMax-M3, as GGUF names it: what llama.cpp assumes."""

from __future__ import annotations

from weighbridge.facts.gguf import Value
from weighbridge.facts.keys import Keys


def complete_header(keys: Keys) -> dict[str, Value]:
    """llama.cpp's: the first, dense layers have no indexer."""
    return {"attention.indexer.leading_dense": keys.number("leading_dense_block_count") or 0}
