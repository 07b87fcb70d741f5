"""What the readers of headers need of a file, be it here or elsewhere."""

from __future__ import annotations

from typing import Any, Protocol


class Readable(Protocol):
    """What can be read from a place on: a file, or a remote one."""

    def read(self, count: int, /) -> bytes:
        """At most so many bytes."""
        ...

    def seek(self, place: int, /) -> Any:
        """Go to a place."""
        ...
