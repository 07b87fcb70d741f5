"""`detect()`: the machine that we run on; `measure()`: the same with how fast it is."""

from __future__ import annotations

import datetime
import importlib
import pkgutil
from dataclasses import replace
from pathlib import Path
from typing import Protocol, cast

from weighbridge.figures import Basis, Figure

from . import vendors
from .disk import detect_disk, read_bandwidth
from .machine import Device, Disk, Machine, Memory
from .measuring import measure_speeds
from .memory import detect_memory
from .processor import detect_processor
from .remembering import Remembered, recall, recall_disk, remember, remember_disk


class VendorModule(Protocol):
    """What a module of `vendors/` offers."""

    IS_VENDOR: bool
    IS_LAST: bool

    def find(self, known: tuple[Device, ...], memory: Memory) -> tuple[tuple[Device, ...], tuple[str, ...]]:
        """The GPUs that it finds, given those found before it, and what could not be found out."""


def _vendors() -> list[VendorModule]:
    names = sorted(module.name for module in pkgutil.iter_modules(vendors.__path__))
    modules = [importlib.import_module(f"{vendors.__name__}.{name}") for name in names]
    found = [cast("VendorModule", module) for module in modules if getattr(module, "IS_VENDOR", False)]
    return sorted(found, key=lambda module: module.IS_LAST)


def detect(cache: Path | None = None, *, models: Path | None = None) -> Machine:
    """This machine, as it is now: available memory and free GPU memory change from call to call.

    Nothing is measured. `cache` is the folder where `measure()` keeps what it found, and what was found earlier is read
    from there. `models` is the folder where models are kept: with it, the machine has a disk.
    """
    memory = detect_memory()
    devices: tuple[Device, ...] = ()
    notes: tuple[str, ...] = ()
    for vendor in _vendors():
        more, trouble = vendor.find(devices, memory)
        devices, notes = devices + more, notes + trouble
    here = Machine(detect_processor(), memory, devices, notes, detect_disk(models) if models else None)
    if cache is None:
        return here
    remembered = recall(cache, here)
    if remembered:
        here = _with_speeds(here, remembered)
    rate = recall_disk(cache, models) if models else None
    return replace(here, disk=_with_rate(here.disk, *rate)) if here.disk and rate else here


def is_due(cache: Path, machine: Machine) -> bool:
    """Whether what was measured of this machine is worth measuring again: other programs disturbed it, and an hour has
    gone by, or it is 90 days old. Nothing is measured here."""
    remembered = recall(cache, machine)
    return remembered is not None and remembered.is_due(datetime.datetime.now(datetime.UTC))


def measure(cache: Path | None = None, *, models: Path | None = None, again: bool = False) -> Machine:
    """This machine, with the rates of its memory and processor measured here: about a second.

    What was measured on this machine before is taken from the folder `cache`, unless `again`. What is measured now is
    kept there, unless other programs disturbed it and it is slower than what was kept. With `models`, the disk of that
    folder is read too, for at most another second.
    """
    here = detect(None if again else cache, models=models)
    if here.memory and here.memory.bandwidth is None:
        here = _with_speeds(here, remember(cache, here, measure_speeds(here)))
    if models and here.disk and here.disk.read_bandwidth is None:
        rate = read_bandwidth(models)
        if rate is None:
            trouble = f"how fast {models} is read could not be measured: no large file there, and none could be written"
            return replace(here, notes=(*here.notes, trouble))
        return replace(here, disk=_with_rate(here.disk, *remember_disk(cache, models, rate)))
    return here


def _with_speeds(machine: Machine, remembered: Remembered) -> Machine:
    speeds, day = remembered.speeds, remembered.day
    threads = machine.processor.usable_threads
    beside = f", other programs on {speeds.others:.0%} of the processors" if speeds.others is not None else ""

    def measured(value: float, how: str) -> Figure:
        return Figure(value, Basis.MEASURED, f"{how}, {day}{beside}")

    memory = machine.memory
    if memory:
        memory = replace(
            memory,
            bandwidth=measured(speeds.read, f"read by {threads} threads"),
            thread_bandwidth=measured(speeds.thread_read, "read by one thread"),
            triad_bandwidth=measured(speeds.triad, f"c = a + b by {threads} threads, three streams"),
        )
    flops = measured(speeds.flops, "product of 32-bit matrices by NumPy's BLAS")
    notes = machine.notes
    if speeds.others is not None and remembered.is_disturbed:
        notes = (
            *notes,
            f"memory was measured while other programs had {speeds.others:.0%} of the processors, so it may be faster "
            "than said: it is measured again when the machine is quieter",
        )
    return replace(machine, memory=memory, processor=replace(machine.processor, flops=flops), notes=notes)


def _with_rate(disk: Disk, rate: float, day: str) -> Disk:
    return replace(disk, read_bandwidth=Figure(rate, Basis.MEASURED, f"read past the page cache, {day}"))
