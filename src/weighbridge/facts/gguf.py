"""A reader of GGUF headers. The file is a stranger: each count and length is held against what it can hold.

Format: ggml's docs/gguf.md. Only the header is looked at, never the weights behind it.
"""

from __future__ import annotations

import functools
import itertools
import operator
import stat
import struct
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from weighbridge.errors import BadModelFile

from .model_facts import Tensor
from .readable import Readable
from .walk import Walks, find_walks

Value = int | float | bool | str | list["Value"]


@dataclass(frozen=True, slots=True)
class SkippedArray:
    """An array that no fact needs (a vocabulary, say): its length is known, its content was passed over."""

    length: int


Metadata = dict[str, Value | SkippedArray]
# First byte and end.
Places = dict[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Header:
    """What a GGUF file says before its weights begin."""

    label: str
    """What the file is called in messages: its path, or its address."""
    version: int
    metadata: Metadata
    places: Places
    """For each key of `metadata` the first byte and the end of its entry, name included."""
    tensors: tuple[Tensor, ...]
    tensor_table: tuple[int, int]
    """The first byte and the end of the list of tensors."""
    bytes_read: int
    file_bytes: int


# number: (name, weights a block, bytes a block); ggml.h `enum ggml_type` with ggml.c `type_traits`.
TENSOR_TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18), 42: ("Q2_0", 64, 18),
    # Of microsoft/BitNet, and those of ikawrakow/ik_llama.cpp that llama-quantize writes there; `_R4` and its like
    # have the rows of several blocks woven into each other.
    31: ("Q4_0_4_4", 32, 18), 32: ("Q4_0_4_8", 32, 18), 33: ("Q4_0_8_8", 32, 18), 36: ("I2_S", 4, 1),
    133: ("Q6_0", 32, 26), 134: ("IQ1_BN", 64, 13), 135: ("IQ2_BN", 64, 16), 137: ("IQ2_K", 256, 76),
    138: ("IQ3_K", 256, 110), 139: ("IQ4_K", 256, 144), 140: ("IQ5_K", 256, 176), 141: ("IQ6_K", 256, 212),
    144: ("IQ4_KS", 256, 136), 145: ("IQ2_KS", 256, 70), 146: ("IQ4_KSS", 256, 128), 151: ("Q8_KV", 32, 32),
    152: ("IQ5_KS", 256, 168), 153: ("IQ2_KT", 256, 68), 154: ("IQ3_KT", 256, 100), 155: ("IQ4_KT", 256, 128),
    156: ("IQ3_KS", 256, 102), 157: ("IQ2_KL", 256, 86), 158: ("IQ1_KT", 256, 56), 202: ("Q4_0_R8", 32, 18),
    206: ("Q5_0_R4", 32, 22), 208: ("Q8_0_R8", 32, 34), 210: ("Q2_K_R4", 256, 84), 211: ("Q3_K_R4", 256, 110),
    212: ("Q4_K_R4", 256, 144), 213: ("Q5_K_R4", 256, 176), 214: ("Q6_K_R4", 256, 210),
    216: ("IQ2_XXS_R4", 256, 66), 217: ("IQ2_XS_R4", 256, 74), 218: ("IQ3_XXS_R4", 256, 98),
    219: ("IQ1_S_R4", 32, 6), 220: ("IQ4_NL_R4", 32, 18), 221: ("IQ3_S_R4", 256, 110), 222: ("IQ2_S_R4", 256, 82),
    223: ("IQ4_XS_R8", 256, 136), 229: ("IQ1_M_R4", 32, 7), 230: ("BF16_R16", 1, 2), 233: ("Q6_0_R4", 32, 26),
    335: ("IQ2_BN_R4", 64, 16), 337: ("IQ2_K_R4", 256, 76), 338: ("IQ3_K_R4", 256, 110),
    339: ("IQ4_K_R4", 256, 144), 340: ("IQ5_K_R4", 256, 176), 344: ("IQ4_KS_R4", 256, 136),
    352: ("IQ5_KS_R4", 256, 168), 353: ("MXFP4_R8", 32, 17), 397: ("Q8_K_R16", 256, 258), 398: ("Q8_KV_R8", 32, 32),
    399: ("Q8_K_R8", 256, 258),
}  # fmt: skip

