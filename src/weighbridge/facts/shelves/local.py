"""A file or folder on this machine."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from weighbridge.errors import BadModelFile

from .references import title_of
from .shelf import MOST_DEPTH, MOST_ENTRIES, ReadableFile, Shelf, checked_name, too_many


class LocalShelf(Shelf):
    """The files below a folder. Links are followed; only regular files are listed or opened."""

    def __init__(
        self, root: Path, *, place: str = "folder", name: str | None = None, wanted: str | None = None,
        revision: str | None = None, depth: int = MOST_DEPTH,
    ) -> None:  # fmt: skip
        self.root, self.place, self.wanted, self.revision = root, place, wanted, revision
        self.name = name or root.resolve().name or str(root)
        self._depth = depth
        self._names: list[str] | None = None

    def names(self) -> list[str]:
        """The files' names, sorted; each folder is looked into once, however many links lead to it."""
        if self._names is None:
            self._names = sorted(_files(self.root, self._depth))
        return list(self._names)

    def size(self, name: str) -> int:
        """A file's bytes."""
        path = self.path(name)
        try:
            status = path.stat()
        except OSError as error:
            raise _unreadable(path, error) from error
        if not stat.S_ISREG(status.st_mode):
            raise _irregular(path)
        return status.st_size

    def open(self, name: str) -> ReadableFile:
        """The file, unbuffered."""
        path = self.path(name)
        try:
            file = open(path, "rb", buffering=0, opener=_opener)  # noqa: SIM115
        except OSError as error:
            raise _unreadable(path, error) from error
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise _irregular(path)
        return file

    def label(self, name: str) -> str:
        """The file's path."""
        return str(self.path(name))

    def path(self, name: str) -> Path:
        """The file's path, whether or not it is there."""
        return self.root / checked_name(name, str(self.root))


def at(path: Path) -> Shelf:
    """The shelf for a path that is there: a folder, or a file with those beside it."""
    if path.is_dir():
        return LocalShelf(path)
    if not path.is_file():
        raise _irregular(path)
    root = path.parent
    # A config or a safetensors file is called alike everywhere; its folder tells the model.
    name = title_of(path.name) if path.suffix == ".gguf" else None
    return LocalShelf(root, place="file", name=name, wanted=path.name, depth=1)


def _opener(path: str, flags: int) -> int:
    # O_NONBLOCK: a FIFO is opened and then refused, where it would otherwise wait for a writer.
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _files(root: Path, depth: int) -> Iterator[str]:
    seen: set[tuple[int, int]] = set()
    entries = 0
    folders: list[tuple[Path, str, int]] = [(root, "", 1)]
    while folders:
        folder, prefix, level = folders.pop()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as listing:
                for entry in listing:
                    entries += 1
                    if entries > MOST_ENTRIES:
                        raise too_many(str(root))
                    # Names that are no text, or that no listing of a hub could hold, are no model's.
                    if not entry.name.isprintable() or "\\" in entry.name:
                        continue
                    if _is_folder(entry):
                        if level < depth and not entry.name.startswith("."):
                            folders.append((folder / entry.name, f"{prefix}{entry.name}/", level + 1))
                    elif _is_file(entry):
                        yield prefix + entry.name
        except OSError as error:
            raise _unreadable(folder, error) from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _irregular(path: Path) -> BadModelFile:
    return BadModelFile(f"{path}: is no ordinary file", hint="give the path of a model's file or folder")


def _unreadable(path: Path, error: OSError) -> BadModelFile:
    return BadModelFile(f"{path}: {error.strerror or error}", hint="check the path and its permissions")
