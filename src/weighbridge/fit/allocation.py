"""How much memory a list of allocations and releases takes, by the rules of ggml's graph allocator.

The rules (ggml-alloc.c): sizes are rounded up to the buffer's alignment; a new block goes into the smallest hole that
holds it, and into the last one, which has no end, only where no other does; a block that is given back joins its
neighbours. The buffer is as long as the furthest byte that was ever in use.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

_ENDLESS = 1 << 62


def peak(steps: Sequence[int], sizes: Sequence[int]) -> int:  # noqa: C901 - one loop, as calls would take as long again
    """Bytes of the buffer: a step k >= 0 allocates sizes[k], a step -1-n gives back what the n-th allocation took.

    `sizes` are bytes, already rounded up. E.g. steps (0, 1, -1, 2) with sizes (64, 32, 64) take 96 bytes: the third
    block goes where the first one was.
    """
    # Starts and lengths of the holes, in order; behind them, from `end` on, nothing was ever in use or all is free
    # again.
    starts: list[int] = []
    lengths: list[int] = []
    end = top = 0
    taken: list[tuple[int, int]] = []
    for step in steps:
        if step >= 0:
            size = sizes[step]
            best_length, best = _ENDLESS, -1
            for hole, length in enumerate(lengths):
                # Of equal holes the last is taken.
                if size <= length <= best_length:
                    best, best_length = hole, length
            if best < 0:
                taken.append((end, size))
                end += size
                if end > top:
                    top = end
                continue
            start = starts[best]
            taken.append((start, size))
            if size == best_length:
                del starts[best], lengths[best]
            else:
                starts[best] = start + size
                lengths[best] = best_length - size
        else:
            start, size = taken[-1 - step]
            behind = bisect_left(starts, start)
            before = behind - 1
            joins = before >= 0 and starts[before] + lengths[before] == start
            if start + size == end:
                # It joins the endless hole, and the hole before it does too.
                end = start
                if joins:
                    end = starts[before]
                    del starts[before], lengths[before]
            elif joins:
                lengths[before] += size
                if behind < len(starts) and starts[behind] == start + size:
                    lengths[before] += lengths[behind]
                    del starts[behind], lengths[behind]
            elif behind < len(starts) and starts[behind] == start + size:
                starts[behind] = start
                lengths[behind] += size
            else:
                starts.insert(behind, start)
                lengths.insert(behind, size)
    return top
