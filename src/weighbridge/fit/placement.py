"""`Placement`: where the parts of a model are computed."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby


@dataclass(frozen=True, slots=True)
class Placement:
    """Where each part of a model is computed: an index into `Machine.devices`, or None for the processor."""

    layers: tuple[int | None, ...]
    output: int | None = None
    experts_on_host: int = 0
    """So many of the first layers leave their routed experts in main memory (`--n-cpu-moe`)."""
    devices: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """The devices that take part, in the order in which they do."""
    runs: tuple[tuple[int | None, int, int], ...] = field(init=False, repr=False, compare=False)
    """The same layers as runs: where, from which layer on, and up to which."""

    def __post_init__(self) -> None:
        """Sum up."""
        runs, end = [], 0
        for place, run in groupby(self.layers):
            start, end = end, end + len(list(run))
            runs.append((place, start, end))
        places = [*(place for place, _, _ in runs), self.output]
        object.__setattr__(self, "runs", tuple(runs))
        object.__setattr__(self, "devices", tuple(dict.fromkeys(index for index in places if index is not None)))

    @property
    def gpu_layers(self) -> int:
        """llama.cpp's `--n-gpu-layers`: the last layers, and the output as one more."""
        return sum(index is not None for index in (*self.layers, self.output))

    @property
    def tensor_split(self) -> tuple[int, ...]:
        """llama.cpp's `--tensor-split`: how many layers each device has, the output counted as one."""
        everything = (*self.layers, self.output)
        return tuple(everything.count(index) for index in self.devices)

    @property
    def on_devices_alone(self) -> bool:
        """Whether all layers and the output are on devices."""
        return None not in self.layers and self.output is not None

    @property
    def pipelined(self) -> bool:
        """Whether inputs are kept for several steps (llama-context.cpp, pipeline_parallel)."""
        return len(self.devices) > 1 and self.on_devices_alone and not self.experts_on_host
