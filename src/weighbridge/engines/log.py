"""What an engine says: kept in a file that never grows beyond bounds, and its last lines at hand to be quoted."""

from __future__ import annotations

import collections
import contextlib
import time
from pathlib import Path
from typing import BinaryIO

from .causes import cause_of, last_words

_KEPT_LINES = 400
_LONGEST_LINE = 4096
# Of one file; one older is kept beside it.
LARGE_BYTES = 8 << 20


class Log:
    """The log of one life of an engine. A file that can't be written (a full disk) is given up; lines still are kept to
    be quoted, since what a process says must be read or it waits for ever."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tail: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)
        # A traceback that comes first is often the cause of a hundred lines that follow.
        self._first: list[str] = []
        self._rest = b""
        self._file: BinaryIO | None = None
        self._written = 0

    def open(self, what: str) -> None:
        """Go on with the file, and say in it that a life begins."""
        with contextlib.suppress(OSError):
            self._reopen("ab")
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z")
            self._write(f"--- {stamp} {what}\n".encode())

    def take(self, chunk: bytes) -> None:
        """Keep what the engine said."""
        self._write(chunk)
        *lines, rest = (self._rest + chunk).split(b"\n")
        self._rest = rest[-_LONGEST_LINE:]
        for line in lines:
            self._keep(line)

    def close(self) -> None:
        """Nothing more comes."""
        if self._rest:
            self._keep(self._rest)
            self._rest = b""
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def lines(self) -> tuple[str, ...]:
        """The last lines."""
        return tuple(self._tail)

    @property
    def cause(self) -> str | None:
        """The line that best tells why the engine failed; None where none does."""
        return cause_of([*self._first, *self._tail])

    @property
    def last_words(self) -> str | None:
        """The line that best tells why an engine that was ready ended; None where none does."""
        return last_words(self.lines)

    def _keep(self, line: bytes) -> None:
        text = line[-_LONGEST_LINE:].decode(errors="replace").rstrip()
        if len(self._tail) == _KEPT_LINES and len(self._first) < _KEPT_LINES:
            self._first.append(self._tail[0])
        self._tail.append(text)

    def _write(self, chunk: bytes) -> None:
        if self._file is None:
            return
        try:
            if self._written + len(chunk) > LARGE_BYTES:
                self._file.close()
                self.path.replace(self.path.with_name(self.path.name + ".1"))
                self._reopen("wb")
            self._file.write(chunk)
            self._written += len(chunk)
        except OSError as error:
            self._tail.append(f"(its log could not be written on: {error.strerror or error})")
            self._file = None

    def _reopen(self, mode: str) -> None:
        self._file = self.path.open(mode, buffering=0)  # type: ignore[assignment]
        self.path.chmod(0o600)
        self._written = self.path.stat().st_size
