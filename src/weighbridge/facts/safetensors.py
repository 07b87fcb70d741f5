"""A reader of safetensors headers. The file is a stranger: each length and offset is held against what it can hold.

Format: eight bytes with the header's length, a JSON object {name: {dtype, shape, data_offsets}}, the weights
(huggingface/safetensors, README and `safetensors/src/tensor.rs`). The weights are never read.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

from weighbridge.errors import BadModelFile

from .config import unique_pairs
from .model_facts import Tensor
from .readable import Readable

# Bits an element; safetensors/src/tensor.rs `enum Dtype`.
TYPE_BITS = {
    "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip
# The format's own bound on a header.
MOST_HEADER_BYTES = 100_000_000
_MOST_TENSORS = 1 << 18
_MOST_NAME, _MOST_DIMENSIONS = 1024, 16
# Letters of one entry: metadata may hold a model card, or a trainer's notes.
_MOST_ENTRY = 1 << 20
_MOST_ELEMENTS = 1 << 62

_ENTRY = re.compile(
    r'[ \t\n\r]*"([^"\\\x00-\x1f]{1,1024})"[ \t\n\r]*:[ \t\n\r]*\{[ \t\n\r]*"dtype"[ \t\n\r]*:[ \t\n\r]*"(\w{1,16})"'
    r'[ \t\n\r]*,[ \t\n\r]*"shape"[ \t\n\r]*:[ \t\n\r]*\[([0-9, ]{0,400})\][ \t\n\r]*,[ \t\n\r]*"data_offsets"'
    r"[ \t\n\r]*:[ \t\n\r]*\[[ \t\n\r]*([0-9]{1,19})[ \t\n\r]*,[ \t\n\r]*([0-9]{1,19})[ \t\n\r]*\]"
    r"[ \t\n\r]*\}[ \t\n\r]*"
)
_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder(object_pairs_hook=unique_pairs)
_HINT = "the file is damaged or was cut off: fetch it again and compare its sha256"


@dataclass(frozen=True, slots=True)
class SafetensorsHeader:
    """What one safetensors file says before its weights begin."""

    label: str
    metadata: dict[str, str]
    tensors: tuple[Tensor, ...]
    header_bytes: int
    file_bytes: int

    @property
    def is_header_only(self) -> bool:
        """Whether the file ends where its weights would begin."""
        return self.file_bytes == self.header_bytes and any(tensor.bytes for tensor in self.tensors)


def header_length(first_eight: bytes, label: str, file_bytes: int) -> int:
    """How long the JSON is that follows the first eight bytes; BadModelFile if the file cannot hold it."""
    if file_bytes < 8 or len(first_eight) < 8:
        raise BadModelFile(f"{label}: has {file_bytes:,} bytes, a safetensors file has at least 8", hint=_HINT)
    length = int.from_bytes(first_eight, "little")
    if length > MOST_HEADER_BYTES or length > file_bytes - 8:
        found = f"the header's length is given as {length:,} bytes"
        if first_eight.startswith((b"PK\x03\x04", *(b"\x80" + bytes([protocol]) for protocol in (2, 3, 4, 5)))):
            raise BadModelFile(
                f"{label}: is a pickle or an archive with pickles, expected safetensors",
                hint="a pickle can run code when it is read, so it is never read here: use the safetensors files",
            )
        if first_eight.startswith((b"version ", b"<")):
            what = "a pointer of git-lfs" if first_eight.startswith(b"v") else "a web page"
            raise BadModelFile(
                f"{label}: is {what}, expected safetensors",
                hint="fetch the file itself: `git lfs pull`, or the download link",
            )
        raise BadModelFile(
            f"{label}: at byte 0: {found}, expected at most {min(MOST_HEADER_BYTES, file_bytes - 8):,}",
            hint=f"this is no safetensors file, or {_HINT}",
        )
    if length < 2:
        raise BadModelFile(f"{label}: at byte 0: the header's length is {length}, expected at least 2", hint=_HINT)
    return length


def read_header(file: Readable, label: str, file_bytes: int, number: int = 0) -> SafetensorsHeader:
    """The header of one safetensors file of that size; BadModelFile names the place that is wrong."""
    file.seek(0)
    length = header_length(file.read(8), label, file_bytes)
    raw = file.read(length)
    if len(raw) < length:
        raise BadModelFile(f"{label}: the header needs {length:,} bytes, only {len(raw):,} could be read", hint=_HINT)
    return parse_header(raw, label, file_bytes, number)


def parse_header(raw: bytes, label: str, file_bytes: int, number: int = 0) -> SafetensorsHeader:
    """The header whose JSON is `raw`; the tensors say that they lie in file `number`."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadModelFile(f"{label}: at byte {8 + error.start:,}: no UTF-8, expected JSON", hint=_HINT) from error
    start = 8 + len(raw)
    reader = _Reader(text, label, start, number)
    tensors = reader.tensors()
    _check_places(tensors, label, start, file_bytes)
    return SafetensorsHeader(label, reader.metadata, tuple(tensors), start, file_bytes)


