"""Intel's discrete GPUs, by what the xe and i915 drivers write to sysfs.

Neither tells how much of the memory is free, and i915 as the kernel ships it does not even tell the size: such a card
is found by its number on the PCI bus, where the table knows a single size for it. Integrated GPUs are left to Vulkan.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from weighbridge.machine.machine import Device, Memory
from weighbridge.machine.table import KnownDevice, by_pci, complete, slowness

IS_VENDOR = True
IS_LAST = False

_SYS = Path("/sys")
_INTEL = "0x8086"


def find(known: tuple[Device, ...], memory: Memory) -> tuple[tuple[Device, ...], tuple[str, ...]]:
    """The discrete GPUs, and what their driver does not tell."""
    devices = tuple(by_sysfs(_SYS))
    notes = tuple(f"{device.name}: its driver does not tell how much memory is free; all counts" for device in devices)
    return devices, notes


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _told_bytes(card: Path) -> int:
    """The size that the driver tells: xe for each tile, Intel's own i915 for the card; 0 if none does."""
    tiles = (_text(path) for path in card.glob("device/tile[0-9]*/physical_vram_size_bytes"))
    sizes = [int(size) for size in (*tiles, _text(card / "lmem_total_bytes")) if size.isdigit()]
    return sum(sizes)


def _row(identity: str, told: int) -> KnownDevice | None:
    rows = by_pci(identity)
    sized = [row for row in rows if any(abs(told / 2**30 - size) <= size / 8 for size in row.memory_gib)]
    return min(sized if told else rows, key=slowness, default=None)


def by_sysfs(root: Path) -> Iterator[Device]:
    """The cards below a sysfs tree whose memory is known."""
    for card in sorted((root / "class/drm").glob("card[0-9]*")):
        device = card / "device"
        if not card.name[4:].isdigit() or _text(device / "vendor") != _INTEL:
            continue
        identity = f"8086:{_text(device / 'device').removeprefix('0x').lower()}"
        told = _told_bytes(card)
        row = _row(identity, told)
        total = told or (int(min(row.memory_gib) * 2**30) if row else 0)
        if not total:
            continue
        found = Device(
            name=f"Intel {row.name}" if row else f"Intel GPU {identity}",
            vendor="intel",
            memory_total_bytes=total,
            memory_free_bytes=total,
            driver=(device / "driver").resolve().name if (device / "driver").exists() else None,
        )
        yield complete(found, row)
