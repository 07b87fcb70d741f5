"""`Ledger`: rows are hashed as they come, in a few microseconds, and written to disk by a thread some moments later.

A process writes one chain, which it holds by a lock as long as it lives; a second process writes another one beside it.
Nothing that was written is ever changed: where a writer was killed in the midst of a line, the next one begins a new
file and says so in its first row.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from weighbridge.errors import StateDamaged
from weighbridge.locks import locked

from .reading import folder_of
from .recovering import recover, start_of
from .row import (
    GENESIS,
    Head,
    canonical,
    day_of,
    first_number,
    read_line,
    segment_name,
    segments,
    stamp,
    write_head,
)
from .served import Served, chain, row_of

_LOG = logging.getLogger("weighbridge")
_MOST_CHAINS = 256
_MOST_ATTEMPTS = 100
FORMAT = 1
FLUSH_SECONDS = 0.2
"""How long a row may wait for the disk: what a crash of the process can lose."""
SYNC_SECONDS = 5.0
"""How long it may wait in the system's memory: what a power failure can lose."""
_MOST_WAITING_BYTES = 8 << 20
# Of a busy gateway's rows no more than this waits for the time to be over, and so much is written in one piece: what is
# held for them stays small.
_HURRY_BYTES = 512 << 10
_PIECE_BYTES = 512 << 10


@dataclass(frozen=True, slots=True)
class Keep:
    """How much is kept: the oldest files go once there is more. 0: no bound."""

    days: float = 0
    bytes: int = 0
    segment_bytes: int = 64 << 20
    """How long one file may become; each day begins a new one too."""


@dataclass(slots=True)
class _Begin:
    """From here on another file is written."""

    path: Path


@dataclass(slots=True)
class _Remove:
    """An old file goes, now that its removal is on disk."""

    path: Path


@dataclass(frozen=True, slots=True)
class _Past:
    """A file that is complete, and how it ends."""

    path: Path
    bytes: int
    number: int
    hash: str


def _past_files(chain: Path) -> list[_Past]:
    """Those whose end the file after them tells."""
    found = []
    files = segments(chain)
    for file, following in itertools.pairwise(files):
        previous = start_of(following, chain.name)
        if previous is not None:
            found.append(_Past(file, file.stat().st_size, first_number(following) - 1, previous))
    return found


