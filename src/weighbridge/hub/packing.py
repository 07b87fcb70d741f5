"""Models in one file, for machines without a network: `pack()` writes it, `unpack()` checks it and puts them in place.

The file is a plain tar archive, which any tool can open: MANIFEST.json first, SHA256SUMS for `sha256sum --check`, then
a folder a model, with facts.json beside its files. It is read back by a reader of its own, which knows nothing but
ordinary files: no links, devices, sparse files, extended headers or compression, and no names but the manifest's.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from weighbridge.disk import disk_errors, free_bytes
from weighbridge.errors import BadModelFile, BadSetting, NotEnoughDisk
from weighbridge.facts.shelves.references import is_repository
from weighbridge.facts.shelves.shelf import MOST_ENTRIES, checked_name
from weighbridge.locks import locked
from weighbridge.sizes import show_bytes

from .cache import CachedRepository
from .finding import with_path
from .model_files import File, ModelFiles, Progress
from .sums import READ_BYTES, Verified, hash_for, sum_of

MANIFEST, SUMS, FACTS = "MANIFEST.json", "SHA256SUMS", "facts.json"
_FORMAT = "weighbridge-pack/1"
_STAGING = ".weighbridge-unpack"
# A name that no model's file has.
_MOST_FOLDERS = 16
_MOST_MANIFEST_BYTES = 32 << 20
# What one header of the plain format can name.
_MOST_NAME_BYTES = 99
# FAT32 keeps a file's size in 32 bits.
MOST_FAT32_BYTES = (1 << 32) - 1
_FAT = frozenset({"vfat", "msdos", "fat", "fat32"})
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HEX = re.compile(r"[0-9a-f]{64}")

Told = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Packed:
    """What was packed or unpacked."""

    path: Path
    size_bytes: int
    models: tuple[ModelFiles, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    """One file of an archive, as its manifest tells it."""

    member: str
    file: File
    """With its sha256, and where it is a small file of a hub, its git sha1."""


@dataclass(frozen=True, slots=True)
class _Model:
    """One model of an archive, as its manifest tells it."""

    source: str
    repository: str
    commit: str
    branch: str
    wanted: str | None
    entries: tuple[_Entry, ...]


def pack(models: Sequence[tuple[ModelFiles, str]], target: Path, progress: Told | None = None) -> Packed:
    """Write the models, each with the text of its facts.json, into one new file.

    Every file is read twice where nobody states its sha256, since the sums stand before the contents. Raises
    NotEnoughDisk, also for a disk that cannot hold a file of this size; BadModelFile for content that has not its sum.
    """
    if target.exists():
        raise BadSetting(f"{target}: is there already", hint="name another file, or remove it first")
    contents = sum(files.size_bytes for files, _ in models)
    # Headers and padding: a block each for every file.
    _ensure_room(target, contents + sum(2 * tarfile.BLOCKSIZE * (len(files.files) + 8) for files, _ in models))
    packed = [_to_pack(number, files) for number, (files, _) in enumerate(models)]
    sums: list[str] = []
    head: list[tuple[str, bytes]] = []
    for number, (model, (_, facts)) in enumerate(zip(packed, models, strict=True)):
        head.append((f"{number}/{FACTS}", facts.encode()))
        sums += [f"{entry.file.sha256}  {entry.member}" for entry in model.entries]
    sums += [f"{hashlib.sha256(content).hexdigest()}  {name}" for name, content in head]
    head = [(MANIFEST, _manifest(packed)), (SUMS, ("\n".join(sums) + "\n").encode()), *head]
    part = target.with_name(f"{target.name}.part")
    try:
        with _disk(part), part.open("wb") as file:
            _write(file, head, packed, contents, progress)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return Packed(target, target.stat().st_size, tuple(files for files, _ in models))


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


def _to_pack(number: int, files: ModelFiles) -> _Model:
    """How the model is told in the manifest; sums that nobody states are taken."""
    if not files.is_here:
        raise BadModelFile(f"{files.name}: is not all on this machine", hint=f"weigh get {files.source}")
    entries = []
    for place, file in enumerate(files.files):
        assert file.path
        sha256 = file.sha256 or sum_of(replace(file, sha256=None, git_sha1=None), file.path)
        member = f"{number}/{file.name}"
        if len(member.encode()) > _MOST_NAME_BYTES or not member.isascii() or file.name in (FACTS,):
            member = f"{number}/files/{place}"
        entries.append(_Entry(member, File(file.name, file.size_bytes, sha256, file.git_sha1, file.path)))
    digest = hashlib.sha1(
        "\n".join(f"{entry.file.sha256} {entry.file.name}" for entry in entries).encode(), usedforsecurity=False
    ).hexdigest()
    # What has no commit gets one by its content: the same files are the same snapshot.
    commit = files.revision if files.revision and _COMMIT.fullmatch(files.revision) else digest
    repository = files.repository or f"packed/{_repository_name(files.name)}"
    # A commit that was asked for by name does not become the one that everybody gets.
    branch = commit if "@" in files.source and files.repository else "main"
    return _Model(files.source if files.repository else "", repository, commit, branch, files.wanted, tuple(entries))


def _folders_of(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _repository_name(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._]+|--+|\.\.+", "-", name).strip("-._")[:96] or "model"
    return plain if is_repository(f"packed/{plain}") else "model"


def _manifest(models: Sequence[_Model]) -> bytes:
    return json.dumps(
        {
            "format": _FORMAT,
            "models": [
                {
                    "source": model.source, "repository": model.repository, "commit": model.commit,
                    "branch": model.branch, "wanted": model.wanted,
                    "files": [
                        {
                            "member": entry.member, "name": entry.file.name, "size_bytes": entry.file.size_bytes,
                            "sha256": entry.file.sha256, "git_sha1": entry.file.git_sha1,
                        }
                        for entry in model.entries
                    ],
                }
                for model in models
            ],
        },
        indent=1,
    ).encode()  # fmt: skip


def _ensure_room(target: Path, total: int) -> None:
    folder = target.absolute().parent
    if not folder.is_dir():
        raise BadSetting(f"{folder}: is no folder", hint="make it first")
    if total > MOST_FAT32_BYTES and _file_system(folder) in _FAT:
        raise NotEnoughDisk(
            f"{target}: would have {show_bytes(total)}, and a FAT32 disk holds no file of 4 GiB or more",
            hint="format the stick with exFAT, or pack fewer models into one file",
        )
    free = free_bytes(folder)
    if total > free:
        raise NotEnoughDisk(
            f"{target}: would have {show_bytes(total)}, and its disk has {show_bytes(free)} free",
            hint="free some space, or choose another disk",
        )


def _file_system(folder: Path) -> str:
    """The kind of file system that a folder lies on, as the system calls it."""
    import psutil

    above = [
        (len(Path(disk.mountpoint).parts), disk.fstype.lower())
        for disk in psutil.disk_partitions(all=True)
        if folder.resolve().is_relative_to(disk.mountpoint)
    ]
    return max(above)[1] if above else ""


def _disk(path: Path) -> contextlib.AbstractContextManager[None]:
    return disk_errors(
        path,
        full="free some space; a stick with FAT32 holds no file of 4 GiB or more: format it with exFAT",
        choose="check its permissions, or choose another folder",
    )


def _write(
    file: BinaryIO, head: Sequence[tuple[str, bytes]], models: Sequence[_Model], total: int, progress: Told | None
) -> None:
    meter = _Meter("packing", total, progress)
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, text in head:
            archive.addfile(_header(name, len(text)), io.BytesIO(text))
        for model in models:
            for entry in model.entries:
                assert entry.file.path
                with _Summed(entry.file, meter) as content:
                    archive.addfile(_header(entry.member, entry.file.size_bytes), content)  # type: ignore[arg-type]


def _header(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o644, int(time.time())
    return info


class _Summed:
    """A file that is read into an archive, and must have its sum at the end."""

    def __init__(self, file: File, meter: _Meter) -> None:
        assert file.path
        self._file, self._meter = file, meter
        self._content = file.path.open("rb", buffering=0)
        self._sum = hashlib.sha256()

    def read(self, count: int) -> bytes:
        """The next bytes."""
        piece = self._content.read(count)
        self._sum.update(piece)
        self._meter.add(len(piece))
        return piece

    def __enter__(self) -> _Summed:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._content.close()
        if kind is None and self._sum.hexdigest() != self._file.sha256:
            raise BadModelFile(
                f"{self._file.path}: is damaged: it has not the sum that it must have",
                hint="fetch it again: weigh get checks each file",
            )


class _Meter:
    """Counts bytes and tells of them, ten times a second."""

    def __init__(self, phase: str, total: int, progress: Told | None) -> None:
        self._phase, self._total, self._progress = phase, total, progress
        self._done, self._started, self._told_at = 0, time.monotonic(), 0.0

    def add(self, count: int) -> None:
        """So many more."""
        self._done += count
        now = time.monotonic()
        if self._progress is None or now - self._told_at < 0.1:
            return
        self._told_at = now
        rate = self._done / max(1e-9, now - self._started)
        left = (self._total - self._done) / rate if rate else None
        self._progress(Progress("", self._phase, self._done, self._total, rate, left, 0))


@contextlib.contextmanager
def _staging(cache: Path) -> Iterator[Path]:
    """A folder in the cache for what is not checked yet. Whoever uses one holds a lock on it: those that nobody holds
    were left by a process that was killed, and go first."""
    with _disk(cache):
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

    def _models(self, content: bytes) -> list[_Model]:
        try:
            data = json.loads(content)
            if data["format"] != _FORMAT:
                raise self._bad(f"is of the format {str(data['format'])[:60]!r}, and {_FORMAT} is known here")
            models = [self._model(entry) for entry in data["models"]]
            members = [entry.member for model in models for entry in model.entries]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise self._bad(f"its manifest is damaged: {type(error).__name__}: {str(error)[:100]}") from error
        if len(set(members)) != len(members):
            raise self._bad("its manifest names a member twice")
        return models

    def _model(self, entry: dict[str, Any]) -> _Model:
        repository, commit, branch, wanted = entry["repository"], entry["commit"], entry["branch"], entry["wanted"]
        if not is_repository(repository) or not _COMMIT.fullmatch(commit) or branch not in ("main", commit):
            raise self._bad(f"its manifest names the repository {str(repository)[:80]!r} at {str(commit)[:50]!r}")
        entries = tuple(self._entry(each) for each in entry["files"])
        names = [each.file.name for each in entries]
        if len(entries) > MOST_ENTRIES:
            raise self._bad(f"its manifest lists {len(entries):,} files of {repository}, expected a model's")
        if not entries or len(set(names)) != len(names) or (wanted is not None and wanted not in names):
            raise self._bad(f"its manifest lists the files of {repository} wrongly")
        if set(names) & {folder for name in names for folder in _folders_of(name)}:
            raise self._bad(f"its manifest has a file of {repository} that is a folder, too")
        return _Model(str(entry["source"]), repository, commit, branch, wanted, entries)

    def _entry(self, entry: dict[str, Any]) -> _Entry:
        name, size, sha256, git_sha1 = entry["name"], entry["size_bytes"], entry["sha256"], entry["git_sha1"]
        if type(size) is not int or size < 0 or not _HEX.fullmatch(sha256):
            raise self._bad(f"its manifest gives {str(name)[:80]!r} no size or no sum")
        if git_sha1 is not None and not _COMMIT.fullmatch(git_sha1):
            raise self._bad(f"its manifest gives {str(name)[:80]!r} no sum of git's")
        if checked_name(name, str(self._archive)).count("/") >= _MOST_FOLDERS:
            raise self._bad(f"its manifest names {name[:80]!r}, which lies too deep")
        return _Entry(str(entry["member"]), File(name, size, sha256, git_sha1))

    def _ensure_room(self, expected: dict[str, _Entry]) -> None:
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

    def _stage(self, members: Iterator[tuple[str, int]], expected: dict[str, _Entry]) -> dict[str, Path]:
        """Every file, beside its place, with its sum checked."""
        meter = _Meter("unpacking", sum(entry.file.size_bytes for entry in expected.values()), self._progress)
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
            with _disk(path), path.open("wb") as target:
                self._copy(entry, target, meter)
                target.flush()
                os.fsync(target.fileno())
            staged[name] = path
        if missing := sorted(expected.keys() - staged.keys()):
            raise self._bad(f"has not {missing[0][:80]!r}, which its manifest names")
        return staged

    def _copy(self, entry: _Entry, target: BinaryIO, meter: _Meter) -> None:
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

    def _placed(self, models: Sequence[_Model], staged: dict[str, Path], verified: Verified) -> Packed:
        found = []
        for model in models:
            cached = CachedRepository(self._cache, model.repository)
            files = []
            for entry in model.entries:
                # As huggingface_hub names it: large files by sha256, those in git by git's sum.
                file = replace(entry.file, sha256=None) if entry.file.git_sha1 else entry.file
                assert file.identity
                blob = cached.blob(file.identity)
                with _disk(blob):
                    blob.parent.mkdir(parents=True, exist_ok=True)
                    staged[entry.member].replace(blob)
                    cached.link(blob, model.commit, file.name)
                files.append(with_path(file, cached.pointer(model.commit, file.name)))
                verified.note(files[-1])
            with _disk(cached.folder):
                cached.refer(model.branch, model.commit)
            source = model.source or model.repository
            folder = cached.snapshots / model.commit
            found.append(
                ModelFiles(
                    source, source, "hf_cache", model.commit, tuple(files), model.repository, model.wanted, folder
                )
            )
        return Packed(self._archive, self._size, tuple(found))
