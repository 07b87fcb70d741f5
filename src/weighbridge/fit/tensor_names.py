"""What the names of a GGUF file's tensors say."""

from __future__ import annotations

import re

# A file may hold any name: one that only looks like a layer's is none.
_BLOCK = re.compile(r"blk\.([0-9]{1,6})\.(.+)", re.DOTALL)


def block_of(name: str) -> tuple[int, str] | None:
    """The layer that a tensor belongs to, and its name there: 17 and `attn_q.weight` of `blk.17.attn_q.weight`. None
    where it belongs to no layer."""
    found = _BLOCK.fullmatch(name)
    return (int(found[1]), found[2]) if found else None
