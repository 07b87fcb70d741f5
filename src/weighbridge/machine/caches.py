"""The processor's caches: from Linux's sysfs, or from Darwin's sysctl."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .machine import Cache

_CPUS = Path("/sys/devices/system/cpu")
_KINDS = {"Data": "data", "Instruction": "instruction", "Unified": "unified"}
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
# Darwin's names, for each kind of core.
_DARWIN = (("l1icachesize", 1, "instruction"), ("l1dcachesize", 1, "data"), ("l2cachesize", 2, "unified"))


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _bytes(text: str) -> int:
    """`32K` as bytes; 0 if it says nothing."""
    number, unit = text.rstrip("KMG"), text[-1:]
    return int(number) * _UNITS.get(unit, 1) if number.isdigit() else 0


def linux_caches(root: Path = _CPUS) -> tuple[Cache, ...]:
    """Each level with how many there are: processors that name the same sharers have one cache in common."""
    found: dict[tuple[int, str, int], set[str]] = {}
    for folder in root.glob("cpu[0-9]*/cache/index[0-9]*"):
        level, size, kind = _text(folder / "level"), _bytes(_text(folder / "size")), _text(folder / "type")
        if not level.isdigit() or not size or kind not in _KINDS:
            continue
        # Where the system does not tell the sharers, each processor has its own.
        sharers = _text(folder / "shared_cpu_list") or folder.parent.parent.name
        found.setdefault((int(level), _KINDS[kind], size), set()).add(sharers)
    return tuple(Cache(level, kind, size, len(groups)) for (level, kind, size), groups in sorted(found.items()))


def darwin_caches(told: Mapping[str, str]) -> tuple[Cache, ...]:
    """The caches of each kind of core, from `sysctl hw.perflevel0 hw.perflevel1`."""
    caches = []
    for core in ("hw.perflevel0", "hw.perflevel1"):
        cores = _count(told.get(f"{core}.physicalcpu"))
        sharing = _count(told.get(f"{core}.cpusperl2")) or 1
        for name, level, kind in _DARWIN:
            size = _count(told.get(f"{core}.{name}"))
            if size and cores:
                caches.append(Cache(level, kind, size, cores if level == 1 else -(-cores // sharing)))
    return tuple(sorted(caches, key=lambda cache: (cache.level, cache.kind)))


def _count(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0
