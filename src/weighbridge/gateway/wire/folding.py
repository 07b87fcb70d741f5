"""`Folding`: a body of megabytes, looked through as it comes, and what is left of it without the data in its strings.

Images and sounds are nearly all of such a body, and nobody here reads them. Short marks stand for them in what is read,
translated and written anew, and they themselves are put in their places when it is sent: no step of the event loop
handles more of them than one piece that came.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

from .quick import compiled

# Data that is shorter is read like everything else.
LEAST_BYTES = 16 << 10
_PIECE_BYTES = 64 << 10
# One of these tells of an image, a sound or a file. A text without blanks is read like others: its letters count.
_TELLS = re.compile(rb'"(?:image_url|input_image|image|input_audio|file_data)"')


class Folding:
    """The pieces of a body as they come, and its data set apart; a body without any is as it would be without this."""

    __slots__ = ("_data", "_kept", "_mark", "_pattern", "_pending", "_pending_bytes", "_pieces", "_state")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._kept: list[bytes] = []
        self._data: list[list[memoryview]] = []
        """What each mark stands for, in the pieces in which it came."""
        self._state = 0
        # Nobody outside can know it, so nothing that a client writes is taken for a mark.
        self._mark = b"@%b-" % os.urandom(12).hex().encode()
        self._pattern: re.Pattern[bytes] | None = None

    def feed(self, data: bytes) -> None:
        """The next bytes; small pieces are joined to larger ones."""
        self._pending.append(data)
        self._pending_bytes += len(data)
        if self._pending_bytes >= _PIECE_BYTES:
            self._take()

    def pieces(self) -> list[bytes]:
        """All of the body, which is complete, as it came."""
        if self._pending:
            self._take()
        return self._pieces

    def folded(self) -> bytes | None:
        """The body with marks instead of its data; None where it has none."""
        if not self._data:
            return None
        short = b"".join(self._kept)
        return short if _TELLS.search(short) else None

    def unfold(self, text: bytes) -> list[bytes]:
        """A text with marks, wherever it has them now, in pieces of which some are the data."""
        if self._pattern is None:
            self._pattern = re.compile(re.escape(self._mark) + rb"([0-9a-f]{6})@")
        found: list[Any] = []
        at = 0
        for mark in self._pattern.finditer(text):
            found.append(text[at : mark.start()])
            found += self._data[int(mark[1], 16)]
            at = mark.end()
        found.append(text[at:])
        return [piece for piece in found if piece]

    def is_in(self, text: bytes) -> bool:
        """Whether a text has a mark."""
        return self._mark in text

    def _take(self) -> None:
        """Look through what waits."""
        piece = self._pending[0] if len(self._pending) == 1 else b"".join(self._pending)
        self._pending, self._pending_bytes = [], 0
        self._pieces.append(piece)
        goes_on = self._state == _IN_DATA
        self._state, runs = _find_data(piece, self._state, LEAST_BYTES)
        at = 0
        for begin, end in runs:
            if begin or not goes_on:
                self._kept.append(b"%b%b%06x@" % (piece[at:begin], self._mark, len(self._data)))
                self._data.append([])
            self._data[-1].append(memoryview(piece)[begin:end])
            at = end
        self._kept.append(piece[at:])


_IN_DATA = 7
"""As in quick.c."""


def _without(piece: bytes, state: int, least: int) -> tuple[int, Sequence[tuple[int, int]]]:
    """Where nothing was compiled, nothing is set apart."""
    return state, ()


_find_data: Any = getattr(compiled, "find_data", _without)
