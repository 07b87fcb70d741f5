"""MiniMax-M3, as GGUF names it: what llama.cpp assumes."""

from __future__ import annotations

from weighbridge.facts.gguf import Value
from weighbridge.facts.keys import Keys


def complete_header(keys: Keys) -> dict[str, Value]:
    """llama.cpp's: the first, dense layers have no indexer, and beside the other indexers' keys there is room for the
    values of one head; the layers that predict further tokens keep what the others do."""
    return {
        "attention.indexer.leading_dense": keys.number("leading_dense_block_count") or 0,
        "attention.indexer.value_length": keys.number("attention.value_length") or 0,
        "attention.nextn_cached": True,
    }
