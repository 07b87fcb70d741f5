"""MiniMax-Text-01, as GGUF names it: what llama.cpp assumes."""

from __future__ import annotations

from weighbridge.facts.gguf import Value
from weighbridge.facts.keys import Keys


def complete_header(keys: Keys) -> dict[str, Value]:
    """llama.cpp's: each eighth layer has attention, the others a matrix a head."""
    length = keys.number("attention.key_length")
    heads = keys.number("attention.head_count") or 1
    return {"full_attention_interval": 8, "lightning.head_dim": length or keys.whole("embedding_length") // heads}
