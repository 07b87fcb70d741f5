"""Sums of contents: taken while bytes pass by, on a thread of their own, and remembered while files stay unchanged."""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from weighbridge.store import Store

from .model_files import File

READ_BYTES = 1 << 20
# What may wait to be added: a little, so that a slow processor slows the network and fills no memory.
_MOST_WAITING = 64
_SHA256_LETTERS = 64


class Hash(Protocol):
    """What hashlib gives."""

    def update(self, data: bytes, /) -> None:
        """Add bytes."""

    def hexdigest(self) -> str:
        """The sum so far."""


def hash_for(file: File) -> Hash:
    """The kind of sum by which the file is known; sha256 where nobody states one."""
    if file.sha256 is None and file.git_sha1 is not None:
        return hashlib.sha1(f"blob {file.size_bytes}\0".encode(), usedforsecurity=False)
    return hashlib.sha256()


def sum_of(file: File, path: Path, told: Callable[[int], None] | None = None) -> str:
    """The sum of what lies at `path`, of the file's kind; `told` hears of each piece, and may raise to end it."""
    total = hash_for(file)
    with path.open("rb", buffering=0) as content:
        while piece := content.read(READ_BYTES):
            total.update(piece)
            if told:
                told(len(piece))
    return total.hexdigest()


class RunningSum:
    """A sum that is taken on a thread of its own, so that it costs a fetch no time where a core is free."""

    def __init__(self, total: Hash) -> None:
        self._total = total
        self._waiting: queue.Queue[bytes | None] = queue.Queue(_MOST_WAITING)
        self._thread = threading.Thread(target=self._work, name="sum", daemon=True)
        self._thread.start()

    def add(self, piece: bytes) -> None:
        """Add bytes; waits where too many wait already."""
        self._waiting.put(piece)

    def end(self) -> str:
        """The sum of all that was added."""
        self._waiting.put(None)
        self._thread.join()
        return self._total.hexdigest()

    def _work(self) -> None:
        while (piece := self._waiting.get()) is not None:
            self._total.update(piece)


class Verified:
    """Which files had the sum that they must have. A file that changed since, by size, time or place, is not among
    them; only who reads it anew finds what a failing disk changed, so `weigh get` does."""

    def __init__(self, state: Path) -> None:
        self._state = state

    def holds(self, files: Iterable[File]) -> set[str]:
        """The names of those that were verified and not changed since."""
        with Store(self._state) as store:
            return {file.name for file in files if self._is_known(store, file)}

    def note(self, file: File) -> None:
        """The file has its sum."""
        if file.path is None or file.identity is None:
            return
        path = file.path.resolve()
        status = path.stat()
        row = (str(path), status.st_size, status.st_mtime_ns, status.st_ino, file.identity, time.time())
        with Store(self._state) as store:
            store.write("INSERT OR REPLACE INTO files_verified VALUES (?, ?, ?, ?, ?, ?)", row)

    def _is_known(self, store: Store, file: File) -> bool:
        if file.path is None:
            return False
        path = file.path.resolve()
        status = path.stat()
        found = store.rows(
            "SELECT size_bytes, modified_ns, inode, sum FROM files_verified WHERE path = ?", (str(path),)
        )
        return found == [(status.st_size, status.st_mtime_ns, status.st_ino, file.identity)]


def known_sha256(path: Path, state: Path) -> str | None:
    """A file's sha256 where it was taken before and the file has not changed since. Raises StateDamaged."""
    place = path.resolve()
    status = place.stat()
    with Store(state) as store:
        found = store.rows(
            "SELECT sum FROM files_verified WHERE path = ? AND size_bytes = ? AND modified_ns = ? AND inode = ?",
            (str(place), status.st_size, status.st_mtime_ns, status.st_ino),
        )
    # Of small files it may be git's sum that is known, which is shorter.
    return str(found[0][0]) if found and len(found[0][0]) == _SHA256_LETTERS else None


def take_sha256(path: Path, state: Path, *, goes_on: Callable[[], bool] = lambda: True) -> str | None:
    """Read a file for its sha256, and remember it for as long as the file stays unchanged. None where it changed
    meanwhile, cannot be read, or `goes_on` said no. Raises StateDamaged."""
    place = path.resolve()
    total = hashlib.sha256()
    try:
        before = place.stat()
        with place.open("rb", buffering=0) as content:
            while piece := content.read(READ_BYTES):
                if not goes_on():
                    return None
                total.update(piece)
        after = place.stat()
    except OSError:
        return None
    same = (before.st_size, before.st_mtime_ns, before.st_ino)
    if same != (after.st_size, after.st_mtime_ns, after.st_ino):
        return None
    with Store(state) as store:
        # What a hub stated of the file, and was found to be so, stays.
        row = (str(place), *same, total.hexdigest(), time.time())
        store.write("DELETE FROM files_verified WHERE path = ? AND modified_ns <> ?", (str(place), same[1]))
        store.write("INSERT OR IGNORE INTO files_verified VALUES (?, ?, ?, ?, ?, ?)", row)
    return total.hexdigest()
