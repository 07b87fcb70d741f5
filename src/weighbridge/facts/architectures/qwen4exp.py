"""Qwen 4 Exp, as GGUF names it: what llama.cpp assumes."""

from __future__ import annotations

from weighbridge.facts.architectures import qwen3next
from weighbridge.facts.gguf import Value
from weighbridge.facts.keys import Keys


def complete_header(keys: Keys) -> dict[str, Value]:
    """llama.cpp's, as with Qwen3-Next; beside an indexer's key goes that of the block that it is pooled into."""
    found = qwen3next.complete_header(keys)
    if any(keys.numbers("attention.compress_ratios") or [keys.number("attention.compress_ratios") or 0]):
        found["attention.indexer.vectors"] = 2
    # An embedding has all streams.
    found["embedding_length_out"] = keys.whole("embedding_length") * (keys.number("hyper_connection.count") or 1)
    return found
