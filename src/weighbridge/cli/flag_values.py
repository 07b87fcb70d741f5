"""What flags take that is no plain text: each says what it expects where it is given something else."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def whole(least: int, most: int) -> Callable[[str], int]:
    """A flag's type: whole numbers between these."""

    def read(text: str) -> int:
        try:
            value = int(text[:20])
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not between {least:,} and {most:,}")
        return value

    return read


positive = whole(1, 1 << 24)
"""Tokens, samples, rows, requests: at least one, and no more than anything here holds."""


def rate(text: str) -> float:
    """A number a second, above 0."""
    value = _number(text)
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text} is no rate above 0 and below 1,000,000,000")
    return value


def temperature(text: str) -> float:
    """What engines take: 0 for the likeliest answer, at most 2."""
    value = _number(text)
    if not 0 <= value <= 2:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 2")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
