"""DeepSeek-V4, as GGUF names it: what llama.cpp assumes."""

from __future__ import annotations

from weighbridge.facts.gguf import Value
from weighbridge.facts.keys import Keys


def complete_header(keys: Keys) -> dict[str, Value]:
    """llama.cpp's: a window beside compressed entries; layers that predict further tokens keep as others do; an
    embedding has all streams (models/deepseek4.cpp, n_embd_out_impl)."""
    width = keys.whole("embedding_length") * (keys.number("hyper_connection.count") or 1)
    return {"attention.window_kind": "compressed", "attention.nextn_cached": True, "embedding_length_out": width}
