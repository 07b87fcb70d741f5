"""`describe()`: a machine that is not here, from its name or its numbers."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field, replace

from weighbridge.errors import BadSetting, UnknownMachine
from weighbridge.figures import Basis, Figure
from weighbridge.sizes import parse_bytes, show_bytes

from .machine import Device, Machine, Memory, Processor
from .table import KnownDevice, complete, named, nearest, slowness, without_size
from .vendors.apple import gpu_limit

_MOST_TEXT = 500
_MOST_DEVICES = 1024
_MOST_CORES = 4096
_MOST_BYTES = 1 << 50
_MOST_OPERATIONS = 1e18
_KEYS = ("gpu", "ram", "cores", "threads")
# A plus divides only with space on both sides or before a key: "max+ 395" is a name.
_DIVIDER = re.compile(rf"[,;]|\s\+\s|\+(?=\s*(?:{'|'.join(_KEYS)})\s*=)")
_COUNT = re.compile(r"\s*(\d{1,6})\s*[x×*]\s*(?=\S)", re.ASCII)
_COUNT_BEHIND = re.compile(r"\s+[x×*]\s*(\d{1,6})\s*$", re.ASCII)
_EXAMPLES = 'e.g. "2x rtx 4090, ram=64GiB", "m4 pro 24gb" or "gpu=48GiB@960GB/s, ram=128GiB@80GB/s, cores=16"'


@dataclass(slots=True)
class _Parts:
    """What has been read of a description so far."""

    devices: list[Device] = field(default_factory=list)
    memory: Memory | None = None
    model: str | None = None
    cores: int | None = None
    threads: int | None = None
    notes: list[str] = field(default_factory=list)
    pending: list[KnownDevice] = field(default_factory=list)
    """GPUs in main memory, whose size is not known yet."""


def describe(text: str) -> Machine:
    """The machine that a description names: parts divided by commas or by ` + `.

    A part is a name of the table, with its size where it is sold with several ("rtx 3060 12gb", by custom in GiB), a
    count before it ("4x h100"), or one of `gpu=SIZE[@BANDWIDTH[@FLOPS]]`, `ram=SIZE[@BANDWIDTH]`, `cores=N` and
    `threads=N`: "gpu=24GiB@936GB/s@71TFLOPS". Where a name can mean several things, the slowest and smallest is taken,
    and a note says so. What is not told stays unknown. UnknownMachine for a name that no row bears, BadSetting for what
    cannot be.
    """
    if len(text) > _MOST_TEXT:
        raise BadSetting(f"a machine's description has {len(text):,} characters", hint=f"at most {_MOST_TEXT}")
    parts = _Parts()
    said = [part.strip() for part in _DIVIDER.split(text)]
    if not any(said):
        raise BadSetting("the description of a machine is empty", hint=_EXAMPLES)
    for part in filter(None, said):
        _read(part, parts)
        if len(parts.devices) > _MOST_DEVICES:
            raise BadSetting(f"{text!r} has more than {_MOST_DEVICES:,} devices")
    return _machine(text.strip(), parts)


def _read(part: str, parts: _Parts) -> None:
    # A name may begin with digits and an x ("7900 xtx"): it is tried whole before a count is taken off.
    if "=" not in part and named(part)[0]:
        _add_named(part, 1, parts)
        return
    found = _COUNT.match(part) or _COUNT_BEHIND.search(part)
    count, rest = (int(found[1]), part[: found.start()] + part[found.end() :]) if found else (1, part)
    if "=" in rest:
        _add_numbers(rest, count, parts)
    elif named(rest)[0]:
        _add_named(rest, count, parts)
    else:
        raise _unknown(part, rest)


def _unknown(part: str, name: str) -> UnknownMachine:
    rows = without_size(name)
    if rows:
        sizes = sorted({size for row in rows for size in row.memory_gib})
        sold = ", ".join(f"{size:g} GiB" for size in sizes)
        return UnknownMachine(
            f"{rows[0].name} is not sold with the size of {part!r}, but with {sold}",
            hint="describe another by its numbers: gpu=48GiB@1008GB/s",
        )
    near = nearest(part) or nearest(name)
    hint = f"describe it by its numbers or another name: {_EXAMPLES}"
    if near:
        hint = f"nearest: {', '.join(near)}; or by its numbers: gpu=24GiB@936GB/s"
    return UnknownMachine(f"no machine or device is known as {part!r}", hint=hint)


def _counted(count: int, what: str) -> int:
    if not 1 <= count <= _MOST_DEVICES:
        raise BadSetting(f"{count:,} x {what}: a machine has 1 to {_MOST_DEVICES:,} devices")
    return count


def _add_named(text: str, count: int, parts: _Parts) -> None:
    rows, gib = named(text)
    row = min(rows, key=slowness)
    size = gib or min(row.memory_gib, default=None)
    open_size = gib is None and len(row.memory_gib) > 1
    if len(rows) > 1 or open_size:
        others = ", ".join(dict.fromkeys(_told(other, gib) for other in sorted(rows, key=slowness)))
        chosen = f"{row.name} with {size:g} GiB" if size else row.name
        parts.notes.append(f"{text.strip()!r} can be {others}: the slowest and smallest was taken, {chosen}")
    if row.kind == "processor":
        if count > 1:
            raise BadSetting(f"{count} x {row.name}: a machine has one", hint="leave the count away")
        _add_processor(row, size if gib else None, parts)
    elif row.unified:
        if count > 1 or parts.pending or any(device.unified for device in parts.devices):
            raise BadSetting(f"{text.strip()!r}: a machine has one GPU in its main memory", hint="leave the count away")
        parts.pending.append(row)
        parts.cores = parts.cores or row.cores
        if size:
            _set_memory(_memory(_gib(size), row.bandwidth), parts)
    else:
        assert size is not None
        _counted(count * row.gpus, row.name)
        if row.gpus > 1:
            parts.notes.append(f"{row.name} shows as {row.gpus} devices")
        device = Device(row.name, row.vendor, _gib(size), _free(_gib(size)), peer_link=row.peer_link)
        parts.devices += [complete(device, row)] * (count * row.gpus)


def _told(row: KnownDevice, gib: float | None) -> str:
    sizes = " or ".join(f"{size:g}" for size in row.memory_gib if gib in (None, size))
    rate = f" at {row.bandwidth.value / 1e9:,.0f} GB/s" if row.bandwidth else ""
    return f"{row.name} ({sizes} GiB{rate})" if sizes else f"{row.name} ({rate.removeprefix(' at ') or 'any size'})"


def _add_processor(row: KnownDevice, gib: float | None, parts: _Parts) -> None:
    if parts.model:
        raise BadSetting(f"two processors are described: {parts.model} and {row.name}")
    parts.model, parts.cores = row.name, parts.cores or row.cores
    size = gib or (min(row.memory_gib) if row.memory_gib else None)
    if size:
        _set_memory(_memory(_gib(size), row.bandwidth), parts)
    elif parts.memory:
        parts.memory = replace(parts.memory, bandwidth=parts.memory.bandwidth or row.bandwidth)
    else:
        # Its bandwidth waits for a size.
        parts.pending.append(row)


def _set_memory(memory: Memory, parts: _Parts) -> None:
    if parts.memory:
        both = f"{show_bytes(parts.memory.total_bytes)} and {show_bytes(memory.total_bytes)}"
        raise BadSetting(f"main memory is described twice: {both}")
    parts.memory = memory


def _gib(size: float) -> int:
    total = int(size * 2**30)
    if not 0 < total < _MOST_BYTES:
        raise BadSetting(f"{size:g} GiB of memory", hint="a size between 1 byte and 1 PiB")
    return total


def _free(total: int) -> int:
    """What a GPU with nothing on it gives: firmware and driver keep about 1/64 and 256 MiB.

    An RTX 4090 of 24 GiB then has 23.4 free. What a program's own context takes is the planner's to count.
    """
    return max(0, total - total // 64 - (256 << 20))


def _memory(total: int, bandwidth: Figure | None) -> Memory:
    """Main memory, of which a system without other programs keeps an eighth, from 0.5 to 4 GiB."""
    kept = min(4 << 30, max(1 << 29, total // 8))
    return Memory(total, max(0, total - kept), None, bandwidth)


def _add_numbers(part: str, count: int, parts: _Parts) -> None:
    key, _, value = (piece.strip() for piece in part.partition("="))
    key = key.lower()
    if key not in _KEYS:
        near = difflib.get_close_matches(key, _KEYS, n=1)
        raise BadSetting(
            f"{key!r} is nothing that a machine is described by", hint=f"{near[0]}=" if near else _EXAMPLES
        )
    if key != "gpu" and count != 1:
        raise BadSetting(f"{part!r} with a count", hint="only a GPU is counted: 2x gpu=24GiB")
    if key == "gpu":
        size, rate, operations = _figures(part, value, 3)
        device = Device("GPU", "unknown", size, _free(size), bandwidth=rate, half_flops=operations)
        parts.devices += [device] * _counted(count, "GPU")
    elif key == "ram":
        size, rate, _ = _figures(part, value, 2)
        _set_memory(_memory(size, rate), parts)
    else:
        if not re.fullmatch(r"[0-9]{1,4}", value) or not 1 <= int(value) <= _MOST_CORES:
            raise BadSetting(f"{part!r}", hint=f"{key}= takes a number from 1 to {_MOST_CORES:,}")
        if getattr(parts, key) is not None and key == "threads":
            raise BadSetting(f"{key} are described twice")
        setattr(parts, key, int(value))


def _figures(part: str, value: str, most: int) -> tuple[int, Figure | None, Figure | None]:
    """Size, bandwidth and operations of `24GiB@936GB/s@71TFLOPS`."""
    pieces = [piece.strip() for piece in value.split("@")]
    if len(pieces) > most:
        raise BadSetting(f"{part!r} has more than {most} figures", hint=_EXAMPLES)
    rate = operations = None
    if len(pieces) > 1:
        rate = Figure(_size(part, re.sub(r"/s$", "", pieces[1], flags=re.IGNORECASE)), Basis.STATED, "described")
    if len(pieces) > 2:
        operations = Figure(_operations(part, pieces[2]), Basis.STATED, "described")
    return _size(part, pieces[0]), rate, operations


def _size(part: str, text: str) -> int:
    try:
        size = parse_bytes(text)
    except (ValueError, OverflowError) as error:
        raise BadSetting(f"{part!r}: {text!r} is no size", hint="write it like 24GiB or 936GB/s") from error
    if not 0 < size < _MOST_BYTES:
        raise BadSetting(f"{part!r}: {text!r} is not between 1 byte and 1 PiB")
    return size


def _operations(part: str, text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)\s*([gtp])flops(?:/s)?", text.lower())
    value = float(found[1]) * {"g": 1e9, "t": 1e12, "p": 1e15}[found[2]] if found else 0.0
    if not 0 < value < _MOST_OPERATIONS:
        raise BadSetting(f"{part!r}: {text!r} is no rate of operations", hint="write it like 165TFLOPS")
    return value


def _machine(name: str, parts: _Parts) -> Machine:
    notes = list(parts.notes)
    devices = list(parts.devices)
    for row in parts.pending:
        if parts.memory is None and row.kind == "processor":
            notes.append(f"{row.name}: how much memory it has is not said")
            continue
        if parts.memory is None:
            raise BadSetting(
                f"{row.name} computes in main memory, and {name!r} does not say how much there is",
                hint=f"{name}, ram=32GiB",
            )
        parts.memory = replace(parts.memory, bandwidth=parts.memory.bandwidth or row.bandwidth)
        if row.kind == "gpu":
            devices.insert(0, _unified(row, parts.memory, notes))
    if any(not device.unified for device in devices):
        notes.append("free GPU memory is assumed: all but 1/64 and 256 MiB, which firmware and driver keep")
    if parts.memory:
        notes.append("available memory is assumed: all but an eighth, from 0.5 to 4 GiB, which the system keeps")
    processor = Processor(parts.model, parts.cores, parts.threads or parts.cores, ())
    return Machine(processor, parts.memory, tuple(devices), tuple(notes), None, name)


def _unified(row: KnownDevice, memory: Memory, notes: list[str]) -> Device:
    free = memory.available_bytes
    if row.vendor == "apple":
        free = min(free, gpu_limit(memory.total_bytes))
        notes.append(
            f"macOS gives the GPU {show_bytes(gpu_limit(memory.total_bytes))} unless iogpu.wired_limit_mb is set"
        )
    else:
        notes.append(f"{row.name}: all available memory counts as the GPU's; its driver may be set to give it less")
    device = Device(row.name, row.vendor, memory.total_bytes, free, unified=True)
    return replace(complete(device, row), bandwidth=memory.bandwidth)
