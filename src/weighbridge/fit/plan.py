"""`Plan`: how a model would be run, what that takes, and its `Verdict`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from weighbridge.errors import DoesNotFit
from weighbridge.facts import ModelFacts
from weighbridge.figures import Basis
from weighbridge.sizes import show_against, show_bytes

from .memory import DeviceNeed, MemoryNeed
from .placement import Placement
from .speed import Speed
from .workload import Workload

# Below this share of what is available a plan fits; between it and all of it, it is tight.
COMFORTABLE = 0.9


class Verdict(StrEnum):
    """Whether it runs: `fits`, `tight` (over nine tenths of what is available), or `no`."""

    FITS = "fits"
    TIGHT = "tight"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Plan:
    """How a model would be run, what that takes, and whether the machine has it."""

    facts: ModelFacts
    engine: str
    engine_version: str
    """What the figures of memory were taken from."""
    workload: Workload
    """As it would be run: with the context and the cache types that were chosen."""
    context_tokens: int
    """The context of each sequence."""
    threads: int
    embeddings: bool
    """Whether the engine also gives embeddings, which makes every token of a prompt an output."""
    memory: MemoryNeed
    """Of all devices together."""
    devices: tuple[DeviceNeed, ...]
    """Main memory first, then each GPU that takes part."""
    placement: Placement | None
    verdict: Verdict
    largest_context: int | None
    """The longest context of each sequence that fits in any place, at most the model's own; None: none does."""
    speed: Speed | None
    remedies: tuple[str, ...] = ()
    """What would make it fit, or fit with room to spare."""
    basis: Basis = Basis.COMPUTED
    notes: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    """Of the engine's command line, where it is another program."""
    unified: frozenset[int] = frozenset()
    """Devices whose memory is main memory."""
    largest_context_as_placed: int | None = None
    """The longest that fits where the parts are now; a longer one may be slower. None: none does, or nobody asked."""

    @property
    def available_bytes(self) -> int:
        """What the devices that take part have, together; memory that two of them share is counted once."""
        own = [need for need in self.devices if need.index not in self.unified]
        return sum(need.available_bytes or 0 for need in own or self.devices)

    def ensure_fits(self) -> None:
        """DoesNotFit with the sum, unless the verdict is `fits` or `tight`."""
        if self.verdict is not Verdict.NO:
            return
        need = self.memory
        parts = f"weights {show_bytes(need.weights)} + cache {show_bytes(need.kv_cache + need.recurrent_state)}"
        rest = need.total - need.weights - need.kv_cache - need.recurrent_state
        hint = "choose a smaller quantization, or end other programs"
        if self.remedies:
            hint = "; or ".join(self.remedies)
        elif self.largest_context:
            hint = f"it fits at {self.largest_context:,} tokens: --context {self.largest_context}"
        total, available = show_against(need.total, self.available_bytes)
        raise DoesNotFit(
            f"{self.facts.name} needs {total} at {self.context_tokens:,} tokens x "
            f"{self.workload.parallel} ({parts} + buffers {show_bytes(rest)}), "
            f"{available} are available",
            hint=hint,
        )


def verdict_of(share: float) -> Verdict:
    """What the largest share of a budget that is taken amounts to."""
    if share <= COMFORTABLE:
        return Verdict.FITS
    return Verdict.TIGHT if share <= 1 else Verdict.NO