# number: bytes that each row has before its blocks; ik_llama.cpp's ggml.c `row_meta_size`.
_ROW_BYTES = {
    134: 2, 135: 4, 144: 4, 145: 2, 146: 4, 151: 8, 152: 4, 153: 4, 154: 4, 155: 4, 156: 2, 157: 2, 158: 4, 219: 2,
    229: 2, 335: 4, 344: 4, 352: 4, 398: 4,
}  # fmt: skip
# I2_S: behind the weights lies their one scale; BitNet's ggml.c `ggml_nbytes`: elements / 4 + 32.
_TENSOR_BYTES = {36: 32}

# general.file_type: what the maker called the mixture of types; llama.h `enum llama_ftype`.
FILE_TYPES: dict[int, str] = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M",
    13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS",
    21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4", 39: "NVFP4", 40: "Q1_0",
    41: "Q2_0",
}  # fmt: skip

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9

# Arrays up to this length are kept: lists a layer, tags, examples. A vocabulary is longer and is passed over.
_KEPT_LENGTH = 2048
# What is read at once from a local file: it fits into a processor's cache, so that going through it costs little.
_CHUNK_BYTES = 1 << 18
# The least that one entry can take: a name of one letter, its length, a type and a value; likewise for a tensor.
_LEAST_ENTRY_BYTES, _LEAST_TENSOR_BYTES = 14, 33
_MOST_DIMENSIONS = 4
# ggml keeps names in 64 bytes; longer ones are no tensor that an engine would load.
_MOST_NAME_BYTES = 63
# The format's own bound on keys, and far more than any chat template has.
_MOST_KEY_BYTES, _MOST_TEXT_BYTES = 65_535, 16 << 20
# Four times the largest vocabulary with its merges; passing over each takes Python a quarter of a microsecond.
_MOST_TEXTS = 4 << 20
_MOST_ENTRIES, _MOST_TENSORS = 1 << 16, 1 << 18
# So many take longer one by one than it takes to get ready for them (importing ctypes).
_MANY_TENSORS = 512


class _Order:
    """How numbers lie in a file of one byte order; ready-made, because thousands are read."""

    def __init__(self, sign: str) -> None:
        self.sign = sign
        self.numbers = {code: struct.Struct(sign + code) for code in _SCALARS.values()}
        self.u32, self.u64 = self.numbers["I"].unpack_from, self.numbers["Q"].unpack_from
        # What follows the number of dimensions of a tensor: its shape and type.
        self.forms = [struct.Struct(f"{sign}{count}QI") for count in range(_MOST_DIMENSIONS + 1)]


_ORDERS = {sign: _Order(sign) for sign in "<>"}


class _Cursor:
    """Reads forward through the header, in chunks, and never past what the file holds."""

    def __init__(
        self,
        file: Readable,
        label: str,
        file_bytes: int,
        chunk_bytes: int = _CHUNK_BYTES,
        most_chunk_bytes: int = 0,
        walks: Walks | None = None,
    ) -> None:
        self.file, self.label, self.file_bytes = file, label, file_bytes
        # Found when there is much to pass over, not before.
        self.walks = walks
        self.read_into = getattr(file, "readinto", None)
        self.chunk_bytes, self.most_chunk_bytes = chunk_bytes, most_chunk_bytes
        self.order = _ORDERS["<"]
        self.texts_left, self.text_bytes_left = _MOST_TEXTS, _MOST_TEXT_BYTES
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
        form = self.order.numbers[code]
        at = self.at
        if at + form.size > self.end:
            self.need(form.size, what, *names)
            at = self.at
        self.at = at + form.size
        return form.unpack_from(self.buffer, at)[0]

    def text(self, most: int, what: str, *names: object) -> str:
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
            raise self.wrong(f"{what.format(*names)} brings all texts to more than {_MOST_TEXT_BYTES:,} bytes")
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


