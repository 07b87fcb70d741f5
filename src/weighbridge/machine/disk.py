"""The disk that models are kept on: what is free there and, when asked, how fast it is read."""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from .machine import Disk

_MOST_BYTES = 256 << 20
_MOST_SECONDS = 1.0
_BLOCK_BYTES = 8 << 20
# A file that is read in less than a few blocks tells more of the first access than of the rate.
_LEAST_BYTES = 64 << 20
_WRITTEN_BYTES = 128 << 20
_LOOKED_AT = 2000


def detect_disk(folder: Path) -> Disk:
    """The disk of a folder, or of where it will be made."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return Disk(folder, shutil.disk_usage(there).free)


def read_bandwidth(folder: Path) -> float | None:
    """Bytes a second that a file below the folder is read with, past the page cache, in blocks of 8 MiB.

    It reads at most 256 MB for at most about a second, of a file that is there; where none is large enough it writes
    128 MiB and removes them. None where neither can be done.
    """
    try:
        for path in _large_files(folder):
            return _read(path)
        return _read_of_new(folder)
    except OSError:
        return None


def _large_files(folder: Path) -> Iterator[Path]:
    for path in islice(folder.rglob("*"), _LOOKED_AT):
        if path.is_file() and path.stat().st_size >= _LEAST_BYTES:
            yield path


def _read_of_new(folder: Path) -> float | None:
    if not folder.is_dir() or shutil.disk_usage(folder).free < 8 * _WRITTEN_BYTES:
        return None
    # Random, for a file system that compresses would otherwise read next to nothing.
    block = os.urandom(_BLOCK_BYTES)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".weighbridge-") as file:
        for _ in range(_WRITTEN_BYTES // _BLOCK_BYTES):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        return _read(Path(file.name))


def _open(path: Path) -> int:
    """Open it so that what is read comes from the disk, by the surest way that the file system knows."""
    if hasattr(os, "O_DIRECT"):
        try:
            return os.open(path, os.O_RDONLY | os.O_DIRECT)
        except OSError:
            pass
    descriptor = os.open(path, os.O_RDONLY)
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    return descriptor


def _read(path: Path) -> float | None:
    descriptor = _open(path)
    try:
        # O_DIRECT wants whole blocks at addresses that are multiples of a page: an anonymous map is.
        with mmap.mmap(-1, _BLOCK_BYTES) as block:
            done, start = 0, time.perf_counter()
            while done < _MOST_BYTES and time.perf_counter() - start < _MOST_SECONDS:
                got = os.preadv(descriptor, [block], done)
                if got < _BLOCK_BYTES:
                    break
                done += got
            seconds = time.perf_counter() - start
        return done / seconds if done else None
    finally:
        os.close(descriptor)
