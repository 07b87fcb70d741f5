"""What work costs, and how that grows with its input, told so that a busy machine cannot change the answer.

Processor time of one run says little: neighbours take caches, clock and stolen time. So the input grows many times
over, forty times where a square would cost 1,600 times as much, and only what shows in each of several tries counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")
# What is allowed over the growth of the input; with forty times the input a square is eight times beyond it.
_SLACK = 5
_CLOCK_SECONDS = 1e-6


def grows_no_faster_than(times: float, work: Callable[[_T], object], short: _T, long: _T, *, tries: int = 8) -> None:
    """Fail where work on `long`, `times` as large as `short`, costs far more than `times` as much, try after try."""
    work(short)  # what is compiled and cached on first use belongs to no length
    found: list[float] = []
    while len(found) < tries:
        cost = min(_seconds(work, short) for _ in range(3))
        found.append(_seconds(work, long) / max(cost, _CLOCK_SECONDS))
        if found[-1] < _SLACK * times:
            return
        time.sleep(0.1 * len(found))  # a busy moment may pass
    raise AssertionError(f"{times:g} times the input costs {', '.join(f'{one:.0f}' for one in found)} times as much")


def costs_at_most(seconds: float, work: Callable[[], object], *, tries: int = 10) -> None:
    """Fail where the work takes more processor time than this, try after try."""
    found: list[float] = []
    while len(found) < tries:
        found.append(_seconds(lambda _: work(), None))
        if found[-1] <= seconds:
            return
        time.sleep(0.1 * len(found))
    raise AssertionError(f"{', '.join(f'{one:.4f}' for one in found)} s and never {seconds} s")


def _seconds(work: Callable[[_T], object], given: _T) -> float:
    begun = time.process_time()
    work(given)
    return time.process_time() - begun
