"""NVIDIA GPUs, asked of the driver through NVML; a machine without the driver has none.

Of a GPU that is split (MIG) each slice counts as a device, for a process uses one slice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from weighbridge.figures import Basis, Figure
from weighbridge.machine.links import pcie
from weighbridge.machine.machine import Device, Link, Memory
from weighbridge.machine.table import complete, recognise

IS_VENDOR = True
IS_LAST = False

# Name and bytes a second of one link in one direction, by nvmlNvlinkVersion_t (nvml.h) and NVIDIA's architecture
# whitepapers for Pascal to Blackwell.
_NVLINKS = {
    1: ("NVLink 1", 20e9), 2: ("NVLink 2", 25e9), 3: ("NVLink 2", 25e9), 4: ("NVLink 3", 25e9),
    5: ("NVLink 3", 25e9), 6: ("NVLink 4", 25e9), 7: ("NVLink 5", 50e9),
}  # fmt: skip
# Four links of a GA102 make 112.5 GB/s in both directions together (NVIDIA Ampere GA102 whitepaper).
_GA102, _GA102_LINK = "8.6", 14.0625e9
_HOPPER = "9.0"


def find(known: tuple[Device, ...], memory: Memory) -> tuple[tuple[Device, ...], tuple[str, ...]]:
    """The GPUs that the driver lists, and a word on what went wrong where a driver is there and does not answer."""
    # Imported here because a machine without the driver should not wait for it.
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError_LibraryNotFound:
        return (), ()
    except pynvml.NVMLError as error:
        return (), (f"the NVIDIA driver is there and does not answer: {error}",)
    try:
        return tuple(_devices(pynvml, memory)), ()
    except pynvml.NVMLError as error:
        return (), (f"the NVIDIA driver did not list its GPUs: {error}",)
    finally:
        pynvml.nvmlShutdown()


def _devices(nvml: Any, memory: Memory) -> Iterator[Device]:
    driver = str(nvml.nvmlSystemGetDriverVersion())
    for index in range(nvml.nvmlDeviceGetCount()):
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        slices = list(_slices(nvml, handle))
        if slices:
            yield from (_slice(nvml, handle, part, driver) for part in slices)
        else:
            yield _device(nvml, handle, driver, memory)


def _ask(nvml: Any, function: str, *arguments: Any) -> Any:
    """What NVML answers, or None: a GPU answers only what it can and what we may know."""
    try:
        return getattr(nvml, function)(*arguments)
    except (nvml.NVMLError, AttributeError):
        return None


def _capability(nvml: Any, handle: Any) -> str | None:
    told = _ask(nvml, "nvmlDeviceGetCudaComputeCapability", handle)
    return f"{told[0]}.{told[1]}" if told else None


def _slices(nvml: Any, handle: Any) -> Iterator[Any]:
    mode = _ask(nvml, "nvmlDeviceGetMigMode", handle)
    if not mode or not mode[0]:
        return
    for index in range(_ask(nvml, "nvmlDeviceGetMaxMigDeviceCount", handle) or 0):
        part = _ask(nvml, "nvmlDeviceGetMigDeviceHandleByIndex", handle, index)
        if part is not None:
            yield part


def _device(nvml: Any, handle: Any, driver: str, main: Memory) -> Device:
    name = str(nvml.nvmlDeviceGetName(handle))
    own = _ask(nvml, "nvmlDeviceGetMemoryInfo", handle)
    # A GPU without memory of its own (GB10, Jetson) does not answer: it has the machine's.
    total, free = (int(own.total), int(own.free)) if own else (main.total_bytes, main.available_bytes)
    capability = _capability(nvml, handle)
    device = Device(
        name=name,
        vendor="nvidia",
        memory_total_bytes=total,
        memory_free_bytes=free,
        compute_capability=capability,
        driver=driver,
        bandwidth=memory_bandwidth(
            _ask(nvml, "nvmlDeviceGetMemoryBusWidth", handle),
            _ask(nvml, "nvmlDeviceGetMaxClockInfo", handle, nvml.NVML_CLOCK_MEM),
        ),
        unified=own is None,
        link=_pcie(lambda function: _ask(nvml, function, handle)),
        peer_link=_nvlink(nvml, handle, capability),
        power_watts=_power(_ask(nvml, "nvmlDeviceGetEnforcedPowerLimit", handle)),
    )
    return complete(device, recognise(name, "nvidia", total))


def _slice(nvml: Any, whole: Any, part: Any, driver: str) -> Device:
    """A slice of a split GPU: its share of the memory is taken for its share of the bandwidth.

    NVIDIA's MIG user guide: each memory slice has its own part of the caches, controllers and bandwidth.
    """
    own = nvml.nvmlDeviceGetMemoryInfo(part)
    device = Device(
        name=str(_ask(nvml, "nvmlDeviceGetName", part) or "NVIDIA MIG device"),
        vendor="nvidia",
        memory_total_bytes=int(own.total),
        memory_free_bytes=int(own.free),
        compute_capability=_capability(nvml, whole),
        driver=driver,
    )
    # A container that was given one slice may not be told about the whole.
    memory = _ask(nvml, "nvmlDeviceGetMemoryInfo", whole)
    if not memory or not memory.total:
        return device
    share = own.total / memory.total
    of_whole = memory_bandwidth(
        _ask(nvml, "nvmlDeviceGetMemoryBusWidth", whole),
        _ask(nvml, "nvmlDeviceGetMaxClockInfo", whole, nvml.NVML_CLOCK_MEM),
    )
    row = recognise(str(_ask(nvml, "nvmlDeviceGetName", whole)), "nvidia", int(memory.total))
    of_whole = of_whole or (row.bandwidth if row else None)
    if of_whole is None:
        return device
    source = f"{share:.0%} of the GPU's bandwidth, as of its memory"
    return replace(device, bandwidth=Figure(of_whole.value * share, Basis.COMPUTED, source))


def memory_bandwidth(bus_bits: int | None, clock_mhz: int | None) -> Figure | None:
    """Bits x clock x 2 / 8: an RTX 4090 has 384 bits at 10,501 MHz, which is 1,008 GB/s.

    NVML's clock is half the transfer rate for every memory (GDDR5 to GDDR7, HBM2 to HBM3e).
    """
    if not bus_bits or not clock_mhz:
        return None
    return Figure(bus_bits / 8 * clock_mhz * 1e6 * 2, Basis.COMPUTED, "NVML: bus width x highest memory clock x 2")


def _pcie(ask: Callable[[str], Any]) -> Link | None:
    # The highest generation that both ends can: an idle GPU runs at a lower one.
    generation, lanes = ask("nvmlDeviceGetMaxPcieLinkGeneration"), ask("nvmlDeviceGetCurrPcieLinkWidth")
    return pcie(int(generation), int(lanes)) if generation and lanes else None


def _nvlink(nvml: Any, handle: Any, capability: str | None) -> Link | None:
    active = [
        index
        for index in range(nvml.NVML_NVLINK_MAX_LINKS)
        if _ask(nvml, "nvmlDeviceGetNvLinkState", handle, index) == nvml.NVML_FEATURE_ENABLED
    ]
    if not active:
        return None
    return nvlink(_ask(nvml, "nvmlDeviceGetNvLinkVersion", handle, active[0]), len(active), capability)


def nvlink(version: int | None, links: int, capability: str | None) -> Link:
    """All active links together: an H100 has 18 of NVLink 4, which is 450 GB/s in one direction."""
    # Drivers have told version 5 of Hopper, whose links are of version 4 (JAX works around it in its cost model).
    number = 6 if version == 7 and capability == _HOPPER else version
    if number not in _NVLINKS:
        return Link("NVLink")
    name, each = _NVLINKS[number]
    each = _GA102_LINK if capability == _GA102 else each
    return Link(name, Figure(each * links, Basis.COMPUTED, f"{links} active links x {each / 1e9:g} GB/s"))


def _power(milliwatts: int | None) -> Figure | None:
    return Figure(milliwatts / 1000, Basis.READ, "NVML: enforced power limit") if milliwatts else None
