"""Main memory that a process and those it started hold."""

from __future__ import annotations

import asyncio

import psutil

_PATIENCE_SECONDS = 1.0


def memory_of(pid: int) -> int | None:
    """Bytes of a process and its descendants: pages that several share count in part for each (PSS), what was swapped
    out counts too; where the kernel tells no shares, what is resident. None if the process is not there."""
    try:
        leader = psutil.Process(pid)
        own = _of_one(leader)
        processes = leader.children(recursive=True)
    except (psutil.Error, OSError):
        return None
    total = own
    for process in processes:
        try:
            total += _of_one(process)
        except (psutil.Error, OSError):
            continue  # it has just ended
    return total


def _of_one(process: psutil.Process) -> int:
    try:
        memory = process.memory_full_info()
    except psutil.AccessDenied:
        return int(process.memory_info().rss)
    pss = getattr(memory, "pss", 0)
    return int(pss + getattr(memory, "swap", 0)) if pss else int(memory.rss)


class MemoryWatch:
    """The memory of one process, asked for at most once at a time.

    The kernel walks every page of a mapped model, which takes milliseconds a gigabyte: that is done in a thread, and
    who can't wait gets the last figure.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._asking: asyncio.Future[int | None] | None = None
        self._last: int | None = None

    async def bytes(self) -> int | None:
        """What it holds now, or held when it was last seen if that takes more than a second."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(asyncio.to_thread(memory_of, self._pid))
        try:
            self._last = await asyncio.wait_for(asyncio.shield(self._asking), _PATIENCE_SECONDS)
        except TimeoutError:
            pass
        return self._last