def _array(cursor: _Cursor, key: str) -> Value | SkippedArray:
    kind = cursor.number("I", "the type of array {!r}", key)
    length = cursor.number("Q", "the length of array {!r}", key)
    what = "array {!r} of {:,} values"
    if kind == _STRING:
        if length * 8 > cursor.left:
            raise cursor.wrong(
                f"{what.format(key, length)} needs at least {length * 8:,} bytes, and {cursor.left:,} are left"
            )
        cursor.texts_left -= length
        if cursor.texts_left < 0:
            raise cursor.wrong(f"{what.format(key, length)} brings all lists of strings to more than {_MOST_TEXTS:,}")
        if length > _KEPT_LENGTH:
            cursor.skip_texts(length, what, key, length)
            return SkippedArray(length)
        return [cursor.text(_MOST_TEXT_BYTES, "a string of {!r}", key) for _ in range(length)]
    if kind not in _SCALARS:
        raise cursor.wrong(f"array {key!r} has values of type {kind}, expected one of {sorted(_SCALARS)} or {_STRING}")
    code = _SCALARS[kind]
    size = length * cursor.order.numbers[code].size
    if length > _KEPT_LENGTH:
        cursor.skip(size, what, key, length)
        return SkippedArray(length)
    cursor.need(size, what, key, length)
    values = list(struct.unpack_from(f"{cursor.order.sign}{length}{code}", cursor.buffer, cursor.at))
    cursor.at += size
    return values


def _metadata(cursor: _Cursor, count: int) -> tuple[Metadata, Places]:
    """The entries, and where each lies in the file."""
    metadata: Metadata = {}
    places: Places = {}
    for index in range(count):
        begin = cursor.place
        key = cursor.text(_MOST_KEY_BYTES, "the name of metadata entry {}", index)
        if key in metadata:
            raise cursor.wrong(f"metadata key {key!r} occurs twice, expected once")
        kind = cursor.number("I", "the type of {!r}", key)
        if kind == _ARRAY:
            metadata[key] = _array(cursor, key)
        elif kind == _STRING:
            metadata[key] = cursor.text(_MOST_TEXT_BYTES, "the value of {!r}", key)
        elif kind in _SCALARS:
            metadata[key] = cursor.number(_SCALARS[kind], "the value of {!r}", key)
        else:
            raise cursor.wrong(f"{key!r} has a value of type {kind}, expected 0 to 12")
        places[key] = (begin, cursor.place)
    return metadata, places


class _Form(NamedTuple):
    """What many tensors of a model have in common."""

    type: str
    shape: tuple[int, ...]
    bytes: int


