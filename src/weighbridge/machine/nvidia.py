"""NVIDIA GPUs, asked of the driver through NVML; a machine without the driver has none."""

from __future__ import annotations

import pynvml

from .machine import Device


def detect() -> tuple[tuple[Device, ...], str | None]:
    """The GPUs that the driver lists, and a word on what went wrong where a driver is there and does not answer."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError_LibraryNotFound:
        return (), None
    except pynvml.NVMLError as error:
        return (), f"the NVIDIA driver is there and does not answer: {error}"
    try:
        driver = str(pynvml.nvmlSystemGetDriverVersion())
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return tuple(_device(handle, driver) for handle in handles), None
    except pynvml.NVMLError as error:
        return (), f"the NVIDIA driver did not list its GPUs: {error}"
    finally:
        pynvml.nvmlShutdown()


def _device(handle: object, driver: str) -> Device:
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    return Device(
        name=str(pynvml.nvmlDeviceGetName(handle)),
        vendor="nvidia",
        memory_total_bytes=int(memory.total),
        memory_free_bytes=int(memory.free),
        compute_capability=f"{major}.{minor}",
        driver=driver,
    )
