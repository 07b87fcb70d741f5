"""Numbers at which something changes for good, found in few questions: `first_enough()`, `last_enough()`."""

from __future__ import annotations

from collections.abc import Callable


def first_enough(is_enough: Callable[[int], bool], most: int, near: int | None = None) -> int | None:
    """The smallest number from 1 to `most` that is enough, where every larger one is too. It is looked for from `near`
    on, in steps that double."""
    # `low` is not enough; `high` is, or is past all.
    low, high = 0, most + 1
    guess, step = (most, most) if near is None else (near, 1)
    while high - low > 1:
        if is_enough(guess):
            high = guess
        else:
            low = guess
        if high <= most and not low:
            guess = max(high - step, high // 2)
        else:
            guess = min(low + step, most) if high > most else (low + high) // 2
        step *= 2
    return high if high <= most else None


def last_enough(is_enough: Callable[[int], bool], most: int) -> int:
    """The largest number from 1 to `most` that is enough, where every smaller one is too; 0 where none is."""
    first_too_many = first_enough(lambda number: not is_enough(number), most)
    return most if first_too_many is None else first_too_many - 1
