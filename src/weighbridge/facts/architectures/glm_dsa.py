"""GLM-5, as GGUF names it: what llama.cpp assumes."""

from __future__ import annotations

from weighbridge.facts.gguf import Value
from weighbridge.facts.keys import Keys


def complete_header(keys: Keys) -> dict[str, Value]:
    """llama.cpp's: GLM-5.2, known by its context, has indexers in its first three layers and each fourth from there."""
    if (keys.number("context_length") or 0) < 1 << 20:
        return {}
    count = keys.whole("block_count", most=4096)
    return {"attention.indexer.types": [int(layer < 2 or layer % 4 == 2) for layer in range(count)]}
