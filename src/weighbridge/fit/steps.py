"""What one step of llama.cpp computes, as it was recorded of the engine: which block is allocated and released when.

`llama_cpp_steps.json.gz` is written by `tests/fit/record_steps.py`, which asks the engine about made files of every
architecture. A recording has the order of allocations and releases, which follows from the form of the architecture's
graph alone, and a formula for each size, in the model's dimensions by GGUF's names and in those of the step: `tokens`
computed at once, `cells` of the cache, `window_cells` of layers with a window, `sequences`, `outputs`, `vocabulary`.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

from weighbridge.facts import Layer, ModelFacts

from .allocation import peak

RECORDINGS = Path(__file__).with_name("llama_cpp_steps.json.gz")
_CELLS_STEP = 256
# The processor back-end's buffers begin at multiples of this, and so do the blocks in them (ggml-cpu, TENSOR_ALIGNMENT).
_ALIGNMENT = 32
_TERM = re.compile(r"([+-]?)([^+-]+)")


def cells_of(context_tokens: int) -> int:
    """Cells that hold so many tokens: llama.cpp reserves them in steps of 256 (llama-context.cpp, GGML_PAD)."""
    return -(-context_tokens // _CELLS_STEP) * _CELLS_STEP


@dataclass(frozen=True, slots=True)
class Step:
    """The largest step that a context is made for."""

    context_tokens: int
    """Of each sequence; of all together where the cache is shared."""
    parallel: int
    tokens: int
    """Computed at once, of all sequences."""
    outputs: int
    """Rows of scores."""
    flash_attention: bool = True
    unified_cache: bool = False
    full_windows: bool = False

    @property
    def way(self) -> str:
        """How sequences share the cache."""
        return "one" if self.parallel == 1 else "shared" if self.unified_cache else "several"

    def window_cells(self, window_tokens: int | None) -> int:
        """Cells of a layer: with a window it keeps that and what one step computes (llama-kv-cache-iswa.cpp)."""
        cells = cells_of(self.context_tokens)
        if not window_tokens or self.full_windows:
            return cells
        kept = window_tokens * (self.parallel if self.unified_cache else 1) + self.tokens
        return min(cells, cells_of(kept))


def symbols(facts: ModelFacts, step: Step, layer: int | None = None) -> dict[str, int]:
    """The dimensions by name; those that differ between layers as this layer has them, or the largest of all."""
    found: dict[str, int] = {}
    for name, value in facts.dimensions.items():
        if isinstance(value, tuple):
            found[name] = value[layer] if layer is not None and layer < len(value) else max(value, default=0)
        else:
            found[name] = value
    windows = [each.window_tokens for each in facts.layers if each.window_tokens]
    window = max(windows, default=None) if layer is None or layer >= len(facts.layers) else facts.layers[layer].window_tokens
    found |= {
        "tokens": step.tokens,
        "cells": cells_of(step.context_tokens),
        "window_cells": step.window_cells(window),
        "sequences": step.parallel,
        "outputs": step.outputs,
        "vocabulary": facts.vocabulary_size or 0,
        "block_count": len(facts.layers),
        # Values of state a sequence.
        "convolution_state": max((each.convolution_state for each in facts.layers), default=0),
        "recurrent_state": max((each.recurrent_state for each in facts.layers), default=0),
    }
    return found


def _label(layer: Layer, has_experts: bool) -> str:
    window = " window" if layer.window_tokens else ""
    return f"{layer.kind}{window}{' experts' if has_experts else ''}"


def form_of(facts: ModelFacts) -> dict[str, Any]:
    """What the form of a model's graph depends on: its layers' kinds in order, and which tensors they have."""
    with_experts = {int(t.name.split(".")[1]) for t in facts.tensors if t.name.startswith("blk.") and "_exps" in t.name}
    labels = [_label(layer, number in with_experts) for number, layer in enumerate(facts.layers)]
    tensors = {re.sub(r"^blk\.\d+\.", "blk.", tensor.name) for tensor in facts.tensors}
    used = facts.experts.used if facts.experts else 0
    groups = facts.dimensions.get("expert_group_count", 0)
    return {
        "architecture": facts.architecture,
        "layers": labels,
        "tensors": sorted(tensors),
        "used_experts": min(used, 2),
        "grouped_experts": isinstance(groups, int) and groups > 1,
    }