class _Table:
    """The list of tensors, in columns; offsets count from where the weights begin."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.forms: list[_Form] = []
        self.offsets: list[int] = []
        self.seen: set[str] = set()


def _form(cursor: _Cursor, name: str, kind: int, shape: tuple[int, ...]) -> _Form:
    if kind not in TENSOR_TYPES:
        raise cursor.wrong(
            f"tensor {name!r} is of type {kind}, which is not known here",
            hint="a newer format than this release reads: update weighbridge, or use another quantization",
        )
    type_name, block, block_bytes = TENSOR_TYPES[kind]
    elements = 1
    for length in shape:
        elements *= length
    if elements <= 0 or elements > 1 << 62:
        raise cursor.wrong(f"tensor {name!r} has the shape {list(shape)}, expected lengths of at least 1")
    row = shape[0] if shape else 1
    if row % block:
        rows = f"rows of {row:,} weights" if shape else "a single weight"
        raise cursor.wrong(f"tensor {name!r} has {rows}, {type_name} holds them in {block}s")
    size = elements // block * block_bytes + elements // row * _ROW_BYTES.get(kind, 0) + _TENSOR_BYTES.get(kind, 0)
    return _Form(type_name, shape, size)


def _tensor(cursor: _Cursor, table: _Table) -> None:
    """Take the next tensor into the table."""
    what = f"tensor {len(table.names)}"
    name = cursor.text(_MOST_NAME_BYTES, "the name of {}", what)
    if not name:
        raise cursor.wrong(f"the name of {what} is empty")
    dimensions = cursor.number("I", "the dimensions of {!r}", name)
    if dimensions > _MOST_DIMENSIONS:
        raise cursor.wrong(f"tensor {name!r} has {dimensions:,} dimensions, expected at most {_MOST_DIMENSIONS}")
    shape = tuple(cursor.number("Q", "the shape of {!r}", name) for _ in range(dimensions))
    kind = cursor.number("I", "the type of {!r}", name)
    offset = cursor.number("Q", "the offset of {!r}", name)
    form = _form(cursor, name, kind, shape)
    if name in table.seen:
        raise cursor.wrong(f"tensor {name!r} occurs twice, expected once")
    table.seen.add(name)
    table.names.append(name)
    table.forms.append(form)
    table.offsets.append(offset)


def _tensors_at_hand(cursor: _Cursor, walks: Walks, table: _Table, count: int) -> bool:
    """Take tensors that lie whole in the buffer into the table, many at once; False if one of them is wrong.

    Nothing is taken then, so that `_tensor` finds it, and names the place.
    """
    buffer, order = cursor.buffer, cursor.order
    end, found = walks.tensors(buffer, cursor.at, cursor.end, count, order.sign)
    forms: dict[int, _Form] = {}
    try:
        for place in set(found.forms):
            (dimensions,) = order.u32(buffer, place)
            *shape, kind = order.forms[dimensions].unpack_from(buffer, place + 4)
            forms[place] = _form(cursor, "", kind, tuple(shape))
    except BadModelFile:
        return False
    names, name_bytes = set(found.names), sum(map(len, found.names))
    if len(names) < len(found.names) or not names.isdisjoint(table.seen) or name_bytes > cursor.text_bytes_left:
        return False
    table.seen |= names
    table.names += found.names
    table.forms += [forms[place] for place in found.forms]
    table.offsets += found.offsets
    cursor.text_bytes_left -= name_bytes
    cursor.at = end
    return True


def _tensors(cursor: _Cursor, count: int) -> _Table:
    table = _Table()
    walks = cursor.walks or (find_walks() if count >= _MANY_TENSORS else None)
    while len(table.names) < count:
        if walks and not _tensors_at_hand(cursor, walks, table, count - len(table.names)):
            walks = None
        if len(table.names) < count:
            base = cursor.base
            _tensor(cursor, table)
            if cursor.base == base:
                # It was not the end of what is at hand that stopped the walk, so the next will hardly go further.
                walks = None
    return table


def _check_places(cursor: _Cursor, table: _Table, start: int, alignment: int) -> None:
    """BadModelFile unless each tensor lies inside the file, aligned, none over another."""
    end, before = start, ""
    for offset, form, name in sorted(zip(table.offsets, table.forms, table.names, strict=True), key=itemgetter(0)):
        if offset % alignment:
            raise cursor.wrong(f"tensor {name!r} lies at {start + offset:,}, which is not aligned to {alignment} bytes")
        if start + offset < end:
            raise cursor.wrong(f"tensor {name!r} begins at {start + offset:,}, inside tensor {before!r}")
        end, before = start + offset + form.bytes, name
    if table.names and end > cursor.file_bytes:
        raise BadModelFile(
            f"{cursor.label}: tensor {before!r} ends at byte {end:,}, and the file has {cursor.file_bytes:,}: "
            f"{end - cursor.file_bytes:,} bytes are missing",
            hint="the file was cut off: fetch it again",
        )


def _placed(cursor: _Cursor, table: _Table, alignment: int) -> tuple[Tensor, ...]:
    """The tensors with offsets from the beginning of the file.

    Worked by the column, a third of what a loop takes. Most files list their tensors as they lie, and are not sorted.
    """
    if not table.names:
        return ()
    types, shapes, sizes = zip(*table.forms, strict=True)
    offsets, start = table.offsets, -(-cursor.place // alignment) * alignment
    ends = list(map(operator.add, offsets, sizes))
    are_aligned = functools.reduce(operator.or_, offsets) % alignment == 0
    if not (are_aligned and all(map(operator.le, ends, offsets[1:])) and start + ends[-1] <= cursor.file_bytes):
        _check_places(cursor, table, start, alignment)
    places = map(start.__add__, offsets)
    # tuple's own way to make one skips Tensor's, which is written in Python.
    rows = zip(table.names, types, shapes, places, sizes, itertools.repeat(0))
    return tuple(map(tuple.__new__, itertools.repeat(Tensor), rows))


def read_header(path: Path) -> Header:
    """The header of one GGUF file (version 2 or 3, either byte order); BadModelFile names the place that is wrong."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise BadModelFile(f"{path}: is no ordinary file", hint="give the path of a .gguf file")
        with path.open("rb", buffering=0) as file:
            return read_header_of(file, str(path), status.st_size)
    except OSError as error:
        raise BadModelFile(f"{path}: {error.strerror}", hint="check the path and its permissions") from error