class _Reader:
    """Goes through the JSON one tensor at a time, so that memory is bounded by what a tensor takes."""

    def __init__(self, text: str, label: str, start: int, number: int) -> None:
        self.text, self.label, self.start, self.number = text, label, start, number
        self.metadata: dict[str, str] = {}
        self.shapes: dict[str, tuple[tuple[int, ...], int]] = {}
        self.names: set[str] = set()

    def wrong(self, at: int, what: str) -> BadModelFile:
        return BadModelFile(f"{self.label}: at byte {8 + len(self.text[:at].encode()):,}: {what[:300]}", hint=_HINT)

    def tensors(self) -> list[Tensor]:
        text = self.text
        found: list[Tensor] = []
        at = self._space(0)
        if text[at : at + 1] != "{":
            raise self.wrong(at, f"{text[at : at + 10]!r}, expected '{{': this is no safetensors header")
        at = self._space(at + 1)
        if text[at : at + 1] == "}":
            return self._end(at, found)
        while True:
            entry = _ENTRY.match(text, at)
            if entry:
                name, kind, shape, begin, end = entry.groups()
                found.append(self._tensor(at, name, kind, *self._shape(at, name, shape), int(begin), int(end)))
                at = entry.end()
            else:
                at = self._any(at, found)
            if len(found) > _MOST_TENSORS:
                raise self.wrong(at, f"more than {_MOST_TENSORS:,} tensors")
            separator = text[at : at + 1]
            if separator == "}":
                return self._end(at, found)
            if separator != ",":
                raise self.wrong(at, f"{text[at : at + 10]!r}, expected ',' or '}}'")
            at += 1

    def _space(self, at: int) -> int:
        return _SPACE.match(self.text, at).end()  # type: ignore[union-attr]

    def _end(self, at: int, found: list[Tensor]) -> list[Tensor]:
        rest = self.text[at + 1 :].strip(" \n\r\t\0")
        if rest:
            raise self.wrong(at + 1, f"{rest[:20]!r} after the header's end")
        return found

    def _any(self, at: int, found: list[Tensor]) -> int:
        """An entry that is not in the usual form: metadata, other order of keys, escapes; or wrong."""
        at = self._space(at)
        if self.text[at : at + 1] != '"':
            raise self.wrong(at, f"{self.text[at : at + 10]!r}, expected the name of a tensor in quotes")
        try:
            name, after = scanstring(self.text, at + 1, True)
            after = self._space(after)
            if self.text[after : after + 1] != ":":
                raise self.wrong(after, f"{self.text[after : after + 10]!r}, expected ':'")
            # One entry takes no more than this: what is longer is not taken apart.
            begin = self._space(after + 1)
            value, after = _DECODER.raw_decode(self.text[begin : begin + _MOST_ENTRY], 0)
            after += begin
        except json.JSONDecodeError as error:
            raise self.wrong(at, f"{error.msg}, in the entry that begins here") from error
        except (ValueError, RecursionError) as error:
            why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
            raise self.wrong(at, why) from error
        if not isinstance(value, dict):
            raise self.wrong(at, f"{name[:80]!r} is {repr(value)[:40]}, expected an object")
        if name == "__metadata__":
            if self.metadata:
                raise self.wrong(at, "__metadata__ occurs twice, expected once")
            self.metadata = {key: text for key, text in value.items() if isinstance(text, str)}
        else:
            found.append(self._tensor(at, name, *self._fields(at, name, value)))
        return self._space(after)

    def _fields(self, at: int, name: str, value: dict[str, Any]) -> tuple[str, tuple[int, ...], int, int, int]:
        if set(value) != {"dtype", "shape", "data_offsets"}:
            raise self.wrong(at, f"tensor {name[:80]!r} has {sorted(value)}, expected dtype, shape and data_offsets")
        kind, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
        if not isinstance(kind, str) or not _are_lengths(shape) or not _are_lengths(offsets) or len(offsets) != 2:
            raise self.wrong(at, f"tensor {name[:80]!r} is {value!r}, expected a type, lengths and two offsets")
        return kind, *self._shape(at, name, ",".join(map(str, shape))), offsets[0], offsets[1]

    def _shape(self, at: int, name: str, shape: str) -> tuple[tuple[int, ...], int]:
        known = self.shapes.get(shape)
        if known is None:
            try:
                lengths = tuple(int(length) for length in shape.split(",")) if shape.strip() else ()
            except ValueError as error:
                raise self.wrong(at, f"tensor {name[:80]!r} has the shape [{shape}], expected lengths") from error
            elements = math.prod(lengths)
            if len(lengths) > _MOST_DIMENSIONS or elements > _MOST_ELEMENTS:
                raise self.wrong(at, f"tensor {name[:80]!r} has the shape [{shape}], more than any tensor has")
            known = self.shapes[shape] = (lengths, elements)
        return known

    def _tensor(self, at: int, name: str, kind: str, shape: tuple[int, ...], elements: int, begin: int, end: int,
    ) -> Tensor:  # fmt: skip
        if name in self.names:
            raise self.wrong(at, f"tensor {name[:80]!r} occurs twice, expected once")
        if len(name) > _MOST_NAME:
            raise self.wrong(at, f"the name {name[:40]!r}... has {len(name):,} letters, expected at most {_MOST_NAME}")
        self.names.add(name)
        bits = TYPE_BITS.get(kind)
        if bits is None:
            raise self.wrong(at, f"tensor {name[:80]!r} is of type {kind[:20]!r}, which is not known here")
        size = (elements * bits + 7) // 8
        if end - begin != size:
            raise self.wrong(
                at,
                f"tensor {name[:80]!r} has {end - begin:,} bytes, {kind} of shape {list(shape)} takes {size:,}",
            )
        return Tensor(name, kind, shape, self.start + begin, size, self.number)


