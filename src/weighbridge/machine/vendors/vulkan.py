"""GPUs that no other module has found, as `vulkaninfo` lists them."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from weighbridge.machine.machine import Device, Memory
from weighbridge.machine.table import complete, recognise

IS_VENDOR = True
IS_LAST = True

_DRM = Path("/sys/class/drm")
_VENDORS = {0x10DE: "nvidia", 0x1002: "amd", 0x8086: "intel", 0x106B: "apple"}


def find(known: tuple[Device, ...], memory: Memory) -> tuple[tuple[Device, ...], tuple[str, ...]]:
    """The GPUs of vendors that have found none. Asked only where the system shows one more GPU than is known.

    Starting every driver takes vulkaninfo a second or two.
    """
    if not shutil.which("vulkaninfo") or not _more_than(len(known)):
        return (), ()
    try:
        done = subprocess.run(["vulkaninfo"], capture_output=True, text=True, errors="replace", timeout=20, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return (), (f"vulkaninfo does not answer: {error}",)
    found = {device.vendor for device in known}
    return tuple(device for device in listed(done.stdout, memory) if device.vendor not in found), ()


def _more_than(count: int) -> bool:
    if platform.system() != "Linux":
        return count == 0
    return len(list(_DRM.glob("renderD*"))) > count


def listed(text: str, memory: Memory) -> Iterator[Device]:
    """The GPUs in what vulkaninfo prints; programs that draw on the processor are left out."""
    seen = set()
    # Each device has a chapter of its own; the summary before them repeats no heaps.
    for chapter in re.split(r"^GPU\d+:\s*$", text, flags=re.MULTILINE)[1:]:
        fields = dict(
            re.findall(r"^\s*(deviceName|deviceType|vendorID|driverName)\s*=\s*(.+?)\s*$", chapter, re.MULTILINE)
        )
        heaps = _own_heaps(chapter)
        kind, name = fields.get("deviceType", ""), fields.get("deviceName")
        if not name or not heaps or not kind.endswith(("DISCRETE_GPU", "INTEGRATED_GPU")):
            continue
        # One GPU may have two drivers (RADV and AMDVLK).
        plain = re.sub(r"\s*\(.*", "", name)
        if plain in seen:
            continue
        seen.add(plain)
        total, free = (sum(column) for column in zip(*heaps, strict=True))
        vendor = _VENDORS.get(int(fields.get("vendorID", "0"), 16), "vulkan")
        unified = kind.endswith("INTEGRATED_GPU")
        device = Device(
            name=name,
            vendor=vendor,
            memory_total_bytes=total,
            memory_free_bytes=min(free, memory.available_bytes) if unified else free,
            driver=fields.get("driverName"),
            unified=unified,
        )
        yield complete(device, recognise(name, vendor, total))


def _own_heaps(chapter: str) -> list[tuple[int, int]]:
    """Size and what is free of each heap in the device's own memory; without a budget all of it counts as free."""
    heaps = []
    for heap in re.split(r"memoryHeaps\[\d+\]:", chapter)[1:]:
        # The last heap's text runs on into what follows.
        lines = heap.split("memoryTypes:")[0]
        size = re.search(r"^\s*size\s*=\s*(\d+)", lines, re.MULTILINE)
        if not size or "MEMORY_HEAP_DEVICE_LOCAL_BIT" not in lines:
            continue
        budget = re.search(r"^\s*budget\s*=\s*(\d+)", lines, re.MULTILINE)
        usage = re.search(r"^\s*usage\s*=\s*(\d+)", lines, re.MULTILINE)
        free = int(budget[1]) - (int(usage[1]) if usage else 0) if budget and int(budget[1]) else int(size[1])
        heaps.append((int(size[1]), max(0, min(free, int(size[1])))))
    return heaps
