"""A lock on a folder, which the system takes back from whoever ends, however it ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: what is locked there is left to chance, as nothing else of ours serves there
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def locked(folder: Path, *, waits: bool = True) -> Iterator[None]:
    """Hold the folder; BlockingIOError where another does and `waits` is not asked for, OSError where it is no folder.

    Two holders in one process exclude each other too.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)
