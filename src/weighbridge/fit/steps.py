"""`Step`: the largest step that a context is made for, and its dimensions and a model's by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from weighbridge.facts import Layer

from .workload import PLAIN_CACHE_TYPES

# Nothing is rotated; keys are; keys and values are.
CACHES = ("plain", "keys", "both")
_UNKNOWN_CACHE = "unknown"
_ROTATION = 64
CELLS_STEP = 256
"""Cells of a cache are reserved in steps of so many (llama-context.cpp, GGML_PAD)."""
# Entries of pooled keys are reserved in these steps; DeepSeek-V4's stand for so many tokens.
_POOLED_STEP = 64
_FINE, _COARSE = 4, 128


def cells_of(context_tokens: int) -> int:
    """Cells that hold so many tokens."""
    return -(-context_tokens // CELLS_STEP) * CELLS_STEP


def rotation_of(key_length: int) -> int:
    """The width of the matrix that quantized keys are rotated by: the largest power of two from 64 on that divides a
    head's length, 0 where there is none (llama-kv-cache.cpp, build_input_k_rot)."""
    width = 0
    while key_length and key_length % (2 * width or _ROTATION) == 0:
        width = 2 * width or _ROTATION
    return width


def rotated_of(facts: Sized, type_k: str | None, type_v: str | None) -> str:
    """Which parts of the cache are rotated with these types, one of CACHES, or none of them where that is not known.

    Quantized keys are where the first layer's heads are a multiple of 64 long; values likewise. Layers with a window
    have a cache of their own (llama-kv-cache.cpp, attn_rot_k): where only one has such heads, nothing was recorded.
    """
    if not any(layer.keys for layer in facts.layers):
        return "plain"
    has_values = any(layer.values for layer in facts.layers)
    lengths = facts.dimensions
    if not has_values and lengths.get("attention.indexer.key_length") == lengths.get("attention.key_length"):
        # Then latents are taken for an indexer's keys, which are always rotated.
        return _UNKNOWN_CACHE
    if type_k not in PLAIN_CACHE_TYPES and any(layer.tokens_per_entry > 1 for layer in facts.layers):
        # Quantized entries are put together while a step is computed, which was not recorded.
        return _UNKNOWN_CACHE
    keys = type_k not in PLAIN_CACHE_TYPES and _is_rotated(facts, "key")
    # A latent is kept as keys alone.
    values = type_v not in PLAIN_CACHE_TYPES and has_values and _is_rotated(facts, "value")
    if keys is None or values is None or (values and not keys):
        return _UNKNOWN_CACHE
    return "both" if values else "keys" if keys else "plain"


