"""`Split`: how a model is cut among GPUs, in slices of its matrices and in stages of its layers."""

from __future__ import annotations

from typing import NamedTuple

from weighbridge.facts import ModelFacts
from weighbridge.fit.heads import kv_heads

from .settings import Settings


class Split(NamedTuple):
    """How a model is cut: the settings, and what must be known of its heads."""

    settings: Settings
    kv_heads: tuple[int, ...]
    """Heads that keep keys, by layer; 1 where they are kept once for all."""
    stages: tuple[range, ...]
    largest_graph: int = 512

    @property
    def ways(self) -> int:
        """Into how many slices each matrix is cut."""
        return self.settings.tensor_parallel

    def kv_ways(self, layer: int | None) -> int:
        """By how much keys and values are divided: beyond the number of heads they are copied (linear.py,
        QKVParallelLinear)."""
        heads = min(self.kv_heads) if layer is None or layer >= len(self.kv_heads) else self.kv_heads[layer]
        return min(self.ways, heads)


def cut(facts: ModelFacts, settings: Settings, notes: list[str]) -> Split:
    """How the model is cut. Where heads are not told, every GPU is taken to keep all keys: never too little."""
    heads = kv_heads(facts)
    if None in heads and settings.tensor_parallel > 1:
        notes.append("how many heads keep keys is not told by its files: each GPU is taken to keep all of them")
    counts = tuple(max(1, known or 1) for known in heads)
    return Split(settings, counts, stages_of(len(facts.layers), settings.pipeline_parallel))


def stages_of(layers: int, count: int) -> tuple[range, ...]:
    """Layers of each pipeline stage: equal parts, and what is left over from the last but one backwards
    (distributed/utils.py, get_pp_indices): 62 layers on 4 GPUs are 15, 16, 16, 15."""
    sizes = [layers // count] * count
    for index in range(2, layers % count + 2):
        sizes[-index] += 1
    starts = [sum(sizes[:index]) for index in range(count + 1)]
    return tuple(range(starts[index], starts[index + 1]) for index in range(count))
