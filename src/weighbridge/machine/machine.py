"""`Machine`: what there is to run models on. Unknown is None."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Processor:
    """The processor: name, cores that compute on their own, threads we may use, instruction sets by ggml's names."""

    model: str | None
    physical_cores: int | None
    usable_threads: int
    instruction_sets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Memory:
    """Main memory in bytes; `available` is what can be had now without swapping, inside the cgroup's limit."""

    total_bytes: int
    available_bytes: int
    cgroup_limit_bytes: int | None


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU with memory of its own."""

    name: str
    vendor: str
    memory_total_bytes: int
    memory_free_bytes: int
    compute_capability: str | None
    driver: str | None


@dataclass(frozen=True, slots=True)
class Machine:
    """All that models can run on here."""

    processor: Processor
    memory: Memory
    devices: tuple[Device, ...]
    notes: tuple[str, ...] = ()
    """What could not be found out, and why."""
