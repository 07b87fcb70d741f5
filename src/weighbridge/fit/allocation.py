"""How much memory a list of allocations and releases takes, by the rules of ggml's graph allocator.

The rules (ggml-alloc.c): sizes are rounded up to the buffer's alignment; a new block goes into the smallest hole that
holds it, and into the last one, which has no end, only where no other does; a block that is given back joins its
neighbours. The buffer is as long as the furthest byte that was ever in use.
"""

from __future__ import annotations

from collections.abc import Sequence

_ENDLESS = 1 << 62


def peak(steps: Sequence[int], sizes: Sequence[int]) -> int:
    """Bytes of the buffer: a step k >= 0 allocates sizes[k], a step -1-n gives back what the n-th allocation took.

    `sizes` are bytes, already rounded up. E.g. steps (0, 1, -1, 2) with sizes (64, 32, 64) take 96 bytes: the third
    block goes where the first one was.
    """
    # Starts and ends of the holes, in order; the last hole is endless.
    starts, ends = [0], [_ENDLESS]
    where: list[int] = []
    lengths: list[int] = []
    top = 0
    for step in steps:
        if step >= 0:
            size = sizes[step]
            best, best_length = -1, _ENDLESS
            for hole in range(len(starts) - 1):
                length = ends[hole] - starts[hole]
                # Of equal holes the last is taken.
                if size <= length <= best_length:
                    best, best_length = hole, length
            start = starts[best]
            where.append(start)
            lengths.append(size)
            end = start + size
            if end > top:
                top = end
            if end == ends[best]:
                del starts[best], ends[best]
            else:
                starts[best] = end
        else:
            _give_back(starts, ends, where[-1 - step], lengths[-1 - step])
    return top


def _give_back(starts: list[int], ends: list[int], start: int, length: int) -> None:
    """Join the hole before, or the hole after, or be a hole of its own."""
    end = start + length
    for hole, hole_start in enumerate(starts):
        if ends[hole] == start:
            ends[hole] = end
            if hole + 1 < len(starts) and starts[hole + 1] == end:
                ends[hole] = ends[hole + 1]
                del starts[hole + 1], ends[hole + 1]
            return
        if hole_start == end:
            starts[hole] = start
            return
        if hole_start > start:
            starts.insert(hole, start)
            ends.insert(hole, end)
            return
    raise AssertionError("the last hole has no end")
