"""`Shelf`: a place where a model's files lie, on this machine or elsewhere; files are opened by relative name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from weighbridge.errors import BadModelFile

# A model's files lie at the top or in a few folders; what is deeper or more is not a model's folder.
MOST_DEPTH = 4
MOST_ENTRIES = 100_000


class ReadableFile(Protocol):
    """What a reader of headers needs of a file; it is closed at the end of a `with`."""

    def read(self, count: int, /) -> bytes:
        """The next `count` bytes, fewer only where the file ends."""

    def seek(self, position: int, /) -> int:
        """Go to this byte; nothing is read."""

    def close(self) -> None:
        """Give the file back."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class Shelf(ABC):
    """A model's files, by name relative to the shelf, with `/` between folders. Use it in a `with`."""

    place: str
    """Which kind of place: file, folder, hf_cache, ollama, hub or url."""
    name: str
    """What a person would call it: the folder's name, org/name, llama3.2:3b."""
    wanted: str | None = None
    """The one file that the source names; None: the whole shelf."""
    revision: str | None = None
    """The commit of a repository, where the shelf is one."""

    @property
    def transferred(self) -> int:
        """Bytes of answers that came over the network so far."""
        return 0

    @abstractmethod
    def names(self) -> list[str]:
        """The files' names, sorted."""

    @abstractmethod
    def size(self, name: str) -> int:
        """A file's bytes."""

    @abstractmethod
    def open(self, name: str) -> ReadableFile:
        """The file, at its beginning. Nothing is fetched before it is read."""

    @abstractmethod
    def label(self, name: str) -> str:
        """The file's path or URL, for messages; it holds no secrets."""

    def path(self, name: str) -> Path | None:
        """The file's path, where it is on this machine."""
        return None

    def read(self, name: str, most: int) -> bytes:
        """A small file, whole; BadModelFile if it has more than `most` bytes."""
        size = self.size(name)
        if size > most:
            raise too_large(self.label(name), size, most)
        [content] = self.read_many([(name, 0, size)])
        return content

    def read_many(self, requests: Sequence[tuple[str, int, int]]) -> list[bytes]:
        """For each (name, offset, count) those bytes, in this order; BadModelFile where a file ends before."""
        found = []
        for name, offset, count in requests:
            with self.open(name) as file:
                file.seek(offset)
                content = file.read(count) if count else b""
            if len(content) < count:
                raise BadModelFile(
                    f"{self.label(name)}: {count:,} bytes were expected at {offset:,}, and {len(content):,} are there",
                    hint="the file was cut off: fetch it again",
                )
            found.append(content)
        return found

    def close(self) -> None:
        """End connections, where there are any."""
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def too_large(label: str, size: int, most: int) -> BadModelFile:
    """The error for a small file that is not small."""
    return BadModelFile(
        f"{label}: has {size:,} bytes, expected at most {most:,}", hint="this is no file of that kind: fetch it again"
    )


def checked_name(name: str, label: str) -> str:
    """The name, if it stays inside the shelf; a listing, manifest or index may hold any string."""
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\\" in name or not name.isprintable():
        raise BadModelFile(
            f"{label}: names a file {name[:200]!r}, expected a name inside the same folder",
            hint="a published model has no such names: do not use it",
        )
    return name


def checked_names(names: Iterable[str], label: str) -> list[str]:
    """The names, sorted and each once, without those deeper than a model's files lie."""
    found: set[str] = set()
    for name in names:
        # Odd letters are no danger, and no model's: such a name is left out, as in a folder on this machine.
        if name.isprintable() and checked_name(name, label).count("/") < MOST_DEPTH:
            found.add(name)
        if len(found) > MOST_ENTRIES:
            raise too_many(label)
    return sorted(found)


def too_many(label: str) -> BadModelFile:
    """The error for a place that holds more than a model."""
    return BadModelFile(
        f"{label}: has more than {MOST_ENTRIES:,} entries, expected a model's files",
        hint="give the folder of one model",
    )
