"""Chunked bodies (RFC 9112, section 7.1), read strictly: of two readers on a path, neither may see another end."""

from __future__ import annotations

import re

# The size of a chunk, and its extensions, which nobody uses and which are dropped. A bare LF is no end of line.
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]{0,8};[^\x00-\x08\x0a-\x1f\x7f]{0,1000})?\r\n")
_SIZE_SO_FAR = re.compile(rb"[0-9A-Fa-f]{1,15}(?:[ \t]{0,8}(?:;[^\x00-\x08\x0a-\x1f\x7f]{0,1000})?)?\r?")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\x00-\x08\x0a-\x1f\x7f]*")
_MOST_TRAILER_BYTES = 8_192


class BadChunks(Exception):
    """A chunked body that does not follow the grammar."""


class Chunked:
    """Takes a chunked body apart as it comes, in pieces of any size.

    After each `feed`: `framed` is that piece as it came where it consists of whole chunks alone and may be passed on
    as it is, else None; `is_done` tells the end, and `rest` holds what came after it.
    """

    __slots__ = ("_held", "_in_trailers", "_left", "framed", "is_done", "rest")

    def __init__(self) -> None:
        self._left = 0
        """Bytes of the chunk at hand that are still to come, its closing CRLF included; 0 between chunks."""
        self._held = b""
        self._in_trailers = False
        self.framed: bytes | None = None
        self.is_done = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """The body's bytes in a piece. BadChunks where it breaks the grammar."""
        if self._left or self._held or self._in_trailers:
            return self._feed_in_the_midst(data)
        at, size = 0, len(data)
        parts: list[bytes] = []
        while at < size:
            found = _SIZE.match(data, at)
            if found is None:
                break
            begin = found.end()
            length = int(found[1], 16)
            end = begin + length
            if length == 0 or end + 2 > size or begin != found.end(1) + 2:
                break
            if data[end : end + 2] != b"\r\n":
                raise BadChunks("a chunk does not end where it said")
            parts.append(data[begin:end])
            at = end + 2
        if at == size:
            # The usual case: an engine's every chunk comes alone and whole.
            self.framed = data
            return parts[0] if len(parts) == 1 else b"".join(parts)
        if data[at:] == b"0\r\n\r\n":
            self.framed = data[:at]
            self.is_done = True
            return b"".join(parts)
        parts.append(self._feed_in_the_midst(data[at:] if at else data))
        self.framed = None
        return b"".join(parts)

    def _feed_in_the_midst(self, data: bytes) -> bytes:
        """The same byte by byte as it were: for chunks that are cut anywhere, extensions and trailers."""
        self.framed = None
        parts: list[bytes] = []
        if self._held:
            data = self._held + data
            self._held = b""
        at, size = 0, len(data)
        while at < size and not self.is_done:
            if self._in_trailers:
                at = self._trailers(data, at)
            elif self._left:
                at = self._piece(data, at, parts)
            else:
                at = self._size(data, at)
        self.rest = data[at:] if self.is_done else b""
        return b"".join(parts)

    def _size(self, data: bytes, at: int) -> int:
        found = _SIZE.match(data, at)
        if found is None:
            if _SIZE_SO_FAR.fullmatch(data, at) is None:
                raise BadChunks("a chunk's size is no number")
            self._held = data[at:]
            return len(data)
        length = int(found[1], 16)
        if length:
            self._left = length + 2
        else:
            self._in_trailers = True
        return found.end()

    def _piece(self, data: bytes, at: int, parts: list[bytes]) -> int:
        body = min(self._left - 2, len(data) - at)
        if body > 0:
            parts.append(data[at : at + body])
            self._left -= body
            return at + body
        ending = data[at : at + self._left]
        if ending != b"\r\n"[2 - self._left :][: len(ending)]:
            raise BadChunks("a chunk does not end where it said")
        self._left -= len(ending)
        return at + len(ending)

    def _trailers(self, data: bytes, at: int) -> int:
        end = data.find(b"\r\n", at)
        if end < 0:
            if len(data) - at > _MOST_TRAILER_BYTES or b"\n" in data[at:]:
                raise BadChunks("a trailer is too long or has no end")
            self._held = data[at:]
            return len(data)
        line = data[at:end]
        if not line:
            self.is_done = True
        elif _TRAILER.fullmatch(line) is None or len(line) > _MOST_TRAILER_BYTES:
            raise BadChunks("a trailer is no header")
        return end + 2
