"""`Recent`: what the latest requests asked, in little memory: older ones are packed together while there is leisure."""

from __future__ import annotations

import time
import zlib
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

_MOST_PLAIN_BYTES = 1_000_000
_MOST_PACKED_BYTES = 1_000_000
# So much is packed in a fifth of a millisecond, and no more often than this: a hundredth of the time at most. Of more
# requests than that takes in, some eight hundred a second of a kilobyte, the latest stay as they are.
_PACK_BYTES = 16 << 10
_PACK_SECONDS = 0.02
_LEVEL = 1


class Asked(NamedTuple):
    """One request: its body, or where that is long what of its prompt will be asked for, with the prompt's letters."""

    name: str
    kept: bytes
    letters: int | None
    model: str
    task: str | None
    caller: str


class _Pack(NamedTuple):
    """Requests that came one after the other, with what they asked in one piece, from the first to each one's end."""

    requests: tuple[Asked, ...]
    ends: tuple[int, ...]
    packed: bytes


class Recent:
    """At most so many requests, and so many bytes of what they asked: the latest."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._plain: deque[Asked] = deque()
        self._packs: deque[_Pack] = deque()
        self._count = self._plain_bytes = self._packed_bytes = 0
        self._packed_at = 0.0

    @property
    def size_bytes(self) -> int:
        """What is kept of bodies and prompts."""
        return self._plain_bytes + self._packed_bytes

    def add(self, *asked: Asked) -> None:
        """The newest."""
        self._plain += asked
        self._count += len(asked)
        self._plain_bytes += sum([len(each[1]) for each in asked])
        if self._plain_bytes > _PACK_BYTES and self._clock() - self._packed_at > _PACK_SECONDS:
            self._pack()
        while self._plain_bytes > _MOST_PLAIN_BYTES or len(self._plain) > self._most:
            self._plain_bytes -= len(self._plain.popleft().kept)
            self._count -= 1
        # A pack goes when all of it is too old.
        while self._packs and (self._count - len(self._packs[0].requests) >= self._most or self._is_full):
            dropped = self._packs.popleft()
            self._packed_bytes -= len(dropped.packed)
            self._count -= len(dropped.requests)

    def find(self, name: str) -> Asked | None:
        """The latest of that name."""
        found = next((each for each in reversed(self._plain) if each.name == name), None)
        if found is not None:
            return found
        left = self._most - len(self._plain)
        for pack in reversed(self._packs):
            for at in range(len(pack.requests) - 1, max(-1, len(pack.requests) - 1 - left), -1):
                if pack.requests[at].name == name:
                    begin = pack.ends[at - 1] if at else 0
                    return pack.requests[at]._replace(kept=zlib.decompress(pack.packed)[begin : pack.ends[at]])
            left -= len(pack.requests)
        return None

    @property
    def _is_full(self) -> bool:
        return self._packed_bytes > _MOST_PACKED_BYTES

    def _pack(self) -> None:
        """Pack the oldest that are plain."""
        self._packed_at = self._clock()
        taken: list[Asked] = []
        ends: list[int] = []
        size = 0
        while self._plain and size < _PACK_BYTES:
            taken.append(self._plain.popleft())
            size += len(taken[-1].kept)
            ends.append(size)
        packed = zlib.compress(b"".join(each.kept for each in taken), _LEVEL)
        self._packs.append(_Pack(tuple(each._replace(kept=b"") for each in taken), tuple(ends), packed))
        self._plain_bytes -= size
        self._packed_bytes += len(packed)