class Ledger:
    """Writes one chain. All calls but `close` come from one thread, and none of them waits for the disk.

    Where the disk is full or too slow, rows that find no place are counted, and a row of kind `lost` says so later.
    """

    def __init__(self, chain: Path, keep: Keep, lock: contextlib.ExitStack, written_by: str) -> None:
        self.chain = chain
        self.listeners: list[Callable[[str], None]] = []
        """Called with each row as JSON."""
        self.rows = 0
        """How many this writer has written."""
        self.lost = 0
        self.files_begun = 0
        """How many files it has begun or gone on with: what rows refer to should stand in each."""
        self._keep = keep
        self._lock = lock
        self._written_by = written_by
        self._queue: deque[str | _Begin | _Remove] = deque()
        self._made_bytes = 0
        self._disk = _Disk(chain, self._queue)
        self._unsaid = 0
        self._day = ""
        self._second = -1
        self._second_text = ""
        self._segment: Path | None = None
        self._segment_bytes = 0
        self._past = _past_files(chain)
        found = recover(chain)
        self._number, self._hash = (found.number, found.hash) if found else (0, GENESIS)
        if found is not None and (chain / found.segment).exists():
            self._segment, self._segment_bytes = chain / found.segment, found.bytes + (found.torn_bytes or 0)
        if found is None or found.torn_bytes is not None or found.note:
            note = {} if found is None else {"torn_bytes": found.torn_bytes, "note": found.note or None}
            self._begin(time.time(), note)
        else:
            self._go_on(chain / found.segment, found.bytes)
        self._disk.start()

    @classmethod
    def open(cls, state_path: Path, keep: Keep | None = None, *, written_by: str = "") -> Ledger:
        """The ledger of a state folder, in the first chain that no other process writes. StateDamaged where no file
        can be written."""
        folder = folder_of(state_path)
        lock = contextlib.ExitStack()
        try:
            for number in range(_MOST_CHAINS):
                chain = folder / str(number)
                chain.mkdir(parents=True, exist_ok=True, mode=0o700)
                with contextlib.suppress(BlockingIOError):
                    lock.enter_context(locked(chain, waits=False))
                    return cls(chain, keep or Keep(), lock, written_by)
        except OSError as error:
            lock.close()
            raise StateDamaged(
                f"{folder}: the ledger cannot be written: {error.strerror or error}",
                hint="choose another folder: WEIGHBRIDGE_STATE_DIR, or do without: WEIGHBRIDGE_LEDGER=false",
            ) from error
        raise StateDamaged(f"{folder}: {_MOST_CHAINS} processes write it", hint="end some of them")

    @property
    def head(self) -> Head:
        """The newest row, on disk or about to be."""
        return Head(self.chain.name, self._number, self._hash, "", 0)

    def served(self, served: Served) -> None:
        """One row for one request."""
        if stamped := self._admit(served.at):
            self._append(row_of(self._number + 1, stamped, served))

    def served_together(self, told: list[Served]) -> None:
        """One row for each of some requests that were over at about the same time: together they cost less."""
        second = int(told[0].at)
        if self._is_full or any(int(served.at) != second for served in told):
            for served in told:
                self.served(served)
            return
        self._admit(told[-1].at)
        made = (
            None
            if chain is None or self.listeners
            else chain(self._hash, self._number, self._second_text, second, told)
        )
        if made is None:
            for served in told:
                self._append(row_of(self._number + 1, self._stamp(served.at), served))
            return
        lines, self._hash = made
        self._number += len(told)
        self.rows += len(told)
        self._write(lines)

    def record(self, kind: str, fields: Mapping[str, Any]) -> str:
        """One row of another kind, `fields` being JSON; the sha256 of what it says, by which other rows name it."""
        named = sha256(canonical(fields).encode()).hexdigest()
        if stamped := self._admit(time.time()):
            own = {"kind": kind, "number": self._number + 1, "time": stamped}
            self._append(canonical({**fields, **own}))
        return named

    def pass_over(self) -> None:
        """Count something of which no row is made."""
        self.lost += 1
        self._unsaid += 1

    def close(self) -> None:
        """Write all that waits; returns when it is on disk. Nothing may be recorded after it."""
        self._disk.stop()
        self._lock.close()

    @property
    def _is_full(self) -> bool:
        """Whether so much waits for the disk that no more is taken."""
        return self._made_bytes - self._disk.taken_bytes > _MOST_WAITING_BYTES

    def _admit(self, now: float) -> str:
        """The time as a row has it, where there is room for one, else ""; begins a new file where one is due."""
        if self._is_full:
            self.pass_over()
            return ""
        stamped = self._stamp(now)
        if self._segment_bytes > self._keep.segment_bytes or not stamped.startswith(self._day):
            self._begin(now, {})
        if self._unsaid:
            count, self._unsaid = self._unsaid, 0
            own = {"kind": "lost", "number": self._number + 1, "time": stamped, "count": count}
            self._append(canonical(own))
        return stamped

    def _append(self, body: str) -> None:
        previous = self._hash
        # ASCII throughout: as many bytes as letters.
        made = self._hash = sha256((previous + body).encode()).hexdigest()
        self._number += 1
        self.rows += 1
        self._write(f'{{"hash":"{made}","row":{body}}}\n')
        for listener in self.listeners:
            listener(body)

    def _write(self, lines: str) -> None:
        self._segment_bytes += len(lines)
        self._made_bytes += len(lines)
        self._queue.append(lines)
        if self._disk.sleeps:
            self._disk.wake()
        if self._made_bytes - self._disk.taken_bytes > _HURRY_BYTES:
            self._disk.hurry()

    def _stamp(self, now: float) -> str:
        second = int(now)
        if second != self._second:
            self._second, self._second_text = second, stamp(second)[:20]
        return f"{self._second_text}{int((now - second) * 1e6):06d}Z"

    def _go_on(self, segment: Path, size: int) -> None:
        self._day = day_of(segment)
        self._segment, self._segment_bytes = segment, size
        self.files_begun += 1
        self._queue.append(_Begin(segment))

    def _begin(self, now: float, note: Mapping[str, Any]) -> None:
        """A new file, whose first row says what it follows; and away with those that are too old."""
        if self._segment is not None:
            self._past.append(_Past(self._segment, self._segment_bytes, self._number, self._hash))
        self._go_on(self._new_segment(now), 0)
        own = {"kind": "opened", "number": self._number + 1, "time": self._stamp(now)}
        said = {"previous": self._hash, "format": FORMAT, "written_by": self._written_by, **note}
        self._append(canonical({**own, **said}))
        self._retire(now)

    def _new_segment(self, now: float) -> Path:
        """Where the next row begins a file: not in one whose writer was killed within that very row."""
        names = (segment_name(self._number + 1, self._stamp(now)[:10], attempt) for attempt in range(_MOST_ATTEMPTS))
        return next(path for name in names if not (path := self.chain / name).exists())

    def _retire(self, now: float) -> None:
        """Have the oldest files removed that are beyond what is kept; a row says what went, and how it ended."""
        keep = self._keep
        oldest = stamp(now - keep.days * 86_400)[:10] if keep.days else ""
        total = sum(past.bytes for past in self._past)
        # A file ends on the day on which the next one begins.
        days = [day_of(past.path) for past in self._past[1:]] + [self._day]
        for past, ended in zip(self._past.copy(), days, strict=False):
            if not (ended < oldest or (keep.bytes and total > keep.bytes)):
                return
            total -= past.bytes
            self._past.remove(past)
            own = {"kind": "removed", "number": self._number + 1, "time": self._stamp(now), "segment": past.path.name}
            self._append(canonical({**own, "first": first_number(past.path), "last": past.number, "end": past.hash}))
            self._queue.append(_Remove(past.path))


