"""A reader of GGUF headers. The file is a stranger: each count and length is held against what it can hold.

Format: ggml's docs/gguf.md. Only the header is looked at, never the weights behind it.
"""

from __future__ import annotations

import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from weighbridge.errors import BadModelFile

from .model_facts import Tensor

Value = int | float | bool | str | list["Value"]


@dataclass(frozen=True, slots=True)
class SkippedArray:
    """An array that no fact needs (a vocabulary, say): its length is known, its content was passed over."""

    length: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a GGUF file says before its weights begin."""

    path: Path
    version: int
    metadata: dict[str, Value | SkippedArray]
    tensors: tuple[Tensor, ...]
    bytes_read: int
    file_bytes: int


# number: (name, weights a block, bytes a block); ggml.h `enum ggml_type` with ggml.c `type_traits`.
TENSOR_TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 40), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
}  # fmt: skip

# general.file_type: what the maker called the mixture of types; llama.h `enum llama_ftype`.
FILE_TYPES: dict[int, str] = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M",
    13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS",
    21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4", 39: "NVFP4", 40: "Q1_0",
}  # fmt: skip

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9

# Arrays up to this length are kept: lists a layer, tags, examples. A vocabulary is longer and is passed over.
_KEPT_LENGTH = 2048
_CHUNK_BYTES = 1 << 20
# The least that one entry can take: a name of one letter, its length, a type and a value; likewise for a tensor.
_LEAST_ENTRY_BYTES, _LEAST_TENSOR_BYTES = 14, 33
_MOST_DIMENSIONS = 4
# ggml keeps names in 64 bytes; longer ones are no tensor that an engine would load.
_MOST_NAME_BYTES = 63
# The format's own bound on keys, and far more than any chat template has.
_MOST_KEY_BYTES, _MOST_TEXT_BYTES = 65_535, 16 << 20
# Four times the largest vocabulary with its merges; each costs a tenth of a microsecond to pass over.
_MOST_TEXTS = 4 << 20
_MOST_ENTRIES, _MOST_TENSORS = 1 << 16, 1 << 18


class _Cursor:
    """Reads forward through the header, in chunks, and never past what the file holds."""

    def __init__(self, file: BinaryIO, path: Path, file_bytes: int) -> None:
        self.file, self.path, self.file_bytes = file, path, file_bytes
        self.order = "<"
        self.texts_left, self.text_bytes_left = _MOST_TEXTS, _MOST_TEXT_BYTES
        self.buffer = b""
        self.base = 0
        self.at = 0

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
            f"{self.path}: at byte {self.place:,}: {what[:400]}",
            hint=hint or "the file is damaged or was cut off: fetch it again and compare its sha256",
        )

    def need(self, count: int, what: str) -> None:
        """Have `count` bytes at hand, or say that the file ends too early."""
        if count > self.left:
            raise self.wrong(f"{what} needs {count:,} bytes, and the file ends after {self.left:,} more")
        if self.at + count > len(self.buffer):
            rest = self.buffer[self.at :]
            self.base, self.at = self.place, 0
            self.buffer = rest + self.file.read(max(count - len(rest), _CHUNK_BYTES))
            if len(self.buffer) < count:
                raise self.wrong(f"{what} needs {count:,} bytes, and only {len(self.buffer):,} could be read")

    def number(self, code: str, what: str) -> int | float | bool:
        size = struct.calcsize(code)
        self.need(size, what)
        (value,) = struct.unpack_from(self.order + code, self.buffer, self.at)
        self.at += size
        return value  # type: ignore[no-any-return]

    def count(self, code: str, what: str) -> int:
        return int(self.number(code, what))

    def text(self, what: str, most: int) -> str:
        length = self.count("Q", f"the length of {what}")
        if length > most and length <= self.left:
            raise self.wrong(f"{what} has {length:,} bytes, expected at most {most:,}")
        self.text_bytes_left -= length
        if self.text_bytes_left < 0 and length <= self.left:
            raise self.wrong(f"{what} brings all texts to more than {_MOST_TEXT_BYTES:,} bytes")
        self.need(length, what)
        raw = self.buffer[self.at : self.at + length]
        self.at += length
        return raw.decode("utf-8", errors="replace")

    def skip(self, count: int, what: str) -> None:
        """Pass over `count` bytes; those not yet in the buffer are not read at all."""
        if count > self.left:
            raise self.wrong(f"{what} needs {count:,} bytes, and the file ends after {self.left:,} more")
        held = len(self.buffer) - self.at
        if count <= held:
            self.at += count
            return
        self.base, self.at, self.buffer = self.place + count, 0, b""
        self.file.seek(self.base)

    def skip_texts(self, length: int, what: str) -> None:
        """Pass over `length` strings. The inner loop is the cost of a header with a large vocabulary."""
        unpack = struct.Struct(self.order + "Q").unpack_from
        for _ in range(length):
            at = self.at
            if at + 8 > len(self.buffer):
                self.need(8, what)
                at = self.at
            (size,) = unpack(self.buffer, at)
            if at + 8 + size <= len(self.buffer):
                self.at = at + 8 + size
            else:
                self.at = at + 8
                self.skip(size, what)


def _array(cursor: _Cursor, key: str) -> Value | SkippedArray:
    kind = cursor.count("I", f"the type of array {key!r}")
    length = cursor.count("Q", f"the length of array {key!r}")
    what = f"array {key!r} of {length:,} values"
    if kind == _STRING:
        if length * 8 > cursor.left:
            raise cursor.wrong(f"{what} needs at least {length * 8:,} bytes, and {cursor.left:,} are left")
        cursor.texts_left -= length
        if cursor.texts_left < 0:
            raise cursor.wrong(f"{what} brings all lists of strings to more than {_MOST_TEXTS:,}")
        if length > _KEPT_LENGTH:
            cursor.skip_texts(length, what)
            return SkippedArray(length)
        return [cursor.text(f"a string of {key!r}", _MOST_TEXT_BYTES) for _ in range(length)]
    if kind not in _SCALARS:
        raise cursor.wrong(f"array {key!r} has values of type {kind}, expected one of {sorted(_SCALARS)} or {_STRING}")
    code = _SCALARS[kind]
    size = length * struct.calcsize(code)
    if length > _KEPT_LENGTH:
        cursor.skip(size, what)
        return SkippedArray(length)
    cursor.need(size, what)
    values = list(struct.unpack_from(f"{cursor.order}{length}{code}", cursor.buffer, cursor.at))
    cursor.at += size
    return values


def _metadata(cursor: _Cursor, count: int) -> dict[str, Value | SkippedArray]:
    metadata: dict[str, Value | SkippedArray] = {}
    for index in range(count):
        key = cursor.text(f"the name of metadata entry {index}", _MOST_KEY_BYTES)
        if key in metadata:
            raise cursor.wrong(f"metadata key {key!r} occurs twice, expected once")
        kind = cursor.count("I", f"the type of {key!r}")
        if kind == _ARRAY:
            metadata[key] = _array(cursor, key)
        elif kind == _STRING:
            metadata[key] = cursor.text(f"the value of {key!r}", _MOST_TEXT_BYTES)
        elif kind in _SCALARS:
            metadata[key] = cursor.number(_SCALARS[kind], f"the value of {key!r}")
        else:
            raise cursor.wrong(f"{key!r} has a value of type {kind}, expected 0 to 12")
    return metadata


def _tensor(cursor: _Cursor, index: int) -> Tensor:
    what = f"tensor {index}"
    name = cursor.text(f"the name of {what}", _MOST_NAME_BYTES)
    if not name:
        raise cursor.wrong(f"the name of {what} is empty")
    dimensions = cursor.count("I", f"the dimensions of {name!r}")
    if dimensions > _MOST_DIMENSIONS:
        raise cursor.wrong(f"tensor {name!r} has {dimensions:,} dimensions, expected at most {_MOST_DIMENSIONS}")
    shape = tuple(cursor.count("Q", f"the shape of {name!r}") for _ in range(dimensions))
    kind = cursor.count("I", f"the type of {name!r}")
    offset = cursor.count("Q", f"the offset of {name!r}")
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
    if (shape[0] if shape else 1) % block:
        rows = f"rows of {shape[0]:,} weights" if shape else "a single weight"
        raise cursor.wrong(f"tensor {name!r} has {rows}, {type_name} holds them in {block}s")
    return Tensor(name, type_name, shape, offset, elements // block * block_bytes)


def _placed(cursor: _Cursor, tensors: list[Tensor], alignment: int) -> tuple[Tensor, ...]:
    """The tensors with offsets from the beginning of the file, each inside it, aligned, none over another."""
    start = -(-cursor.place // alignment) * alignment
    placed = [Tensor(t.name, t.type, t.shape, start + t.offset, t.bytes) for t in tensors]
    end, before = start, ""
    for tensor in sorted(placed, key=lambda tensor: tensor.offset):
        if (tensor.offset - start) % alignment:
            raise cursor.wrong(
                f"tensor {tensor.name!r} lies at {tensor.offset:,}, which is not aligned to {alignment} bytes"
            )
        if tensor.offset < end:
            raise cursor.wrong(f"tensor {tensor.name!r} begins at {tensor.offset:,}, inside tensor {before!r}")
        end, before = tensor.offset + tensor.bytes, tensor.name
    if tensors and end > cursor.file_bytes:
        raise BadModelFile(
            f"{cursor.path}: tensor {before!r} ends at byte {end:,}, and the file has {cursor.file_bytes:,}: "
            f"{end - cursor.file_bytes:,} bytes are missing",
            hint="the file was cut off: fetch it again",
        )
    return tuple(placed)


def read_header(path: Path) -> Header:
    """The header of one GGUF file (version 2 or 3, either byte order); BadModelFile names the place that is wrong."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise BadModelFile(f"{path}: is no ordinary file", hint="give the path of a .gguf file")
        file_bytes = status.st_size
        with path.open("rb", buffering=0) as file:
            return _read_header(_Cursor(file, path, file_bytes))
    except OSError as error:
        raise BadModelFile(f"{path}: {error.strerror}", hint="check the path and its permissions") from error