def read_header_of(
    file: Readable,
    label: str,
    file_bytes: int,
    *,
    chunk_bytes: int = _CHUNK_BYTES,
    most_chunk_bytes: int = 0,
    walks: Walks | None = None,
) -> Header:
    """The header of a GGUF file of that size, local or remote; errors call it `label`.

    The first read asks for `chunk_bytes`, each further one for twice as many as the one before, up to
    `most_chunk_bytes`. What is passed over and is not yet at hand is not read.
    """
    file.seek(0)
    return _read_header(_Cursor(file, label, file_bytes, chunk_bytes, most_chunk_bytes, walks))


def _counts(cursor: _Cursor) -> tuple[int, int, int]:
    """The version, the number of tensors and that of metadata entries; the cursor knows the byte order then."""
    if cursor.file_bytes == 0:
        raise BadModelFile(f"{cursor.label}: the file is empty", hint="fetch it again")
    cursor.need(min(4, cursor.file_bytes), "the magic number")
    magic = bytes(cursor.buffer[: min(4, cursor.end)])
    if magic != b"GGUF":
        raise BadModelFile(
            f"{cursor.label}: begins with {magic!r}, expected b'GGUF': this is no GGUF file",
            hint="give a .gguf file; other formats are not served by llama.cpp",
        )
    cursor.at = 4
    version = cursor.number("I", "the version")
    if version & 0xFFFF == 0:
        cursor.order = _ORDERS[">"]
        version = int.from_bytes(version.to_bytes(4, "little"), "big")
    if version not in (2, 3):
        raise cursor.wrong(
            f"GGUF version {version}, expected 2 or 3", hint="convert the model again with a current tool"
        )
    tensor_count = cursor.number("Q", "the number of tensors")
    entry_count = cursor.number("Q", "the number of metadata entries")
    for count, least, most, what in (
        (tensor_count, _LEAST_TENSOR_BYTES, _MOST_TENSORS, "tensors"),
        (entry_count, _LEAST_ENTRY_BYTES, _MOST_ENTRIES, "metadata entries"),
    ):
        if count * least > cursor.left:
            raise cursor.wrong(
                f"promises {count:,} {what}, and {cursor.left:,} bytes can hold {cursor.left // least:,}"
            )
        if count > most:
            raise cursor.wrong(f"promises {count:,} {what}, expected at most {most:,}")
    return version, tensor_count, entry_count


def _read_header(cursor: _Cursor) -> Header:
    version, tensor_count, entry_count = _counts(cursor)
    metadata, places = _metadata(cursor, entry_count)
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 8 <= alignment <= 1 << 20 or alignment & (alignment - 1):
        raise cursor.wrong(f"general.alignment is {alignment!r}, expected a power of two from 8")
    table_begin = cursor.place
    table = _tensors(cursor, tensor_count)
    table_end = cursor.place
    return Header(
        label=cursor.label,
        version=version,
        metadata=metadata,
        places=places,
        tensors=_placed(cursor, table, alignment),
        tensor_table=(table_begin, table_end),
        bytes_read=table_end,
        file_bytes=cursor.file_bytes,
    )
