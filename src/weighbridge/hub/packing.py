"""`pack()`: models in one file, for machines without a network."""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from weighbridge.disk import free_bytes
from weighbridge.errors import BadModelFile, BadSetting, NotEnoughDisk
from weighbridge.facts.shelves.references import is_repository
from weighbridge.sizes import show_bytes

from .model_files import File, ModelFiles
from .pack_format import (
    COMMIT,
    FACTS,
    MANIFEST,
    SUMS,
    ByteMeter,
    Entry,
    Packed,
    PackedModel,
    Told,
    manifest_of,
    pack_disk_errors,
)
from .sums import sum_of

# What one header of the plain format can name.
_MOST_NAME_BYTES = 99
# FAT32 keeps a file's size in 32 bits.
MOST_FAT32_BYTES = (1 << 32) - 1
_FAT = frozenset({"vfat", "msdos", "fat", "fat32"})


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
    head = [(MANIFEST, manifest_of(packed)), (SUMS, ("\n".join(sums) + "\n").encode()), *head]
    part = target.with_name(f"{target.name}.part")
    try:
        with pack_disk_errors(part), part.open("wb") as file:
            _write(file, head, packed, contents, progress)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return Packed(target, target.stat().st_size, tuple(files for files, _ in models))


def _to_pack(number: int, files: ModelFiles) -> PackedModel:
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
        entries.append(Entry(member, File(file.name, file.size_bytes, sha256, file.git_sha1, file.path)))
    digest = hashlib.sha1(
        "\n".join(f"{entry.file.sha256} {entry.file.name}" for entry in entries).encode(), usedforsecurity=False
    ).hexdigest()
    # What has no commit gets one by its content: the same files are the same snapshot.
    commit = files.revision if files.revision and COMMIT.fullmatch(files.revision) else digest
    repository = files.repository or f"packed/{_repository_name(files.name)}"
    # A commit that was asked for by name does not become the one that everybody gets.
    branch = commit if "@" in files.source and files.repository else "main"
    return PackedModel(
        files.source if files.repository else "", repository, commit, branch, files.wanted, tuple(entries)
    )


def _repository_name(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._]+|--+|\.\.+", "-", name).strip("-._")[:96] or "model"
    return plain if is_repository(f"packed/{plain}") else "model"


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


def _write(
    file: BinaryIO, head: Sequence[tuple[str, bytes]], models: Sequence[PackedModel], total: int, progress: Told | None
) -> None:
    meter = ByteMeter("packing", total, progress)
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

    def __init__(self, file: File, meter: ByteMeter) -> None:
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