class _Disk:
    """The thread that writes: what waits, every `FLUSH_SECONDS` or sooner, in large pieces."""

    def __init__(self, chain: Path, queue: deque[str | _Begin | _Remove]) -> None:
        self.taken_bytes = 0
        """How much has come to the disk."""
        self.sleeps = True
        self._chain = chain
        self._queue = queue
        self._file: BinaryIO | None = None
        self._path: Path | None = None
        self._size = 0
        self._synced = time.monotonic()
        self._is_dirty = False
        self._has_warned = False
        self._ends = threading.Event()
        self._rises = threading.Event()
        self._hurries = threading.Event()
        self._thread = threading.Thread(target=self._work, name="ledger", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There is something to write."""
        self.sleeps = False
        self._rises.set()

    def hurry(self) -> None:
        """So much waits that it is written now."""
        if not self._hurries.is_set():
            self._hurries.set()

    def stop(self) -> None:
        """Write what waits, and end."""
        self._ends.set()
        self._rises.set()
        self._hurries.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._ends.is_set():
            self._rises.wait(SYNC_SECONDS if self._is_dirty else None)
            self._rises.clear()
            if self._queue:
                # More rows are coming: they are written together.
                self._hurries.wait(FLUSH_SECONDS)
            self._hurries.clear()
            self.sleeps = True
            self._flush()
        self._flush()
        with contextlib.suppress(OSError):
            self._sync()
        if self._file is not None:
            self._file.close()

    def _flush(self) -> None:
        try:
            # What comes meanwhile waits for the next time: rows are written in large pieces.
            left = len(self._queue)
            while left > 0:
                left -= self._take(left)
            if self._is_dirty and time.monotonic() - self._synced > SYNC_SECONDS:
                self._sync()
            self._has_warned = False
        except OSError as error:
            if not self._has_warned:
                _LOG.warning("the ledger cannot be written: %s: %s", self._path, error.strerror or error)
            self._has_warned = True
            # Nobody may have woken us until there is room again.
            self._rises.set()
            self._ends.wait(FLUSH_SECONDS)

    def _take(self, most: int) -> int:
        """Write the lines that wait up to the next change of files, or make that change; how many orders that was."""
        first = self._queue[0]
        if isinstance(first, _Begin):
            self._open(first.path)
            self._queue.popleft()
        elif isinstance(first, _Remove):
            self._sync()
            first.path.unlink(missing_ok=True)
            self._queue.popleft()
        else:
            lines, size = [], 0
            for line in itertools.islice(self._queue.copy(), most):
                if not isinstance(line, str) or size > _PIECE_BYTES:
                    break
                lines.append(line)
                size += len(line)
            self._write(lines)
            for _ in lines:
                self._queue.popleft()
            return len(lines)
        return 1

    def _open(self, path: Path) -> None:
        if self._file is not None:
            self._sync()
            self._file.close()
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb", buffering=0)
        self._path = path
        self._size = path.stat().st_size

    def _write(self, lines: list[str]) -> None:
        assert self._file is not None
        assert self._path is not None
        data = "".join(lines).encode("ascii")
        done = 0
        try:
            while done < len(data):
                done += self._file.write(data[done:])
        except OSError:
            # Half a line of ours, written a moment ago, on a disk that is full: it is written again later.
            os.truncate(self._path, self._size)
            raise
        self._size += len(data)
        self.taken_bytes += len(data)
        self._is_dirty = True
        found = read_line(data[data.rfind(b"\n", 0, -1) + 1 :])
        if found is not None:
            write_head(self._chain, Head(self._chain.name, found.number, found.hash, self._path.name, self._size))

    def _sync(self) -> None:
        self._synced = time.monotonic()
        if self._file is not None and self._is_dirty:
            os.fsync(self._file.fileno())
            self._is_dirty = False
