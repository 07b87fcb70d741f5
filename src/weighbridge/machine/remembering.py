"""What was measured on this machine, kept in a small JSON file so that later plans have it without measuring."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .machine import Machine
from .measuring import Speeds

FILE = "machine.json"
_FORMAT = 1
# A folder that moves from machine to machine gathers entries; more than this many are of no use.
_MOST_ENTRIES = 64


@dataclass(frozen=True, slots=True)
class Remembered:
    """Speeds, and the day they were measured on (ISO 8601)."""

    speeds: Speeds
    day: str


def identity(machine: Machine) -> str:
    """What tells this machine from another as far as its speeds go: processor, memory in whole GiB, usable threads.

    Neither the name of the host nor the start of the system counts, and the kernel's own share of memory does not.
    """
    memory = f"{round(machine.memory.total_bytes / 2**30)} GiB" if machine.memory else "unknown memory"
    return f"{machine.processor.model or 'unknown processor'}, {memory}, {machine.processor.usable_threads} threads"


def _entries(cache: Path) -> dict[str, Any]:
    """What the file holds; nothing if it is not there, damaged, or of another format."""
    try:
        data = json.loads((cache / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(data, dict) or data.get("format") != _FORMAT or not isinstance(data.get("machines"), dict):
        return {}
    return dict(data["machines"])


def _is_rate(value: object) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool) and 0 < value < 1e18


def recall(cache: Path, machine: Machine) -> Remembered | None:
    """What was measured on a machine like this one, or None."""
    entry = _entries(cache).get(identity(machine))
    if not isinstance(entry, dict):
        return None
    rates = {name: entry.get(name) for name in ("read", "thread_read", "triad", "flops")}
    day = entry.get("day")
    if not isinstance(day, str) or not all(_is_rate(rate) for rate in rates.values()):
        return None
    return Remembered(Speeds(**{name: float(rate) for name, rate in rates.items() if rate is not None}), day[:10])


def recall_disk(cache: Path, folder: Path) -> tuple[float, str] | None:
    """Bytes a second that the folder's disk was read with, and the day; or None."""
    entry = _entries(cache).get(_disk_identity(folder))
    if not isinstance(entry, dict) or not _is_rate(entry.get("read")) or not isinstance(entry.get("day"), str):
        return None
    return float(entry["read"]), entry["day"][:10]


def _disk_identity(folder: Path) -> str:
    return f"disk of {folder.absolute()}"


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def _write(cache: Path, name: str, rates: dict[str, float]) -> str:
    """Keep it. A folder that cannot be written costs a second measuring, and is no error."""
    day = _today()
    entries = _entries(cache)
    entries.pop(name, None)
    entries[name] = rates | {"day": day}
    kept = dict(list(entries.items())[-_MOST_ENTRIES:])
    beside = cache / f"{FILE}.{os.getpid()}"
    with contextlib.suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
        try:
            beside.write_text(json.dumps({"format": _FORMAT, "machines": kept}, indent=1) + "\n", encoding="utf-8")
            beside.replace(cache / FILE)
        finally:
            beside.unlink(missing_ok=True)
    return day


def remember(cache: Path | None, machine: Machine, speeds: Speeds) -> Remembered:
    """Keep what was measured, if there is where to keep it."""
    return Remembered(speeds, _write(cache, identity(machine), asdict(speeds)) if cache else _today())


def remember_disk(cache: Path | None, folder: Path, read: float) -> tuple[float, str]:
    """Keep how fast a folder's disk is read."""
    return read, _write(cache, _disk_identity(folder), {"read": read}) if cache else _today()
