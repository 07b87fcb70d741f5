"""`MemoryNeed`: bytes by component; `DeviceNeed`: those of one device, beside what it has."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Bytes by component, as llama.cpp names its buffers."""

    weights: int = 0
    repack: int = 0
    """A second copy of matrices, interleaved for the processor."""
    kv_cache: int = 0
    recurrent_state: int = 0
    compute: int = 0
    """Activations of one step."""
    output: int = 0
    """Rows of scores, and of embeddings where they are given."""
    overhead: int = 0
    """The engine's process, and what a driver keeps for it."""
    projector: int = 0
    """A projector for images or sound: weights and buffer."""
    draft: int = 0
    """A second, smaller model that proposes tokens: all that it takes beside the process."""

    @property
    def total(self) -> int:
        """The sum."""
        return sum(getattr(self, component.name) for component in fields(self))

    def __add__(self, other: MemoryNeed) -> MemoryNeed:
        return MemoryNeed(*(getattr(self, part.name) + getattr(other, part.name) for part in fields(self)))


@dataclass(frozen=True, slots=True)
class DeviceNeed:
    """What one device must hold, and what it can."""

    name: str
    index: int | None
    """Its place in `Machine.devices`; None for main memory."""
    memory: MemoryNeed
    available_bytes: int | None
    """None where the machine's description does not say."""
    layers: int = 0
    """How many of the model's layers are computed there."""

    @property
    def fits(self) -> bool:
        """Whether it can hold its part; what is not known does not stand in the way."""
        return self.available_bytes is None or self.memory.total <= self.available_bytes
