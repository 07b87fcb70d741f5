"""Main memory, and how much of it a cgroup lets us have."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import psutil

from .machine import Memory

_CGROUPS = Path("/sys/fs/cgroup")
# A limit above this is the kernel's way to write "none" (PAGE_COUNTER_MAX).
_NO_LIMIT = 1 << 62


def _number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() and int(text) < _NO_LIMIT else None


def _reclaimable(path: Path) -> int:
    """Bytes of page cache that a cgroup counts as used, but gives back when asked."""
    try:
        fields = dict(line.split() for line in path.read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(fields.get("inactive_file", fields.get("total_inactive_file", "0")))


def _groups(own: Path = Path("/proc/self/cgroup")) -> list[tuple[Path, str, str]]:
    """Folders of our cgroup and all above it, with the names of limit and usage there (version 2, then version 1)."""
    found: list[tuple[Path, str, str]] = []
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, names = _CGROUPS, ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            root, names = _CGROUPS / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        inner = PurePosixPath(path.lstrip("/"))
        found += [(root / folder, *names) for folder in (inner, *inner.parents)]
    return found


def detect_memory() -> Memory:
    """Main memory now. A cgroup above us limits us as much as our own, so the tightest of all counts."""
    system = psutil.virtual_memory()
    limit: int | None = None
    available = system.available
    for folder, limit_name, usage_name in _groups():
        allowed = _number(folder / limit_name)
        if allowed is None or allowed >= system.total:
            continue
        used = (_number(folder / usage_name) or 0) - _reclaimable(folder / "memory.stat")
        limit = allowed if limit is None else min(limit, allowed)
        available = min(available, max(0, allowed - max(0, used)))
    return Memory(system.total, available, limit)