def _are_lengths(value: object) -> bool:
    return isinstance(value, list) and all(type(entry) is int and 0 <= entry <= _MOST_ELEMENTS for entry in value)


def _check_places(tensors: list[Tensor], label: str, start: int, file_bytes: int) -> None:
    """BadModelFile where tensors overlap, leave holes, or end after the file; a file of the header alone is told apart
    by its size."""
    end, before = start, ""
    for tensor in sorted(tensors, key=lambda tensor: (tensor.offset, tensor.bytes)):
        if tensor.offset < end:
            raise BadModelFile(
                f"{label}: tensor {tensor.name[:80]!r} begins at byte {tensor.offset:,}, inside tensor {before[:80]!r}",
                hint=_HINT,
            )
        if tensor.offset > end:
            raise BadModelFile(
                f"{label}: bytes {end:,} to {tensor.offset:,} belong to no tensor, expected none between tensors",
                hint=_HINT,
            )
        end, before = tensor.offset + tensor.bytes, tensor.name
    if end == file_bytes or file_bytes == start:
        return
    if end > file_bytes:
        raise BadModelFile(
            f"{label}: tensor {before[:80]!r} ends at byte {end:,}, and the file has {file_bytes:,}: "
            f"{end - file_bytes:,} bytes are missing",
            hint="the file was cut off: fetch it again",
        )
    raise BadModelFile(f"{label}: {file_bytes - end:,} bytes follow the last tensor, expected none", hint=_HINT)
