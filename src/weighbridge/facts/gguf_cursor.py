"""`Cursor`: reads forward through a GGUF header, numbers and strings, in either byte order."""

from __future__ import annotations

import struct
from typing import Any

from weighbridge.errors import BadModelFile

from .readable import Readable
from .walk import Walks, find_walks

# Types of values: those of a fixed size by the code of `struct`, and strings.
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING = 8
# What is read at once from a local file: it fits into a processor's cache, so that going through it costs little.
CHUNK_BYTES = 1 << 18
MOST_DIMENSIONS = 4
# Far more than any chat template has.
MOST_TEXT_BYTES = 16 << 20
# Four times the largest vocabulary with its merges; passing over each takes Python a quarter of a microsecond.
MOST_TEXTS = 4 << 20


class _Order:
    """How numbers lie in a file of one byte order; ready-made, because thousands are read."""

    def __init__(self, sign: str) -> None:
        self.sign = sign
        self.numbers = {code: struct.Struct(sign + code) for code in SCALARS.values()}
        self.u32, self.u64 = self.numbers["I"].unpack_from, self.numbers["Q"].unpack_from
        # What follows the number of dimensions of a tensor: its shape and type.
        self.forms = [struct.Struct(f"{sign}{count}QI") for count in range(MOST_DIMENSIONS + 1)]


ORDERS = {sign: _Order(sign) for sign in "<>"}


class Cursor:
    """Reads forward through the header, in chunks, and never past what the file holds."""

    def __init__(
        self,
        file: Readable,
        label: str,
        file_bytes: int,
        chunk_bytes: int = CHUNK_BYTES,
        most_chunk_bytes: int = 0,
        walks: Walks | None = None,
    ) -> None:
        self.file, self.label, self.file_bytes = file, label, file_bytes
        # Found when there is much to pass over, not before.
        self.walks = walks
        self.read_into = getattr(file, "readinto", None)
        self.chunk_bytes, self.most_chunk_bytes = chunk_bytes, most_chunk_bytes
        self.order = ORDERS["<"]
        self.texts_left, self.text_bytes_left = MOST_TEXTS, MOST_TEXT_BYTES
        # The bytes at hand are buffer[at:end]; buffer[0] is the file's byte `base`.
        self.buffer = bytearray()
        self.base = self.at = self.end = 0

    @property
    def place(self) -> int:
        """Where in the file the next byte will be read."""
        return self.base + self.at

    @property
    def left(self) -> int:
        """How many bytes the file still holds from here."""
        return self.file_bytes - self.place

    def wrong(self, what: str, hint: str = "") -> BadModelFile:
        """The error for what is wrong at this place."""
        return BadModelFile(
            f"{self.label}: at byte {self.place:,}: {what[:400]}",
            hint=hint or "the file is damaged or was cut off: fetch it again and compare its sha256",
        )

    def need(self, count: int, what: str, *names: object) -> None:
        """Have `count` bytes at hand, or say that the file ends too early. `what` is put together for that alone."""
        if self.at + count <= self.end:
            return
        if count > self.left:
            raise self.wrong(f"{what.format(*names)} needs {count:,} bytes, and the file ends after {self.left:,} more")
        self.fill(count)
        if self.end - self.at < count:
            raise self.wrong(
                f"{what.format(*names)} needs {count:,} bytes, and only {self.end - self.at:,} could be read"
            )

    def fill(self, count: int) -> None:
        """Read on, so that `count` bytes are at hand, and a chunk more where that is longer."""
        rest = self.buffer[self.at : self.end]
        self.base, self.at, self.end = self.base + self.at, 0, len(rest)
        wanted = min(max(count, self.chunk_bytes), self.file_bytes - self.base)
        if len(self.buffer) < wanted:
            self.buffer = bytearray(wanted)
        self.buffer[: self.end] = rest
        # A connection may give less than is asked for.
        while self.end < count and (got := self._read(wanted - self.end)):
            self.end += got
        if self.chunk_bytes < self.most_chunk_bytes:
            self.chunk_bytes = min(2 * self.chunk_bytes, self.most_chunk_bytes)

    def _read(self, count: int) -> int:
        room = memoryview(self.buffer)[self.end : self.end + count]
        if self.read_into:
            return self.read_into(room) or 0
        found = self.file.read(count)
        room[: len(found)] = found
        return len(found)

    def number(self, code: str, what: str, *names: object) -> Any:
        """The next number, by the code of `struct`."""
        form = self.order.numbers[code]
        at = self.at
        if at + form.size > self.end:
            self.need(form.size, what, *names)
            at = self.at
        self.at = at + form.size
        return form.unpack_from(self.buffer, at)[0]

    def text(self, most: int, what: str, *names: object) -> str:
        """The next string, of at most so many bytes; what is no UTF-8 in it is replaced."""
        at = self.at
        if at + 8 > self.end:
            self.need(8, "the length of " + what, *names)
            at = self.at
        (length,) = self.order.u64(self.buffer, at)
        self.at = at = at + 8
        if length > most and length <= self.left:
            raise self.wrong(f"{what.format(*names)} has {length:,} bytes, expected at most {most:,}")
        self.text_bytes_left -= length
        if self.text_bytes_left < 0 and length <= self.left:
            raise self.wrong(f"{what.format(*names)} brings all texts to more than {MOST_TEXT_BYTES:,} bytes")
        if at + length > self.end:
            self.need(length, what, *names)
            at = self.at
        self.at = at + length
        return self.buffer[at : at + length].decode("utf-8", errors="replace")

    def skip(self, count: int, what: str, *names: object) -> None:
        """Pass over `count` bytes; those not yet in the buffer are not read at all."""
        if count > self.left:
            raise self.wrong(f"{what.format(*names)} needs {count:,} bytes, and the file ends after {self.left:,} more")
        if count <= self.end - self.at:
            self.at += count
            return
        self.base, self.at, self.end = self.place + count, 0, 0
        self.file.seek(self.base)

    def skip_texts(self, length: int, what: str, *names: object) -> None:
        """Pass over `length` strings. This is the cost of a header with a large vocabulary."""
        self.walks = self.walks or find_walks()
        while length:
            if self.end - self.at < 8:
                self.need(8, what, *names)
            self.at, length = self.walks.texts(self.buffer, self.at, self.end, length, self.order.sign)
            if length and self.end - self.at >= 8:
                # The next string ends behind the buffer.
                (size,) = self.order.u64(self.buffer, self.at)
                self.at += 8
                self.skip(size, what, *names)
                length -= 1
