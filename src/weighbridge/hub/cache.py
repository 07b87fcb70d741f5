"""One repository in the Hugging Face cache, in the layout that huggingface_hub reads and writes.

    models--org--name/blobs/SUM                    the content, by sha256 or git sha1
    models--org--name/snapshots/COMMIT/NAME        a link to it
    models--org--name/refs/main                    the commit
    .locks/models--org--name/SUM.lock              held by whoever fetches it

Where a blob is not whole yet lie SUM.part, with the bytes that came, and SUM.part.json, which tells whose they are.
Layout: https://huggingface.co/docs/huggingface_hub/guides/manage-cache
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from weighbridge.whole_files import write_whole

PART = ".part"
_SUM = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class CachedRepository:
    """Paths and changes of one repository's folder."""

    def __init__(self, cache: Path, repository: str) -> None:
        folder = f"models--{repository.replace('/', '--')}"
        self.repository = repository
        self.folder = cache / folder
        self.blobs = self.folder / "blobs"
        self.snapshots = self.folder / "snapshots"
        self._locks = cache / ".locks" / folder

    def blob(self, identity: str) -> Path:
        """Where content lies that has this sum."""
        return self.blobs / identity

    def part(self, identity: str) -> Path:
        """Where the bytes lie that came of it so far."""
        return self.blobs / f"{identity}{PART}"

    def lock(self, identity: str) -> Path:
        """The file that whoever fetches it holds; huggingface_hub holds the same."""
        return self._locks / f"{identity}.lock"

    def pointer(self, commit: str, name: str) -> Path:
        """Where a file of a commit is found."""
        return self.snapshots / commit / name

    def link(self, blob: Path, commit: str, name: str) -> None:
        """Have the file of a commit point at its blob; what was there before is replaced at once."""
        pointer = self.pointer(commit, name)
        pointer.parent.mkdir(parents=True, exist_ok=True)
        if pointer.is_symlink() and pointer.resolve() == blob.resolve():
            return
        beside = pointer.with_name(f".{pointer.name[:80]}.{os.getpid()}.{id(pointer):x}")
        try:
            beside.symlink_to(os.path.relpath(blob, pointer.parent))
        except OSError:
            # A disk without links holds the file itself, as huggingface_hub has it there.
            blob.replace(pointer)
            return
        beside.replace(pointer)

    def refer(self, revision: str, commit: str) -> None:
        """Note which commit a branch or tag is."""
        if revision == commit:
            return
        path = self.folder / "refs" / revision
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, commit)

    def commit_of(self, revision: str) -> str | None:
        """The commit that a branch or tag was when it was noted."""
        with contextlib.suppress(OSError, UnicodeDecodeError):
            return (self.folder / "refs" / revision).read_text(encoding="utf-8").strip()[:128] or None
        return None

    def commits(self) -> list[str]:
        """The snapshots, the one noted last first."""
        try:
            found = [entry for entry in self.snapshots.iterdir() if entry.is_dir()]
        except OSError:
            return []
        return [entry.name for entry in sorted(found, key=lambda entry: -entry.stat().st_mtime)]


def sum_of_blob(path: Path) -> tuple[str | None, str | None]:
    """The sha256 or the git sha1 that a file in a cache must have: its blob is named so."""
    blob = path.resolve()
    if blob.parent.name != "blobs":
        return None, None
    name = blob.name.removeprefix("sha256-").removeprefix("sha256:")
    if not _SUM.fullmatch(name):
        return None, None
    return (name, None) if len(name) == 64 else (None, name)


def repositories(cache: Path) -> Iterator[CachedRepository]:
    """The repositories of models in a cache."""
    try:
        entries = sorted(cache.iterdir())
    except OSError:
        return
    for entry in entries:
        organisation, _, name = entry.name.removeprefix("models--").partition("--")
        if entry.name.startswith("models--") and organisation and name and entry.is_dir():
            yield CachedRepository(cache, f"{organisation}/{name}")
