"""AMD GPUs: by AMD SMI where its Python package is installed, else by what the amdgpu driver writes to sysfs."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from weighbridge.figures import Basis, Figure
from weighbridge.machine.links import pcie
from weighbridge.machine.machine import Device, Link, Memory
from weighbridge.machine.table import complete, recognise

IS_VENDOR = True
IS_LAST = False

_SYS = Path("/sys")
# libdrm's table of names: "744C, C8, AMD Radeon RX 7900 XTX".
_NAMES = Path("/usr/share/libdrm/amdgpu.ids")
_AMD = "0x1002"
# Processors with graphics: their GPU has no memory of its own (LLVM's AMDGPU usage, table of processors).
_INTEGRATED = frozenset(
    "gfx902 gfx909 gfx90c gfx1033 gfx1035 gfx1036 gfx1037 gfx1103 gfx1150 gfx1151 gfx1152 gfx1153".split()
)
# Transfers for each tick of the memory clock that the driver tells: HBM2 2, HBM3 4, GDDR6 16.
_TRANSFERS = {"gfx906": 2, "gfx908": 2, "gfx90a": 2, "gfx942": 4, "gfx950": 4}
_TRANSFERS_OF_RADEON = {"gfx10": 16, "gfx11": 16, "gfx12": 16}
_PCIE_GENERATIONS = {"2.5": 1, "5.0": 2, "8.0": 3, "16.0": 4, "32.0": 5, "64.0": 6}


def find(known: tuple[Device, ...], memory: Memory) -> tuple[tuple[Device, ...], tuple[str, ...]]:
    """The GPUs that the driver lists."""
    cards = list(_cards(_SYS))
    if not cards:
        return (), ()
    notes: tuple[str, ...] = ()
    if importlib.util.find_spec("amdsmi"):
        try:
            devices = tuple(_by_smi())
            if devices:
                return devices, ()
        except Exception as error:
            notes = (f"AMD SMI is installed and does not answer: {error}",)
    return tuple(by_sysfs(_SYS, memory, _NAMES)), notes


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text and text.isdigit() else None


def _cards(root: Path) -> Iterator[Path]:
    """The `device` folders of AMD's cards that have memory to tell of."""
    for card in sorted((root / "class/drm").glob("card[0-9]*")):
        device = card / "device"
        if card.name[4:].isdigit() and _text(device / "vendor") == _AMD and (device / "mem_info_vram_total").exists():
            yield device


def _properties(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in (_text(path) or "").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _node(root: Path, device: Path) -> Path | None:
    """The compute driver's folder for the card: both know the number of its render node."""
    minors = {entry.name.removeprefix("renderD") for entry in (device / "drm").glob("renderD*")}
    for node in (root / "class/kfd/kfd/topology/nodes").glob("*"):
        minor = _properties(node / "properties").get("drm_render_minor")
        if minor and str(minor) in minors:
            return node
    return None


def gfx_target(version: int) -> str:
    """`gfx1100` from 110000, `gfx90a` from 90010: two decimal digits each for minor and step, written hexadecimal."""
    return f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}"


def memory_bandwidth(target: str | None, width_bits: int | None, clock_mhz: int | None) -> Figure | None:
    """Bits x clock x transfers a tick / 8: an RX 6800 XT has 256 bits at 1,000 MHz and GDDR6, which is 512 GB/s."""
    if not target or not width_bits or not clock_mhz or target in _INTEGRATED:
        return None
    transfers = _TRANSFERS.get(target) or _TRANSFERS_OF_RADEON.get(target[:5] if len(target) == 7 else "")
    if transfers is None:
        return None
    source = "amdgpu: bus width x highest memory clock x transfers of its kind of memory"
    return Figure(width_bits / 8 * clock_mhz * 1e6 * transfers, Basis.COMPUTED, source)