def _read_header(cursor: _Cursor) -> Header:
    if cursor.file_bytes == 0:
        raise BadModelFile(f"{cursor.path}: the file is empty", hint="fetch it again")
    cursor.need(min(4, cursor.file_bytes), "the magic number")
    magic = cursor.buffer[:4]
    if magic != b"GGUF":
        raise BadModelFile(
            f"{cursor.path}: begins with {magic!r}, expected b'GGUF': this is no GGUF file",
            hint="give a .gguf file; other formats are not served by llama.cpp",
        )
    cursor.at = 4
    version = cursor.count("I", "the version")
    if version & 0xFFFF == 0:
        cursor.order = ">"
        version = int.from_bytes(version.to_bytes(4, "little"), "big")
    if version not in (2, 3):
        raise cursor.wrong(
            f"GGUF version {version}, expected 2 or 3", hint="convert the model again with a current tool"
        )
    tensor_count = cursor.count("Q", "the number of tensors")
    entry_count = cursor.count("Q", "the number of metadata entries")
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
    metadata = _metadata(cursor, entry_count)
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 8 <= alignment <= 1 << 20 or alignment & (alignment - 1):
        raise cursor.wrong(f"general.alignment is {alignment!r}, expected a power of two from 8")
    tensors: list[Tensor] = []
    seen: set[str] = set()
    for index in range(tensor_count):
        tensor = _tensor(cursor, index)
        if tensor.name in seen:
            raise cursor.wrong(f"tensor {tensor.name!r} occurs twice, expected once")
        seen.add(tensor.name)
        tensors.append(tensor)
    bytes_read = cursor.place
    return Header(cursor.path, version, metadata, _placed(cursor, tensors, alignment), bytes_read, cursor.file_bytes)
