"""What kinds of devices and engines reach of a data sheet, and the `Rates` that follow from one."""

from __future__ import annotations

from dataclasses import dataclass

from weighbridge.figures import Figure
from weighbridge.machine import Device, Machine

from .rates import Rates, TypeRate
from .touched import Touched


@dataclass(frozen=True, slots=True)
class Efficiency:
    """What a kind of device reaches of its data sheet, with where the figures are from.

    `bandwidth` is the share of peak bandwidth at which matrices are read, `layer` the seconds a layer costs beside,
    `mixture` how many times that one with experts does, `flops` the share of peak 16-bit rate in prompts, and of it
    `mixture_flops` where there are experts. `spread` (low, high) is what speed comes to, as multiples of the middle, in
    nine of ten measured rows.
    """

    bandwidth: float
    layer: float
    mixture: float
    flops: float
    mixture_flops: float
    spread: tuple[float, float]
    prefill_spread: tuple[float, float]
    source: str


_PUBLIC = "fitted on llmfit's public rows of llama.cpp (v1.1.17 and its repository, 2026-08)"
# Fitted by `benchmarks/fit_speed.py --public`, which prints the errors on rows that were left out.
EFFICIENCIES: dict[str, Efficiency] = {
    "nvidia": Efficiency(
        0.76, 35e-6, 2.0, 0.75, 0.6, (0.86, 1.35), (0.45, 1.45), f"{_PUBLIC}: 192 of 13 NVIDIA devices since 2018"
    ),
    "nvidia_old": Efficiency(
        0.42, 195e-6, 1.5, 0.5, 0.6, (0.75, 1.35), (0.4, 1.6), f"{_PUBLIC}: 45 of one GTX 1050 Ti"
    ),
    "apple": Efficiency(
        0.90, 100e-6, 1.5, 0.5, 0.9, (0.82, 1.2), (0.55, 1.6), f"{_PUBLIC}: 71 of an M4 Pro and an M1 Max"
    ),
    "amd": Efficiency(
        0.90, 95e-6, 2.5, 0.3, 0.6, (0.6, 1.7), (0.5, 1.5), f"{_PUBLIC}: 77 of an RX 7900 XT and an RX 7900 XTX"
    ),
    "other": Efficiency(0.65, 100e-6, 2.0, 0.25, 0.6, (0.4, 1.5), (0.3, 2.5), "assumed: no measured rows were found"),
    "processor": Efficiency(
        0.6, 25e-6, 1.5, 1.0, 0.8, (0.55, 1.45), (0.5, 2.0),
        "measured on two cores of an EPYC of Zen 4 by xllamacpp 2026.10 with 19 types, and held to be alike elsewhere",
    ),
}  # fmt: skip
# An entry of a row of scores and its share of choosing among them: 3 ns measured on a processor core, which is where
# choosing happens for any device.
VOCABULARY_SECONDS = 3e-9
# A processor's attention, in seconds a value on one thread: measured as above, 0.13 ns and 0.045 ns in prompts.
ATTENTION_ON_A_THREAD = (0.13e-9, 0.045e-9)
# A GPU computes a prompt's attention at this share of its 16-bit rate: 0.41 and 0.6 by public rows of two NVIDIA
# devices at depths of 32,768 and 16,384 tokens. While it decodes, attention is as fast as its cache is read.
_ATTENTION_FLOPS_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class EngineCost:
    """How an engine differs from llama.cpp, whose speeds the figures above were fitted on."""

    spread: tuple[float, float]
    """What its speed may come to, as multiples of both bounds of llama.cpp's."""
    layer_seconds: tuple[float, float]
    """Least and most seconds that a layer of a step costs beside."""
    source: str


