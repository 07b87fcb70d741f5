"""Headings that tell a machine's memory: below `### 12GB VRAM` stands what runs there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .quantities import Unit
from .scene import Found, Scene

_TIER = re.compile(
    r"[\W_]*(?:(?:for|with|best for|models for|under|up to|if you have)\s)?(?:an? |the )?[~≥<≤]?\s?"
    r"(?P<size>\d{1,4}) ?(?P<unit>gb|gib)\+?"
    r"(?: (?:of )?(?:unified |system |gpu )?(?:v?ram|memory|gpus?|cards?|macs?|laptops?|tier|class|setups?))+\b"
)
_QUANT = re.compile(r"\b(?:i?q\d(?:_k(?:_[a-z]{1,2})?|_\d)?|\d-bit|fp8|fp16|bf16|int4|int8|mxfp4|nvfp4)\b")


def tier_of(heading: str) -> float | None:
    """The bytes of memory that a heading in lower case sets; None where it sets none."""
    found = _TIER.match(heading) if "gb" in heading or "gib" in heading else None
    return float(found["size"]) * (1e9 if found["unit"] == "gb" else 2.0**30) if found else None


def placed(scene: Scene, memory_bytes: float) -> Iterator[Found]:
    """`memory_needed` of the model whose name begins an item, where the item tells no size of its own."""
    first = scene.mentions[0] if scene.is_fragment and scene.mentions else None
    if first is None or not first.is_specific or scene.text[scene.start : first.start].strip(" *_`["):
        return
    if any(each.unit is Unit.BYTES for each in scene.quantities):
        return
    quant = _QUANT.search(scene.words)
    qualifiers = (f"at {quant[0]}", "at most") if quant else ("at most",)
    yield Found("memory_needed", memory_bytes, first.start, first.end, "bytes", qualifiers, first.name)