def _name(device: Path, names: Path) -> str | None:
    told = _text(device / "product_name")
    if told:
        return told
    number, revision = _text(device / "device"), _text(device / "revision")
    if not number or not revision:
        return None
    wanted = (number.removeprefix("0x").lower(), f"{int(revision, 16):x}")
    for line in (_text(names) or "").splitlines():
        parts = [part.strip() for part in line.split(",", 2)]
        if len(parts) == 3 and (parts[0].lower(), parts[1].lower().lstrip("0") or "0") == wanted:
            return parts[2]
    return None


def by_sysfs(root: Path, memory: Memory, names: Path) -> Iterator[Device]:
    """The cards below a sysfs tree; `names` is libdrm's file of names."""
    for card in _cards(root):
        node = _node(root, card)
        version = _properties(node / "properties").get("gfx_target_version") if node else None
        target = gfx_target(version) if version else None
        name = _name(card, names) or f"AMD GPU {target or _text(card / 'device') or ''}".strip()
        total, used = _number(card / "mem_info_vram_total") or 0, _number(card / "mem_info_vram_used") or 0
        row = recognise(name, "amd", total)
        unified = target in _INTEGRATED or bool(row and row.unified)
        free = max(0, total - used)
        if unified:
            # Its own part was set aside at start-up; the rest it borrows from main memory, while there is some.
            borrowed = _number(card / "mem_info_gtt_total") or 0
            spare = max(0, borrowed - (_number(card / "mem_info_gtt_used") or 0))
            total, free = total + borrowed, free + min(spare, memory.available_bytes)
        bank = _properties(node / "mem_banks/0/properties") if node else {}
        power = next((found for hwmon in card.glob("hwmon/*") if (found := _number(hwmon / "power1_cap"))), None)
        device = Device(
            name=name,
            vendor="amd",
            memory_total_bytes=total,
            memory_free_bytes=free,
            compute_capability=target,
            driver="amdgpu",
            bandwidth=memory_bandwidth(target, bank.get("width"), bank.get("mem_clk_max")),
            unified=unified,
            link=_link(card),
            power_watts=Figure(power / 1e6, Basis.READ, "amdgpu: power1_cap") if power else None,
        )
        yield complete(device, row)


def _link(card: Path) -> Link | None:
    speed, lanes = _text(card / "max_link_speed"), _number(card / "current_link_width")
    generation = _PCIE_GENERATIONS.get((speed or "").split(" ")[0])
    return pcie(generation, lanes) if generation and lanes else None


def _by_smi() -> Iterator[Device]:
    amdsmi: Any = importlib.import_module("amdsmi")
    amdsmi.amdsmi_init()
    try:
        for handle in amdsmi.amdsmi_get_processor_handles():
            kind = amdsmi.AmdSmiMemoryType.VRAM
            yield smi_device(
                amdsmi.amdsmi_get_gpu_asic_info(handle),
                amdsmi.amdsmi_get_gpu_vram_info(handle),
                int(amdsmi.amdsmi_get_gpu_memory_total(handle, kind)),
                int(amdsmi.amdsmi_get_gpu_memory_usage(handle, kind)),
            )
    finally:
        amdsmi.amdsmi_shut_down()


def smi_device(asic: dict[str, Any], vram: dict[str, Any], total: int, used: int) -> Device:
    """A device from AMD SMI's answers; a rate of 0 or "N/A" is unknown."""
    name, target = str(asic.get("market_name") or "AMD GPU"), asic.get("target_graphics_version")
    rate = vram.get("vram_max_bandwidth")
    bandwidth = (
        Figure(rate * 1e9, Basis.READ, "AMD SMI: vram_max_bandwidth") if isinstance(rate, int) and rate else None
    )
    device = Device(
        name=name,
        vendor="amd",
        memory_total_bytes=total,
        memory_free_bytes=max(0, total - used),
        compute_capability=target if isinstance(target, str) and target.startswith("gfx") else None,
        driver="amdgpu",
        bandwidth=bandwidth,
        unified=target in _INTEGRATED,
    )
    return complete(device, recognise(name, "amd", total))
