"""Where calibrations are kept: a small file in the folder of state, beside what answers have taught since."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from weighbridge.by_machine import MachineFile
from weighbridge.fit.learning import recall
from weighbridge.fit.rates import Rates, TypeRate
from weighbridge.machine import Machine, identity_of_processor

from .calibration import NUMBERS, Calibration, Measured

FILE = "calibration.json"
# Format 2: attention by what is fetched apart, not by bytes of cache.
_FILE = MachineFile(FILE, format=2, most_machines=32)


def identity(machine: Machine) -> str:
    """What tells a machine from another as far as an engine's speed goes: processor, memory, threads, GPUs."""
    return ", ".join([identity_of_processor(machine), *(device.name for device in machine.devices)])


def _as_data(calibration: Calibration) -> dict[str, Any]:
    # What answers teach has a file of its own.
    return {name: value for name, value in asdict(calibration).items() if name != "learned"}


def digest(calibration: Calibration | None) -> str:
    """A short name of what was measured; empty where nothing was."""
    if calibration is None or not calibration.measured:
        return ""
    told = json.dumps([asdict(each) for each in calibration.measured], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _rates_from(data: Mapping[str, Any]) -> Rates:
    types = {
        str(name): TypeRate(**{key: float(value) for key, value in rate.items()})
        for name, rate in data["types"].items()
    }
    experts = None if data["experts"] is None else float(data["experts"])
    rates = Rates(types, experts=experts, **{name: float(data[name]) for name in NUMBERS})
    numbers = [*(getattr(rates, name) for name in NUMBERS), experts or 0.0]
    numbers += [value for rate in types.values() for value in (rate.first, rate.few, rate.many)]
    if not all(math.isfinite(value) and value >= 0 for value in numbers) or not types:
        raise ValueError("a rate is not a number of seconds")
    return rates


def _measured_from(data: Mapping[str, Any]) -> Measured:
    found = Measured(
        int(data["threads"]),
        _rates_from(data["rates"]),
        float(data["spread"]),
        float(data.get("prefill_spread", 0.0)),
    )
    spreads = (found.spread, found.prefill_spread)
    if found.threads < 1 or not all(math.isfinite(spread) and spread >= 0 for spread in spreads):
        raise ValueError("threads or the spread of repeats are no such number")
    return found


def _from_data(data: Mapping[str, Any]) -> Calibration:
    read_bandwidth = float(data["read_bandwidth"])
    if not math.isfinite(read_bandwidth) or read_bandwidth < 0:
        raise ValueError("read_bandwidth is no number of bytes a second")
    return Calibration(
        machine=str(data["machine"]),
        engine=str(data["engine"]),
        day=str(data["day"])[:10],
        measured=tuple(_measured_from(each) for each in data["measured"]),
        read_bandwidth=read_bandwidth,
        notes=tuple(map(str, data["notes"])),
    )


def load(folder: Path, machine: Machine, engine: str | None = None) -> tuple[Calibration | None, str | None]:
    """The calibration of this machine with what answers taught since, and a note where there is one that is not used,
    or that another version of the engine was measured. Both are None where nothing was measured or learnt yet."""
    found, note = _measured(folder, machine, engine)
    name = identity(machine)
    learned = recall(folder, name, digest(found))
    if found is None:
        return (Calibration(name, "", "", learned=learned) if learned else None), note
    return replace(found, learned=learned), note


def _measured(folder: Path, machine: Machine, engine: str | None) -> tuple[Calibration | None, str | None]:
    entries, trouble = _FILE.read(folder)
    entry = entries.get(identity(machine))
    if entry is None:
        return None, trouble and f"{trouble}: run weigh calibrate again"
    try:
        found = _from_data(entry)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        return None, f"{folder / FILE}: this machine's entry is damaged and is left aside: {error!r}"
    if engine and found.engine != engine:
        return None, f"the calibration of {found.day} is of {found.engine}, the engine is {engine}: run weigh calibrate"
    return found, trouble


def save(folder: Path, calibration: Calibration) -> Path:
    """Keep it, in one step, beside those of other machines. OSError where the folder cannot be written, or a later
    release wrote the file."""
    return _FILE.keep(folder, calibration.machine, _as_data(calibration))


def today() -> str:
    """The day, as it is kept."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()