def _is_rotated(facts: Sized, part: str) -> bool | None:
    """Whether heads' keys or values are as long as rotations ask for; None where some are."""
    length = facts.dimensions.get(f"attention.{part}_length", 0)
    in_window = facts.dimensions.get(f"attention.{part}_length_swa", length)
    if isinstance(length, tuple) or isinstance(in_window, tuple):
        return False
    lengths = [in_window if layer.window_tokens else length for layer in facts.layers]
    if not rotation_of(lengths[0]):
        return False
    return True if all(map(rotation_of, lengths)) else None


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
    cache: str = "plain"
    """Whether the graph rotates what goes into the cache, as it does with quantized ones: one of CACHES."""

    @property
    def sequence_tokens(self) -> int:
        """Computed at once of each sequence: as many of all (llama-context.cpp, graph_reserve)."""
        return -(-self.tokens // self.parallel)

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


def symbols(facts: Sized, step: Step, layer: int | None = None) -> dict[str, int]:
    """The dimensions by name; those that differ between layers as this layer has them, or the largest of all."""
    found: dict[str, int] = {}
    for name, value in facts.dimensions.items():
        if isinstance(value, tuple):
            found[name] = value[layer] if layer is not None and layer < len(value) else max(value, default=0)
        else:
            found[name] = value
    key_length = found.get("attention.key_length_mla") or found.get("attention.key_length", 0)
    if found.get("attention.kv_lora_rank") and key_length > (rotary := found.get("rope.dimension_count", 0)):
        # The part of a head's keys that is not rotated.
        found["nope_length"] = key_length - rotary
    windows = [each.window_tokens for each in facts.layers if each.window_tokens]
    window = (
        max(windows, default=None) if layer is None or layer >= len(facts.layers) else facts.layers[layer].window_tokens
    )
    window_length = found.get("attention.key_length_swa", 0)
    embedding = found.get("embedding_length", 0)
    found |= {
        "tokens": step.sequence_tokens * step.parallel,
        "cells": cells_of(step.context_tokens),
        "window_cells": step.window_cells(window),
        "sequences": step.parallel,
        "sequence_tokens": step.sequence_tokens,
        "rotation": rotation_of(found.get("attention.key_length", 0)),
        # Layers with a window have a cache of their own, and it a rotation, where their heads have another length.
        "window_rotation": 0 if window_length == found.get("attention.key_length", 0) else rotation_of(window_length),
        "widest_values": max((each.values for each in facts.layers), default=0),
        # Of RWKV, and of PLaMo 2 (models/plamo2.cpp, dt_dim).
        "wkv_heads": embedding // (found.get("wkv.head_size") or embedding + 1),
        "time_step_width": max(64, embedding // 16) if found.get("ssm.group_count", 1) == 0 else 0,
        "outputs": step.outputs,
        "vocabulary": facts.vocabulary_size or 0,
        "block_count": len(facts.layers),
        # Values of state a sequence.
        "convolution_state": max((each.convolution_state for each in facts.layers), default=0),
        "recurrent_state": max((each.recurrent_state for each in facts.layers), default=0),
    }
    if any(layer.tokens_per_entry > 1 for layer in facts.layers):
        return found | _compressed(found, step, window)
    return found | _chosen(found, facts, step)


def compress_ratios(facts: Sized) -> tuple[int, ...]:
    """For how many tokens an entry stands, layer by layer."""
    ratios = facts.dimensions.get("attention.compress_ratios", ())
    return ratios if isinstance(ratios, tuple) else (ratios,)


def _chosen(found: Mapping[str, int], facts: Sized, step: Step) -> dict[str, int]:
    """How many tokens attention chooses, where it does, or entries that stand for several of them."""
    cells, most = cells_of(step.context_tokens), found.get("attention.indexer.top_k", 0)
    if not most:
        return {}
    pooled = found.get("attention.indexer.kpool") or max(compress_ratios(facts), default=0)
    if not pooled:
        return {"chosen_tokens": min(most, cells)}
    # One entry more is for tokens that are too few yet.
    entries = cells * step.parallel // pooled
    rounded = (entries // _POOLED_STEP + 1) * _POOLED_STEP
    chosen = min(most // pooled, rounded)
    return {
        "pooled": entries,
        "pooled_entries": rounded,
        "chosen_entries": chosen,
        "chosen_tokens": pooled * chosen,
        "unpooled": pooled - 1,
    }


def _compressed(found: Mapping[str, int], step: Step, window_tokens: int | None) -> dict[str, int]:
    """What can become entries of DeepSeek-V4's caches at once, what is read for them, and what is kept of them
    (llama-kv-cache-dsv4.cpp, dsv4_build_reserve_comp_plan). Each sequence has a window of its own."""
    tokens, cells = found["tokens"], cells_of(step.context_tokens)
    fine, coarse = (cells_of(-(-cells // ratio)) for ratio in (_FINE, _COARSE))
    written = tokens // _COARSE + step.parallel
    return {
        "fine_entries": fine,
        "coarse_entries": coarse,
        "chosen_entries": min(found.get("attention.indexer.top_k", 0), fine),
        "fine_written": tokens // _FINE + step.parallel,
        "coarse_written": written,
        "coarse_read": written * _COARSE,
        "coarse_kept": min(tokens, step.parallel * _COARSE),
        "coarse_beside": tokens + step.parallel * _COARSE,
        "own_window_cells": min(cells, cells_of((window_tokens or 0) + step.tokens)),
    }


class Sized(Protocol):
    """What has dimensions: facts of a model, or a catalogue's entry."""

    @property
    def dimensions(self) -> Mapping[str, int | tuple[int, ...]]:
        """Lengths and counts by GGUF's names."""
        ...

    @property
    def layers(self) -> tuple[Layer, ...]:
        """What each layer keeps."""
        ...

    @property
    def vocabulary_size(self) -> int | None:
        """How many tokens there are."""
        ...
