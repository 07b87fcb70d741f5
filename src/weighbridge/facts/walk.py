"""The loops over what a GGUF header lists by the hundred thousand: in C where walk.c was built, in Python elsewhere.

`find_walks()` gives what is here; both do the same, to the byte where they stop.
"""

from __future__ import annotations

import functools
import struct
from pathlib import Path
from typing import Any, NamedTuple, Protocol

LIBRARY = Path(__file__).with_name("_walk.so")
# Tensors that are listed in one call, no fewer than a chunk of a local file holds; memory is taken for so many.
_MOST_TENSORS = 8192
_LINE_BYTES = 64


class Listed(NamedTuple):
    """Tensors that were passed over: `forms` says where in the buffer dimensions, shape and type of each stand, the
    same place for equal ones."""

    names: list[str]
    forms: tuple[int, ...]
    offsets: tuple[int, ...]


class Walks(Protocol):
    """The loops. A buffer's bytes are at hand in buffer[at:end]; `order` is struct's sign for the byte order."""

    def texts(self, buffer: bytearray, at: int, end: int, count: int, order: str) -> tuple[int, int]:
        """Pass over up to `count` strings, each behind its length in eight bytes, that lie whole in buffer[at:end].

        Returns where the first string begins that was not passed over, and how many are left.
        """
        ...

    def tensors(self, buffer: bytearray, at: int, end: int, count: int, order: str) -> tuple[int, Listed]:
        """Pass over up to `count` tensors of the list of tensors, while they are whole and have a plain name.

        Returns where the first one begins that was not passed over. May leave all to its caller.
        """
        ...


class PythonWalks:
    """What works everywhere."""

    def texts(self, buffer: bytearray, at: int, end: int, count: int, order: str) -> tuple[int, int]:
        """Pass over strings."""
        unpack = struct.Struct(order + "Q").unpack_from
        while count and end - at >= 8:
            (size,) = unpack(buffer, at)
            if size > end - at - 8:
                break
            at += 8 + size
            count -= 1
        return at, count

    def tensors(self, buffer: bytearray, at: int, end: int, count: int, order: str) -> tuple[int, Listed]:
        """None: hundreds of tensors take the caller a few milliseconds, where a vocabulary takes ten times as many."""
        return at, Listed([], (), ())


class CWalks:
    """The functions of a library built from walk.c."""

    def __init__(self, library: Path) -> None:
        # Loaded here because importing ctypes takes longer than reading most headers.
        import ctypes

        self._ctypes: Any = ctypes
        # PyDLL holds Python's lock: no call takes long enough to be worth giving it away.
        loaded = ctypes.PyDLL(str(library))
        size, count = ctypes.c_size_t, ctypes.POINTER(ctypes.c_uint64)
        self._texts, self._tensors = loaded.weighbridge_walk, loaded.weighbridge_tensors
        self._texts.restype = self._tensors.restype = size
        self._texts.argtypes = [ctypes.c_void_p, size, size, count, ctypes.c_int]
        self._tensors.argtypes = [*self._texts.argtypes, count, count, ctypes.c_void_p]

    def texts(self, buffer: bytearray, at: int, end: int, count: int, order: str) -> tuple[int, int]:
        """Pass over strings."""
        ctypes = self._ctypes
        # The C code believes these numbers.
        assert 0 <= at <= end <= len(buffer)
        if at == end:
            return at, count
        left, start = ctypes.c_uint64(count), ctypes.c_char.from_buffer(buffer)
        return self._texts(ctypes.byref(start), at, end, ctypes.byref(left), order == ">"), left.value

    def tensors(self, buffer: bytearray, at: int, end: int, count: int, order: str) -> tuple[int, Listed]:
        """Pass over tensors."""
        ctypes = self._ctypes
        assert 0 <= at <= end <= len(buffer)
        if at == end:
            return at, Listed([], (), ())
        most = min(count, _MOST_TENSORS)
        left, start = ctypes.c_uint64(most), ctypes.c_char.from_buffer(buffer)
        offsets, forms = (ctypes.c_uint64 * most)(), (ctypes.c_uint64 * most)()
        names = (ctypes.c_char * (most * _LINE_BYTES + 1))()
        at = self._tensors(ctypes.byref(start), at, end, ctypes.byref(left), order == ">", offsets, forms, names)
        found = most - left.value
        numbers = struct.Struct(f"={found}Q").unpack_from
        return at, Listed(names.value.decode("ascii").splitlines(), numbers(forms), numbers(offsets))


@functools.cache
def find_walks() -> Walks:
    """The fastest loops that are here."""
    if LIBRARY.is_file():
        try:
            return CWalks(LIBRARY)
        except (OSError, AttributeError):
            # Built for another machine, or from another walk.c.
            pass
    return PythonWalks()
