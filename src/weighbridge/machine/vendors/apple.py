"""Apple's GPUs: one to a chip, in one memory with the processor."""

from __future__ import annotations

import platform

from weighbridge.machine.machine import Device, Memory
from weighbridge.machine.processor import sysctl
from weighbridge.machine.table import complete, recognise

IS_VENDOR = True
IS_LAST = False

_GIB = 1 << 30


def find(known: tuple[Device, ...], memory: Memory) -> tuple[tuple[Device, ...], tuple[str, ...]]:
    """The GPU of an Apple chip; a Mac with an Intel processor has none that counts."""
    if platform.system() != "Darwin" or platform.machine() != "arm64":
        return (), ()
    told = sysctl("machdep.cpu.brand_string", "hw.memsize", "iogpu.wired_limit_mb")
    limit = told.get("iogpu.wired_limit_mb", "0")
    return (
        device(
            told.get("machdep.cpu.brand_string", "Apple GPU"),
            int(told.get("hw.memsize", memory.total_bytes)),
            memory.available_bytes,
            int(limit) if limit.isdigit() else 0,
        ),
    ), ()


def gpu_limit(total_bytes: int, wired_limit_mb: int = 0) -> int:
    """How much of the memory Metal recommends a GPU to use at most (recommendedMaxWorkingSetSize).

    Two thirds below 36 GiB and three quarters from there on, as Macs of 8 to 512 GB report; `iogpu.wired_limit_mb`
    overrides it where it is set. A Mac with 16 GiB gives 10.7 GiB, one with 64 GiB gives 48 GiB.
    """
    if wired_limit_mb:
        return min(total_bytes, wired_limit_mb << 20)
    return total_bytes * 3 // 4 if total_bytes >= 36 * _GIB else total_bytes * 2 // 3


def device(chip: str, total_bytes: int, available_bytes: int, wired_limit_mb: int = 0) -> Device:
    """The GPU of a chip in a machine with so much memory."""
    found = Device(
        name=chip,
        vendor="apple",
        memory_total_bytes=total_bytes,
        memory_free_bytes=min(gpu_limit(total_bytes, wired_limit_mb), available_bytes),
        unified=True,
    )
    # The size of the memory tells the variants of a chip apart: an M4 Max with 36 GB is the smaller one.
    return complete(found, recognise(chip, "apple", total_bytes))
