"""What was measured on this machine, kept in a small JSON file so that later plans have it without measuring."""

from __future__ import annotations

import contextlib
import datetime
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from weighbridge.by_machine import MachineFile

from .machine import Machine
from .measuring import Speeds

_FILE = MachineFile("machine.json", format=1, most_machines=64)
# Other programs on more than this share of the processors made figures differ by more than a tenth.
_DISTURBED = 0.15
_AGAIN_DISTURBED, _AGAIN = datetime.timedelta(hours=1), datetime.timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Remembered:
    """Speeds, and the day they were measured on (ISO 8601)."""

    speeds: Speeds
    day: str
    tried: str = ""
    """The last time (ISO 8601) that it was measured again, if one day's figures were kept over a later one's."""

    @property
    def is_disturbed(self) -> bool:
        """Whether other programs had so much of the processors that the figures may be too low, or nobody looked."""
        return self.speeds.others is None or self.speeds.others > _DISTURBED

    def is_due(self, now: datetime.datetime) -> bool:
        """Whether it is worth measuring again: a disturbed one an hour after the last time, any other after 90 days."""
        last = _moment(self.tried) or _moment(self.day)
        if last is None or last > now:
            return True
        return now - last > (_AGAIN_DISTURBED if self.is_disturbed else _AGAIN)

    @property
    def is_old(self) -> bool:
        """Whether so much time went by that the machine may have become another."""
        day = _moment(self.day)
        return day is None or datetime.datetime.now(datetime.UTC) - day > _AGAIN

    def better(self, later: Remembered) -> Remembered:
        """Of two measurements the one to keep. Others only ever slow a machine down, so a slower one that was disturbed
        says nothing; one that was not says how the machine is now."""
        if later.is_disturbed and later.speeds.read < self.speeds.read:
            return replace(self, tried=later.tried)
        return later


def _moment(text: str) -> datetime.datetime | None:
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


def identity_of_processor(machine: Machine) -> str:
    """What tells this machine from another as far as its speeds go: processor, memory in whole GiB, usable threads.

    Neither the name of the host nor the start of the system counts, and the kernel's own share of memory does not.
    """
    memory = f"{round(machine.memory.total_bytes / 2**30)} GiB" if machine.memory else "unknown memory"
    return f"{machine.processor.model or 'unknown processor'}, {memory}, {machine.processor.usable_threads} threads"


def _entry(cache: Path, name: str) -> Any:
    """What was kept under a name; None if nothing was, or the file is damaged."""
    entries, _ = _FILE.read(cache)
    return entries.get(name)


def _is_rate(value: object) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool) and 0 < value < 1e18


def recall(cache: Path, machine: Machine) -> Remembered | None:
    """What was measured on a machine like this one, or None."""
    entry = _entry(cache, identity_of_processor(machine))
    if not isinstance(entry, dict):
        return None
    rates = {name: entry.get(name) for name in ("read", "thread_read", "triad", "flops")}
    day = entry.get("day")
    if not isinstance(day, str) or not all(_is_rate(rate) for rate in rates.values()):
        return None
    others = entry.get("others")
    is_share = isinstance(others, float | int) and not isinstance(others, bool) and 0 <= others <= 1
    speeds = Speeds(
        **{name: float(rate) for name, rate in rates.items() if rate is not None},
        others=float(others) if is_share and others is not None else None,
    )
    tried = entry.get("tried")
    return Remembered(speeds, day[:10], tried[:32] if isinstance(tried, str) else "")


def recall_disk(cache: Path, folder: Path) -> tuple[float, str] | None:
    """Bytes a second that the folder's disk was read with, and the day; or None."""
    entry = _entry(cache, _disk_identity(folder))
    if not isinstance(entry, dict) or not _is_rate(entry.get("read")) or not isinstance(entry.get("day"), str):
        return None
    return float(entry["read"]), entry["day"][:10]


def _disk_identity(folder: Path) -> str:
    return f"disk of {folder.absolute()}"


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def _write(cache: Path, name: str, entry: dict[str, Any]) -> None:
    """Keep it. A folder that cannot be written costs a second measuring, and is no error."""
    with contextlib.suppress(OSError):
        _FILE.keep(cache, name, entry)


def remember(cache: Path | None, machine: Machine, speeds: Speeds) -> Remembered:
    """Keep what was measured, if there is where to keep it, or what was measured before, if that is better."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    found = Remembered(speeds, _today(), now)
    if cache:
        before = recall(cache, machine)
        found = before.better(found) if before and not before.is_old else found
        _write(cache, identity_of_processor(machine), asdict(found.speeds) | {"day": found.day, "tried": found.tried})
    return found


def remember_disk(cache: Path | None, folder: Path, read: float) -> tuple[float, str]:
    """Keep how fast a folder's disk is read."""
    day = _today()
    if cache:
        _write(cache, _disk_identity(folder), {"read": read, "day": day})
    return read, day
