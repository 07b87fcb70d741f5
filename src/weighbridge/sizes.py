"""Sizes as people read them: bytes in, binary units out."""

from __future__ import annotations

import re

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}


def show_bytes(count: int | float) -> str:
    """A size in the largest binary unit that leaves at least 1 before the point: 2 GiB, 3.1 MiB, 17 B."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(size) < 1024 or unit == "TiB":
            break
        size /= 1024
    digits = 0 if unit == "B" or abs(size) >= 100 else 1
    return f"{size:,.{digits}f} {unit}"


def show_against(need: int, available: int) -> tuple[str, str]:
    """Two sizes that are held against each other, as finely as it takes to see them differ: 1,537 and 1,536 MiB."""
    for shown in (show_bytes, lambda count: f"{count / 2**20:,.0f} MiB", lambda count: f"{count:,} B"):
        sizes = shown(need), shown(available)
        if sizes[0] != sizes[1]:
            break
    return sizes


def counted(count: int, noun: str) -> str:
    """`1 sample`, `1,319 samples`: of a noun whose plural ends with an s."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def show_count(count: int | float) -> str:
    """A count as the field writes it: 264K, 1.7M, 8.03B, 1.04T."""
    for limit, unit in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K")):
        # What would be rounded to a thousand of a unit is one of the next: 999,885,952 is 1B.
        if count >= limit * 0.9995:
            scaled = count / limit
            return f"{scaled:.2f}".rstrip("0").rstrip(".") + unit if scaled < 100 else f"{scaled:.0f}{unit}"
    return str(int(count))


def parse_bytes(text: str) -> int:
    """Bytes from `24GiB`, `500 MB` or `1048576`; ValueError if it is none of these."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text.lower())
    if not found or found[2] not in _UNITS:
        raise ValueError(f"{text!r} is no size; write it like 24GiB, 500MB or 1048576")
    return int(float(found[1]) * _UNITS[found[2]])
