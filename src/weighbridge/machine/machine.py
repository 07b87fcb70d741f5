"""`Machine`: what there is to run models on, here or elsewhere. Unknown is None."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from weighbridge.figures import Figure


@dataclass(frozen=True, slots=True)
class Cache:
    """One level of a processor's cache."""

    level: int
    kind: str
    """`data`, `instruction` or `unified`."""
    bytes: int
    """Of one such cache."""
    count: int
    """How many there are."""


@dataclass(frozen=True, slots=True)
class Processor:
    """The processor: name, cores that compute on their own, threads we may use, instruction sets by ggml's names."""

    model: str | None
    physical_cores: int | None
    usable_threads: int | None
    """Threads that this process may use."""
    instruction_sets: tuple[str, ...]
    caches: tuple[Cache, ...] = ()
    flops: Figure | None = None
    """Multiplications and additions of 32-bit floats a second, on all cores: what a matrix product reaches here."""

    @property
    def cores(self) -> int | None:
        """Physical cores, or threads where nobody tells those; None where neither is known."""
        return self.physical_cores or self.usable_threads


@dataclass(frozen=True, slots=True)
class Memory:
    """Main memory in bytes; `available` is what can be had now without swapping, inside the cgroup's limit."""

    total_bytes: int
    available_bytes: int
    cgroup_limit_bytes: int | None
    bandwidth: Figure | None = None
    """Bytes a second that all cores together read, one after the other, as a model's weights are read."""
    thread_bandwidth: Figure | None = None
    """Bytes a second that one thread reads."""
    triad_bandwidth: Figure | None = None
    """Bytes a second of two streams read and one written at once, without what a cache fetches before it is written."""


@dataclass(frozen=True, slots=True)
class Link:
    """What joins a GPU to the machine or to its like: `PCIe 4.0 x16`, `NVLink 4`."""

    name: str
    bandwidth: Figure | None = None
    """Bytes a second in one direction."""


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU."""

    name: str
    vendor: str
    """`nvidia`, `amd`, `apple`, `intel`: the name of the file that finds them here. `vulkan` for any other."""
    memory_total_bytes: int
    """Where memory is unified, all that the GPU may address."""
    memory_free_bytes: int
    """Where memory is unified, what the GPU may take of what is available now."""
    compute_capability: str | None = None
    """NVIDIA's compute capability (`8.9`), AMD's target (`gfx1100`)."""
    driver: str | None = None
    bandwidth: Figure | None = None
    """Bytes a second that its memory gives."""
    half_flops: Figure | None = None
    """Peak dense multiplications and additions of 16-bit floats a second, without sparsity."""
    unified: bool = False
    """Whether its memory is the machine's main memory: then both are one budget."""
    link: Link | None = None
    peer_link: Link | None = None
    power_watts: Figure | None = None


@dataclass(frozen=True, slots=True)
class Disk:
    """Where models are kept."""

    path: Path
    free_bytes: int
    read_bandwidth: Figure | None = None
    """Bytes a second, read in order, past the page cache."""


@dataclass(frozen=True, slots=True)
class Machine:
    """All that models can run on, here or as it was described."""

    processor: Processor
    memory: Memory | None
    """None where a description does not say."""
    devices: tuple[Device, ...]
    notes: tuple[str, ...] = ()
    """What could not be found out, and why."""
    disk: Disk | None = None
    name: str | None = None
    """What it was described as; None for the machine that we run on."""
