"""What packs hold: their manifest, and what is said of one on its way.

A pack is a plain tar archive, which any tool can open: MANIFEST.json first, SHA256SUMS for `sha256sum --check`, then a
folder a model, with facts.json beside its files.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from weighbridge.disk import disk_errors

from .model_files import File, ModelFiles, Progress

MANIFEST, SUMS, FACTS = "MANIFEST.json", "SHA256SUMS", "facts.json"
FORMAT = "weighbridge-pack/1"
COMMIT = re.compile(r"[0-9a-f]{40}")

Told = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Packed:
    """What was packed or unpacked."""

    path: Path
    size_bytes: int
    models: tuple[ModelFiles, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of an archive, as its manifest tells it."""

    member: str
    file: File
    """With its sha256, and where it is a small file of a hub, its git sha1."""


@dataclass(frozen=True, slots=True)
class PackedModel:
    """One model of an archive, as its manifest tells it."""

    source: str
    repository: str
    commit: str
    branch: str
    wanted: str | None
    entries: tuple[Entry, ...]


def manifest_of(models: Sequence[PackedModel]) -> bytes:
    """The manifest's text."""
    return json.dumps(
        {
            "format": FORMAT,
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


def pack_disk_errors(path: Path) -> contextlib.AbstractContextManager[None]:
    """Turns what the disk of a path refuses into NotEnoughDisk or BadSetting."""
    return disk_errors(
        path,
        full="free some space; a stick with FAT32 holds no file of 4 GiB or more: format it with exFAT",
        choose="check its permissions, or choose another folder",
    )


class ByteMeter:
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
