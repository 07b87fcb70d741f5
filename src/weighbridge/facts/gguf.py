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
from typing import NamedTuple

from weighbridge.errors import BadModelFile

from .gguf_cursor import CHUNK_BYTES, MOST_DIMENSIONS, MOST_TEXT_BYTES, MOST_TEXTS, ORDERS, SCALARS, STRING, Cursor
from .gguf_types import TENSOR_TYPES, tensor_bytes
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


ARRAY = 9

# Arrays up to this length are kept: lists a layer, tags, examples. A vocabulary is longer and is passed over.
_KEPT_LENGTH = 2048
# The least that one entry can take: a name of one letter, its length, a type and a value; likewise for a tensor.
_LEAST_ENTRY_BYTES, _LEAST_TENSOR_BYTES = 14, 33
# ggml keeps names in 64 bytes; longer ones are no tensor that an engine would load.
_MOST_NAME_BYTES = 63
# The format's own bound on keys, and far more than any chat template has.
_MOST_KEY_BYTES = 65_535
_MOST_ENTRIES, _MOST_TENSORS = 1 << 16, 1 << 18
# So many take longer one by one than it takes to get ready for them (importing ctypes).
_MANY_TENSORS = 512


def _array(cursor: Cursor, key: str) -> Value | SkippedArray:
    kind = cursor.number("I", "the type of array {!r}", key)
    length = cursor.number("Q", "the length of array {!r}", key)
    what = "array {!r} of {:,} values"
    if kind == STRING:
        if length * 8 > cursor.left:
            raise cursor.wrong(
                f"{what.format(key, length)} needs at least {length * 8:,} bytes, and {cursor.left:,} are left"
            )
        cursor.texts_left -= length
        if cursor.texts_left < 0:
            raise cursor.wrong(f"{what.format(key, length)} brings all lists of strings to more than {MOST_TEXTS:,}")
        if length > _KEPT_LENGTH:
            cursor.skip_texts(length, what, key, length)
            return SkippedArray(length)
        return [cursor.text(MOST_TEXT_BYTES, "a string of {!r}", key) for _ in range(length)]
    if kind not in SCALARS:
        raise cursor.wrong(f"array {key!r} has values of type {kind}, expected one of {sorted(SCALARS)} or {STRING}")
    code = SCALARS[kind]
    size = length * cursor.order.numbers[code].size
    if length > _KEPT_LENGTH:
        cursor.skip(size, what, key, length)
        return SkippedArray(length)
    cursor.need(size, what, key, length)
    values = list(struct.unpack_from(f"{cursor.order.sign}{length}{code}", cursor.buffer, cursor.at))
    cursor.at += size
    return values


def _metadata(cursor: Cursor, count: int) -> tuple[Metadata, Places]:
    """The entries, and where each lies in the file."""
    metadata: Metadata = {}
    places: Places = {}
    for index in range(count):
        begin = cursor.place
        key = cursor.text(_MOST_KEY_BYTES, "the name of metadata entry {}", index)
        if key in metadata:
            raise cursor.wrong(f"metadata key {key!r} occurs twice, expected once")
        kind = cursor.number("I", "the type of {!r}", key)
        if kind == ARRAY:
            metadata[key] = _array(cursor, key)
        elif kind == STRING:
            metadata[key] = cursor.text(MOST_TEXT_BYTES, "the value of {!r}", key)
        elif kind in SCALARS:
            metadata[key] = cursor.number(SCALARS[kind], "the value of {!r}", key)
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


def _form(cursor: Cursor, name: str, kind: int, shape: tuple[int, ...]) -> _Form:
    if kind not in TENSOR_TYPES:
        raise cursor.wrong(
            f"tensor {name!r} is of type {kind}, which is not known here",
            hint="a newer format than this release reads: update weighbridge, or use another quantization",
        )
    type_name, block, _ = TENSOR_TYPES[kind]
    elements = 1
    for length in shape:
        elements *= length
    if elements <= 0 or elements > 1 << 62:
        raise cursor.wrong(f"tensor {name!r} has the shape {list(shape)}, expected lengths of at least 1")
    row = shape[0] if shape else 1
    if row % block:
        rows = f"rows of {row:,} weights" if shape else "a single weight"
        raise cursor.wrong(f"tensor {name!r} has {rows}, {type_name} holds them in {block}s")
    return _Form(type_name, shape, tensor_bytes(kind, shape, elements))


def _tensor(cursor: Cursor, table: _Table) -> None:
    """Take the next tensor into the table."""
    what = f"tensor {len(table.names)}"
    name = cursor.text(_MOST_NAME_BYTES, "the name of {}", what)
    if not name:
        raise cursor.wrong(f"the name of {what} is empty")
    dimensions = cursor.number("I", "the dimensions of {!r}", name)
    if dimensions > MOST_DIMENSIONS:
        raise cursor.wrong(f"tensor {name!r} has {dimensions:,} dimensions, expected at most {MOST_DIMENSIONS}")
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


def _tensors_at_hand(cursor: Cursor, walks: Walks, table: _Table, count: int) -> bool:
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


def _tensors(cursor: Cursor, count: int) -> _Table:
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


def _check_places(cursor: Cursor, table: _Table, start: int, alignment: int) -> None:
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


def _placed(cursor: Cursor, table: _Table, alignment: int) -> tuple[Tensor, ...]:
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
    chunk_bytes: int = CHUNK_BYTES,
    most_chunk_bytes: int = 0,
    walks: Walks | None = None,
) -> Header:
    """The header of a GGUF file of that size, local or remote; errors call it `label`.

    The first read asks for `chunk_bytes`, each further one for twice as many as the one before, up to
    `most_chunk_bytes`. What is passed over and is not yet at hand is not read.
    """
    file.seek(0)
    return _read_header(Cursor(file, label, file_bytes, chunk_bytes, most_chunk_bytes, walks))


def _counts(cursor: Cursor) -> tuple[int, int, int]:
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
        cursor.order = ORDERS[">"]
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


def _read_header(cursor: Cursor) -> Header:
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
