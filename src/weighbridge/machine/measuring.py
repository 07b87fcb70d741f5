"""How fast memory and processor are here, measured in about a second by NumPy on all threads that we may use.

NumPy gives Python's lock away in long loops, so its threads run side by side; its sum of integers reads memory as fast
as a loop in C does (58 GB/s by both, on two cores of an EPYC of Zen 4), so no compiled code of our own is needed.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import psutil

from .machine import Machine

# Eight times all caches together, so that at most an eighth of a pass could be found there.
_TIMES_THE_CACHES = 8
_UNKNOWN_CACHES_BYTES = 64 << 20
_LEAST_BYTES = 64 << 20
_MOST_BYTES = 2 << 30
_SECONDS = 0.2
# A round shorter than this says more of starting threads than of memory.
_ROUND_SECONDS = 0.02
_MATRIX = 1024


@dataclass(frozen=True, slots=True)
class Speeds:
    """What was measured: bytes and operations a second."""

    read: float
    """By all threads, each through memory of its own, one address after the other."""
    thread_read: float
    """By one thread."""
    triad: float
    """c = a + b by all threads: two streams read and one written are counted. A processor that fetches a line before it
    overwrites it moves a fourth, which is not."""
    flops: float
    """Multiplications and additions of 32-bit floats in a product of two matrices of 1024 x 1024, by the BLAS in NumPy,
    which starts as many threads as it sees cores."""
    others: float | None = None
    """Which share of the processors other programs had meanwhile, 0 to 1; None where the system does not tell."""


class _Watch:
    """Tells which share of all processors other programs have from its making on."""

    def __init__(self) -> None:
        self._begun, self._all, self._own = time.perf_counter(), _worked(), time.process_time()

    def others(self) -> float | None:
        """0 to 1: what was worked on all processors less what this process worked; None where it is not told."""
        seconds, now = time.perf_counter() - self._begun, _worked()
        if self._all is None or now is None or seconds <= 0:
            return None
        worked = now - self._all - (time.process_time() - self._own)
        return min(1.0, max(0.0, worked / seconds / (os.cpu_count() or 1)))


def _worked() -> float | None:
    """Seconds that all processors together have worked since the system started."""
    try:
        times = psutil.cpu_times()
    except (OSError, RuntimeError):
        return None
    idle = ("idle", "iowait", "guest", "guest_nice")  # guests are counted among users
    return float(sum(getattr(times, name) for name in times._fields if name not in idle))


def measure_speeds(machine: Machine) -> Speeds:
    """Measure them; the best of several rounds counts, as other programs can only slow a round down."""
    # Imported here because it takes longer than most commands need.
    import numpy as np

    watch = _Watch()
    threads = machine.processor.usable_threads or 1
    each = _buffer_bytes(machine) // threads // 24 * 24
    buffers: list[Any] = [None] * threads

    def fill(index: int) -> None:
        buffers[index] = np.ones(each // 8, np.uint64)

    # Each thread fills its own, so that its pages lie near it where memory is not the same everywhere.
    _side_by_side([partial(fill, index) for index in range(threads)])
    read = _best([partial(np.add.reduce, buffer) for buffer in buffers], threads * each)
    alone = _best([lambda: [np.add.reduce(buffer) for buffer in buffers]], threads * each)
    thirds = [np.split(buffer, 3) for buffer in buffers]
    triad = _best([partial(np.add, a, b, out=c) for a, b, c in thirds], threads * each)
    return Speeds(read, alone, triad, _flops(np), watch.others())


def _buffer_bytes(machine: Machine) -> int:
    """Well more than the caches hold, and at most an eighth of what is available."""
    caches = sum(cache.bytes * cache.count for cache in machine.processor.caches if cache.level >= 2)
    wanted = max(_LEAST_BYTES, _TIMES_THE_CACHES * (caches or _UNKNOWN_CACHES_BYTES))
    available = machine.memory.available_bytes if machine.memory else _LEAST_BYTES * 8
    return min(wanted, _MOST_BYTES, max(_LEAST_BYTES // 8, available // 8))


def _best(tasks: Sequence[Callable[[], Any]], moved_bytes: int) -> float:
    """Bytes a second of the fastest round, in which every task runs `passes` times."""

    def repeated(task: Callable[[], Any], passes: int) -> None:
        for _ in range(passes):
            task()

    best, passes, begun = 0.0, 1, time.perf_counter()
    while not best or time.perf_counter() - begun < _SECONDS:
        seconds = _side_by_side([partial(repeated, task, passes) for task in tasks])
        best = max(best, passes * moved_bytes / seconds)
        if seconds < _ROUND_SECONDS:
            passes *= 2
    return best


def _side_by_side(tasks: Sequence[Callable[[], Any]]) -> float:
    """Run each task in a thread of its own, all at once; seconds from the first one's start to the last one's end.

    Each thread is held on a processor of its own, so that no two share one while another has nothing to do.
    """
    processors = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    barrier = threading.Barrier(len(tasks))
    times: list[tuple[float, float]] = []

    def work(index: int, task: Callable[[], Any]) -> None:
        if index < len(processors):
            with contextlib.suppress(OSError):
                os.sched_setaffinity(0, {processors[index]})
        barrier.wait()
        start = time.perf_counter()
        task()
        times.append((start, time.perf_counter()))

    workers = [threading.Thread(target=work, args=(index, task)) for index, task in enumerate(tasks)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return max(end for _, end in times) - min(start for start, _ in times)


def _flops(np: Any) -> float:
    left = np.ones((_MATRIX, _MATRIX), np.float32)
    out = np.empty_like(left)
    np.matmul(left[:64], left, out=out[:64])
    best, begun = 0.0, time.perf_counter()
    while not best or time.perf_counter() - begun < _SECONDS:
        start = time.perf_counter()
        np.matmul(left, left, out=out)
        best = max(best, 2 * _MATRIX**3 / (time.perf_counter() - start))
    return best
