"""What must be known of an answer that passes through: whether its last event is whole, and what it used."""

from __future__ import annotations

import re

_USAGE = re.compile(rb'"(prompt|completion)_tokens"\s*:\s*(\d{1,12})')
_FINISHED = re.compile(rb'"finish_reason"\s*:\s*"|^data: \{"error"', re.MULTILINE)
_KEPT_BYTES = 4096


class SseTail:
    """The end of a body that passes through in chunks: enough to see the usage, and where the last event ends."""

    __slots__ = ("size", "tail")

    def __init__(self) -> None:
        self.tail = b""
        self.size = 0

    def add(self, chunk: bytes) -> None:
        """Take note of a chunk."""
        self.size += len(chunk)
        self.tail = (self.tail + chunk)[-_KEPT_BYTES:]

    @property
    def is_whole(self) -> bool:
        """Whether no event is half sent."""
        return not self.tail or self.tail.endswith((b"\n\n", b"\r\n\r\n"))

    @property
    def is_done(self) -> bool:
        """Whether the stream said that it is done: by its last event, a reason to finish, or an error."""
        return b"data: [DONE]" in self.tail or _FINISHED.search(self.tail) is not None


def usage_of(tail: bytes) -> dict[str, int]:
    """Tokens by kind (`prompt`, `completion`), read from the end of an answer; the last mention counts."""
    return {kind.decode(): int(count) for kind, count in _USAGE.findall(tail)}