# Only llama.cpp's speeds are measured: what is told of other engines is carried over from them, and wide.
ENGINES: dict[str, EngineCost] = {
    "llama_cpp": EngineCost((1.0, 1.0), (0.0, 0.0), ""),
    "vllm": EngineCost(
        (0.75, 1.25), (0.0, 10e-6),
        "carried over to vLLM, of which no speed was measured here: 0.75 to 1.25 times that (assumed)",
    ),
    "transformers": EngineCost(
        (0.5, 1.1), (0.1e-3, 1.5e-3),
        "carried over to transformers, of which no speed was measured here: 0.5 to 1.1 times that, and 0.1 to 1.5 ms a "
        "layer for starting its kernels one by one (assumed: 8B on an H100 8.4 ms a step, 5.1 as a graph; 0.6B 42 ms)",
    ),
}  # fmt: skip


def efficiency_of(device: Device | None) -> str:
    """Which row of `EFFICIENCIES` is a device's: its maker, and for NVIDIA whether it is older than Volta."""
    if device is None:
        return "processor"
    if device.vendor == "nvidia":
        try:
            return "nvidia" if float(device.compute_capability or "7.0") >= 7 else "nvidia_old"
        except ValueError:
            return "nvidia"
    return device.vendor if device.vendor in EFFICIENCIES else "other"


def peak_bandwidth(machine: Machine, device: int | None) -> Figure | None:
    """Bytes a second of a device's memory by its place in `Machine.devices`, None: of main memory; None where nobody
    knows it."""
    if device is not None:
        return machine.devices[device].bandwidth
    return machine.memory.bandwidth if machine.memory else None


def peak_flops(machine: Machine, device: int | None) -> Figure | None:
    """Operations a second: of a device with 16-bit floats, of the processor (None) with 32-bit ones; None where nobody
    knows it."""
    return machine.processor.flops if device is None else machine.devices[device].half_flops


def _working(machine: Machine, threads: int | None) -> int | None:
    """Threads that compute: those asked for, or one a core; None where neither is known."""
    return threads or machine.processor.cores


def sheet_rates(model: Touched, machine: Machine, device: int | None, threads: int | None) -> Rates | None:
    """The middle of what a data sheet lets expect; None where bandwidth is unknown.

    Where the rate of arithmetic is unknown, further tokens of a step are free, which no caller may take for a prefill.
    """
    peak = peak_bandwidth(machine, device)
    if peak is None or peak.value <= 0:
        return None
    kind = EFFICIENCIES[efficiency_of(machine.devices[device] if device is not None else None)]
    share = 1.0
    if device is None and threads:
        cores = machine.processor.cores or threads
        alone = machine.memory.thread_bandwidth if machine.memory else None
        # Few threads do not use all of the bandwidth; one that was measured says how much it uses.
        share = min(1.0, threads * (alone.value / peak.value if alone else 1 / cores))
    read = first = 1 / (peak.value * kind.bandwidth * share)
    working = _working(machine, threads)
    if device is None and working:
        first = max(first, model.thread_seconds() / working / model.active_bytes())
    flops = peak_flops(machine, device)
    cores_share = min(1.0, threads / (machine.processor.physical_cores or threads)) if device is None and threads else 1
    bytes_each = sum(model.weights.values()) + sum(model.experts.values()) * model.experts_used / model.experts_total
    further = 0.0
    if flops and bytes_each:
        reached = flops.value * kind.flops * cores_share * (kind.mixture_flops if model.experts else 1.0)
        further = min(first, 2 * model.parameters / bytes_each / reached)
    attention, many = 0.0, 2 / (flops.value * _ATTENTION_FLOPS_SHARE) if flops else 0.0
    if device is None:
        attention, many = (seconds / (working or 1) for seconds in ATTENTION_ON_A_THREAD)
    return Rates(
        types={"*": TypeRate(first, further, further)},
        cache=read,
        attention=attention,
        attention_many=many,
        layer=kind.layer,
        vocabulary=VOCABULARY_SECONDS,
        mixture=kind.mixture if model.experts else 1.0,
    )
