"""`unpack()`: checks a pack and puts its models in place.

It is read by a reader of its own, which knows nothing but ordinary files: no links, devices, sparse files, extended
headers or compression, and no names but the manifest's.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from weighbridge.disk import free_bytes
from weighbridge.errors import BadModelFile, NotEnoughDisk
from weighbridge.facts.shelves.references import is_repository
from weighbridge.facts.shelves.shelf import MOST_ENTRIES, checked_name
from weighbridge.locks import locked
from weighbridge.sizes import show_bytes

from .cache import CachedRepository
from .finding import with_path
from .model_files import File, ModelFiles
from .pack_format import (
    COMMIT,
    FACTS,
    FORMAT,
    MANIFEST,
    SUMS,
    ByteMeter,
    Entry,
    Packed,
    PackedModel,
    Told,
    pack_disk_errors,
)
from .sums import READ_BYTES, Verified, hash_for

# A name that no model's file has.
_STAGING = ".weighbridge-unpack"
_MOST_FOLDERS = 16
_MOST_MANIFEST_BYTES = 32 << 20
_HEX = re.compile(r"[0-9a-f]{64}")


def unpack(archive: Path, cache: Path, state: Path, progress: Told | None = None) -> Packed:
    """Put an archive's models into the Hugging Face cache, where all programs find them.

    Nothing gets its place before every sum was checked. Raises BadModelFile for an archive that is damaged, or that
    holds anything but what its manifest names; NotEnoughDisk before the first byte.
    """
    try:
        size = archive.stat().st_size
        file = archive.open("rb")
    except OSError as error:
        raise BadModelFile(f"{archive}: {error.strerror or error}", hint="check the path") from error
    with file:
        return _Unpacking(archive, size, file, cache, progress).run(Verified(state))


def _folders_of(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


@contextlib.contextmanager
def _staging(cache: Path) -> Iterator[Path]:
    """A folder in the cache for what is not checked yet. Whoever uses one holds a lock on it: those that nobody holds
    were left by a process that was killed, and go first."""
    with pack_disk_errors(cache):
        cache.mkdir(parents=True, exist_ok=True)
        with locked(cache):
            for left in cache.glob(f"{_STAGING}-*"):
                with contextlib.suppress(OSError), locked(left, waits=False):  # a link, rmtree refuses
                    shutil.rmtree(left, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(prefix=f"{_STAGING}-", dir=cache))
            held = contextlib.ExitStack()
            held.enter_context(locked(folder))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        held.close()


class _Unpacking:
    """One archive on its way into the cache."""

    def __init__(self, archive: Path, size: int, file: BinaryIO, cache: Path, progress: Told | None) -> None:
        self._archive, self._size, self._file, self._cache = archive, size, file, cache
        self._progress = progress
        self._staging = cache

    def run(self, verified: Verified) -> Packed:
        """Read all into a folder beside, check every sum, then put all in place."""
        members = self._members()
        first = next(members, None)
        if first is None or first[0] != MANIFEST or first[1] > _MOST_MANIFEST_BYTES:
            raise self._bad(f"does not begin with a {MANIFEST}: it was not made by weigh pack")
        models = self._models(self._exactly(first[1]))
        expected = {entry.member: entry for model in models for entry in model.entries}
        self._ensure_room(expected)
        with _staging(self._cache) as self._staging:
            staged = self._stage(members, expected)
            return self._placed(models, staged, verified)

    def _bad(self, what: str) -> BadModelFile:
        return BadModelFile(f"{self._archive}: {what}", hint="pack it again, and copy it whole; do not use this one")

    def _members(self) -> Iterator[tuple[str, int]]:
        """Each member's name and size, with the file at its first byte; whoever takes it reads all of it."""
        for _ in range(MOST_ENTRIES):
            block = self._file.read(tarfile.BLOCKSIZE)
            if not block.strip(b"\0"):
                if len(block) < tarfile.BLOCKSIZE:
                    raise self._bad("ends before its end: it was cut off")
                return
            try:
                info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
            except (tarfile.HeaderError, UnicodeDecodeError, ValueError) as error:
                raise self._bad(f"is no archive, or damaged at byte {self._file.tell():,}: {error}") from error
            if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
                raise self._bad(f"holds {info.name[:80]!r}, which is no ordinary file")
            if not 0 <= info.size <= self._size - self._file.tell():
                raise self._bad(f"{info.name[:80]!r} would have {info.size:,} bytes, more than are there")
            end = self._file.tell() + info.size
            yield info.name, info.size
            self._file.seek(end + -info.size % tarfile.BLOCKSIZE)
        raise self._bad(f"has more than {MOST_ENTRIES:,} members")

    def _exactly(self, count: int) -> bytes:
        content = self._file.read(count)
        if len(content) < count:
            raise self._bad("ends before its end: it was cut off")
        return content

    def _models(self, content: bytes) -> list[PackedModel]:
        try:
            data = json.loads(content)
            if data["format"] != FORMAT:
                raise self._bad(f"is of the format {str(data['format'])[:60]!r}, and {FORMAT} is known here")
            models = [self._model(entry) for entry in data["models"]]
            members = [entry.member for model in models for entry in model.entries]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise self._bad(f"its manifest is damaged: {type(error).__name__}: {str(error)[:100]}") from error
        if len(set(members)) != len(members):
            raise self._bad("its manifest names a member twice")
        return models

    def _model(self, entry: dict[str, Any]) -> PackedModel:
        repository, commit, branch, wanted = entry["repository"], entry["commit"], entry["branch"], entry["wanted"]
        if not is_repository(repository) or not COMMIT.fullmatch(commit) or branch not in ("main", commit):
            raise self._bad(f"its manifest names the repository {str(repository)[:80]!r} at {str(commit)[:50]!r}")
        entries = tuple(self._entry(each) for each in entry["files"])
        names = [each.file.name for each in entries]
        if len(entries) > MOST_ENTRIES:
            raise self._bad(f"its manifest lists {len(entries):,} files of {repository}, expected a model's")
        if not entries or len(set(names)) != len(names) or (wanted is not None and wanted not in names):
            raise self._bad(f"its manifest lists the files of {repository} wrongly")
        if set(names) & {folder for name in names for folder in _folders_of(name)}:
            raise self._bad(f"its manifest has a file of {repository} that is a folder, too")
        return PackedModel(str(entry["source"]), repository, commit, branch, wanted, entries)

    def _entry(self, entry: dict[str, Any]) -> Entry:
        name, size, sha256, git_sha1 = entry["name"], entry["size_bytes"], entry["sha256"], entry["git_sha1"]
        if type(size) is not int or size < 0 or not _HEX.fullmatch(sha256):
            raise self._bad(f"its manifest gives {str(name)[:80]!r} no size or no sum")
        if git_sha1 is not None and not COMMIT.fullmatch(git_sha1):
            raise self._bad(f"its manifest gives {str(name)[:80]!r} no sum of git's")
        if checked_name(name, str(self._archive)).count("/") >= _MOST_FOLDERS:
            raise self._bad(f"its manifest names {name[:80]!r}, which lies too deep")
        return Entry(str(entry["member"]), File(name, size, sha256, git_sha1))

    def _ensure_room(self, expected: dict[str, Entry]) -> None:
        needed = sum(entry.file.size_bytes for entry in expected.values())
        if needed > self._size:
            raise self._bad(f"its manifest lists {needed:,} bytes, and it has {self._size:,}")
        free = free_bytes(self._cache)
        if needed > free:
            raise NotEnoughDisk(
                f"{self._archive}: holds {show_bytes(needed)}, and the disk of {self._cache} has "
                f"{show_bytes(free)} free",
                hint="free some space (weigh ls, weigh rm), or choose another disk: HF_HUB_CACHE",
            )

    def _stage(self, members: Iterator[tuple[str, int]], expected: dict[str, Entry]) -> dict[str, Path]:
        """Every file, beside its place, with its sum checked."""
        meter = ByteMeter("unpacking", sum(entry.file.size_bytes for entry in expected.values()), self._progress)
        staged: dict[str, Path] = {}
        for name, size in members:
            entry = expected.get(name)
            if entry is None:
                # Facts and sums are for people, and for other tools.
                if name != SUMS and not re.fullmatch(rf"\d+/{FACTS}", name):
                    raise self._bad(f"holds {name[:80]!r}, which its manifest does not name")
                continue
            if name in staged or size != entry.file.size_bytes:
                raise self._bad(f"{name[:80]!r} is there twice, or not as long as its manifest says")
            path = self._staging / str(len(staged))
            with pack_disk_errors(path), path.open("wb") as target:
                self._copy(entry, target, meter)
                target.flush()
                os.fsync(target.fileno())
            staged[name] = path
        if missing := sorted(expected.keys() - staged.keys()):
            raise self._bad(f"has not {missing[0][:80]!r}, which its manifest names")
        return staged

    def _copy(self, entry: Entry, target: BinaryIO, meter: ByteMeter) -> None:
        sums = [hashlib.sha256(), *([hash_for(replace(entry.file, sha256=None))] if entry.file.git_sha1 else [])]
        left = entry.file.size_bytes
        while left:
            piece = self._exactly(min(left, READ_BYTES))
            left -= len(piece)
            for total in sums:
                total.update(piece)
            target.write(piece)
            meter.add(len(piece))
        for total, stated in zip(sums, (entry.file.sha256, entry.file.git_sha1), strict=False):
            if total.hexdigest() != stated:
                raise self._bad(f"{entry.member!r} has not the sum that its manifest states: it is damaged")

    def _placed(self, models: Sequence[PackedModel], staged: dict[str, Path], verified: Verified) -> Packed:
        found = []
        for model in models:
            cached = CachedRepository(self._cache, model.repository)
            files = []
            for entry in model.entries:
                # As huggingface_hub names it: large files by sha256, those in git by git's sum.
                file = replace(entry.file, sha256=None) if entry.file.git_sha1 else entry.file
                assert file.identity
                blob = cached.blob(file.identity)
                with pack_disk_errors(blob):
                    blob.parent.mkdir(parents=True, exist_ok=True)
                    staged[entry.member].replace(blob)
                    cached.link(blob, model.commit, file.name)
                files.append(with_path(file, cached.pointer(model.commit, file.name)))
                verified.note(files[-1])
            with pack_disk_errors(cached.folder):
                cached.refer(model.branch, model.commit)
            source = model.source or model.repository
            folder = cached.snapshots / model.commit
            found.append(
                ModelFiles(
                    source, source, "hf_cache", model.commit, tuple(files), model.repository, model.wanted, folder
                )
            )
        return Packed(self._archive, self._size, tuple(found))
