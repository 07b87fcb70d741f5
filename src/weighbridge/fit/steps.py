"""What one step of llama.cpp computes, as it was recorded of the engine: which block is allocated and released when.

`llama_cpp_steps.zip` is written by `tests/fit/record_steps.py`, which asks the engine about made files of every
architecture. A recording has the order of allocations and releases, which follows from the form of the architecture's
graph alone, and a formula for each size, in the model's dimensions by GGUF's names and in those of the step: `tokens`
computed at once, `cells` of the cache, `window_cells` of layers with a window, `sequences`, `outputs`, `vocabulary`.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Protocol

from weighbridge.facts import Layer, ModelFacts

from .allocation import peak
from .spreading import Graph, unpacked

RECORDINGS = Path(__file__).with_name("llama_cpp_steps.zip")
ENGINE = "engine"
DEEPSTACK = "+deepstack"
POOLED = "+pooled"
# What may be there or not without changing how much is computed with: results are made in place, or outside of a step.
_HARMLESS = frozenset({
    "output.weight", "rope_freqs.weight", ".rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight",
    ".attn_q_norm.weight", ".attn_k_norm.weight", ".exp_probs_b.weight", ".attn_rot_embd.weight", ".attn_sinks.weight",
    ".layer_out_scale.weight", ".attn_output.scale", ".ffn_down.scale", ".ffn_gate.scale", ".ffn_up.scale",
})  # fmt: skip
_PREDICTING = ".nextn."
# Nothing is rotated; keys are; keys and values are.
CACHES = ("plain", "keys", "both")
_UNKNOWN_CACHE = "unknown"
# Types that are not quantized.
_FLOATS = (None, "f32", "f16", "bf16")
_ROTATION = 64
# Beside a layer's kind: its values are shorter than the longest, so that they are lengthened where the cache keeps them
# transposed, without flash attention (llama-kv-cache.cpp, TAG_V_CACHE_VARIABLE); its keys serve as values too.
_PADDED, _KEYS_ONLY, _HASHED = " padded", " keys only", " hashed"
# Kinds of layers whose graph is the same but for its sizes.
_ALIKE = {"full": "attention", "grouped_query": "attention", "sliding_window": "attention", "chunked": "attention"}
CELLS_STEP = 256
"""Cells of a cache are reserved in steps of so many (llama-context.cpp, GGML_PAD)."""
# Entries of pooled keys are reserved in these steps; DeepSeek-V4's stand for so many tokens.
_POOLED_STEP = 64
_FINE, _COARSE = 4, 128
# The processor back-end's buffers begin at multiples of this, and so do blocks in them (ggml-cpu, TENSOR_ALIGNMENT).
_ALIGNMENT = 32
_TERM = re.compile(r"([+-]?)([^+-]+)")
_FACTOR = re.compile(r"([*/]?)([^*/]+)")


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
    if type_k not in _FLOATS and any(layer.tokens_per_entry > 1 for layer in facts.layers):
        # Quantized entries are put together while a step is computed, which was not recorded.
        return _UNKNOWN_CACHE
    keys = type_k not in _FLOATS and _is_rotated(facts, "key")
    # A latent is kept as keys alone.
    values = type_v not in _FLOATS and has_values and _is_rotated(facts, "value")
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


def _ratios(facts: Sized) -> tuple[int, ...]:
    """For how many tokens an entry stands, layer by layer."""
    ratios = facts.dimensions.get("attention.compress_ratios", ())
    return ratios if isinstance(ratios, tuple) else (ratios,)


def _chosen(found: Mapping[str, int], facts: Sized, step: Step) -> dict[str, int]:
    """How many tokens attention chooses, where it does, or entries that stand for several of them."""
    cells, most = cells_of(step.context_tokens), found.get("attention.indexer.top_k", 0)
    if not most:
        return {}
    pooled = found.get("attention.indexer.kpool") or max(_ratios(facts), default=0)
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


@dataclass(frozen=True, slots=True)
class Form:
    """What the form of a model's graph depends on."""

    architecture: str
    layers: tuple[str, ...]
    """The kinds of its layers, in their order."""
    tensors: frozenset[str]
    """The names of its tensors, with the layers' numbers left out; empty where no file is at hand."""
    used_experts: int
    """0, 1, or 2 for more than one."""
    grouped_experts: bool

    def kinds(self, flash: bool, of: Form) -> tuple[str, ...]:
        """The kinds of layers as far as they make a difference with or without flash attention, and as far as they can
        be known of a model that has this form."""
        return _kinds(self.layers, (_PADDED,) * flash if of.tensors else (_PADDED, _KEYS_ONLY, _HASHED))


@lru_cache(maxsize=4096)
def _kinds(layers: tuple[str, ...], ignored: tuple[str, ...]) -> tuple[str, ...]:
    for suffix in ignored:
        layers = tuple(label.replace(suffix, "") for label in layers)
    return layers


def label_of(layer: Layer, has_experts: bool, special: str = "") -> str:
    """The kind of a layer, as far as the form of its graph goes; `special` is what only a file tells."""
    kind = _ALIKE.get(layer.kind, layer.kind)
    if layer.tokens_per_entry > 1:
        kind += f" {layer.tokens_per_entry}"
    return f"{kind}{' window' if layer.window_tokens else ''}{special}{' experts' if has_experts else ''}"


def _labels(layers: Sequence[Layer], tensors: Mapping[str, frozenset[str]]) -> Iterator[str]:
    """The kinds of layers, whose tensors are given by the layer's number."""
    widest = max((layer.values for layer in layers), default=0)
    for number, layer in enumerate(layers):
        names = tensors.get(str(number), frozenset())
        # A token's experts are looked up.
        special = _HASHED * ("ffn_gate_tid2eid.weight" in names)
        has_keys_only = "attn_k.weight" in names and "attn_v.weight" not in names
        special += _PADDED * (0 < layer.values < widest) + _KEYS_ONLY * has_keys_only
        yield label_of(layer, any("_exps" in name for name in names), special)


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


def answering(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Without the last layers that keep nothing: those that predict further tokens are not in the graph."""
    count = len(labels)
    while count > 1 and labels[count - 1].startswith("none"):
        count -= 1
    return labels[:count]


def form_of(facts: ModelFacts) -> Form:
    """The form of a model's graph."""
    named = {tensor.name for tensor in facts.tensors}
    # `blk.17.attn_q.weight` is `.attn_q.weight` of any layer.
    tensors = frozenset(name[name.find(".", 4) :] if name.startswith("blk.") else name for name in named)
    by_layer: dict[str, set[str]] = {}
    for name in named:
        if name.startswith("blk."):
            _, number, rest = name.split(".", 2)
            by_layer.setdefault(number, set()).add(rest)
    labels = tuple(_labels(facts.layers, {number: frozenset(names) for number, names in by_layer.items()}))
    groups = facts.dimensions.get("expert_group_count", 0)
    if facts.dimensions.get("n_deepstack_layers"):
        # Pictures come in at several layers, whatever tensors there are.
        tensors |= {DEEPSTACK}
    if any(_ratios(facts)) and any(layer.index_keys for layer in facts.layers):
        # What attention chooses among stands for several tokens.
        tensors |= {POOLED}
    return Form(
        facts.architecture, answering(labels), tensors, min(facts.experts.used, 2) if facts.experts else 0,
        isinstance(groups, int) and groups > 1,
    )  # fmt: skip


# A sum of products: for each its sign, its factors and its divisors, each a number or a dimension's name.
Axis = tuple[tuple[int, tuple[str, ...], tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Recording:
    """The steps of one architecture's graph, for one way of attention and of sharing the cache."""

    form: Form
    flash_attention: bool
    way: str
    cache: str
    steps: tuple[int, ...]
    sizes: tuple[tuple[int, tuple[Axis, ...]], ...]
    """Bytes of a value, and the axes whose product is how many there are."""
    member: str = ""
    number: int = 0
    """Where in the archive it lies."""

    @property
    def graph(self) -> Graph | None:
        """What is computed from what, for devices; None where that was not recorded."""
        return _graph(self.member, self.number)[0]

    @property
    def graph_sizes(self) -> tuple[tuple[str, tuple[Axis, ...]], ...]:
        """For each size that the graph names: bytes of a value, `k` or `v` where it is as the cache's keys or values
        are, or the name of a weight; and the axes."""
        return _graph(self.member, self.number)[1]

    def peak(self, facts: Sized, form: Form, step: Step) -> int:
        """Bytes of the compute buffer for this model; KeyError where it lacks a dimension that the formulas name."""
        counts = self.counts(facts, form, step, [axes for _, axes in self.sizes])
        sizes = [
            -(-count * value_bytes // _ALIGNMENT) * _ALIGNMENT
            for (value_bytes, _), count in zip(self.sizes, counts, strict=True)
        ]
        return peak(self.steps, sizes)

    def counts(self, facts: Sized, form: Form, step: Step, every: Sequence[tuple[Axis, ...]]) -> list[int]:
        """How many values there are along each of these axes, multiplied."""
        values = dict(symbols(facts, step))
        of_layers: dict[str, list[dict[str, int]]] = {}
        counts = []
        for axes in every:
            count = 1
            for axis in axes:
                total = 0
                for sign, factors, divisors in axis:
                    term = sign
                    for factor in factors:
                        if factor not in values:
                            values[factor] = self._at(facts, form, step, factor, of_layers)
                        term *= values[factor]
                    for divisor in divisors:
                        if divisor not in values:
                            values[divisor] = self._at(facts, form, step, divisor, of_layers)
                        term //= values[divisor]
                    total += term
                count *= max(0, total)
            counts.append(count)
        return counts

    def _at(self, facts: Sized, form: Form, step: Step, factor: str, of_layers: dict[str, list[dict[str, int]]]) -> int:
        """A number as it is written, or a dimension as the model's layers of this kind have it, the largest of them.

        `of_layers` keeps what each kind's layers have."""
        if factor.isdigit():
            return int(factor)
        name, _, layer = factor.partition("@")
        if not layer:
            raise KeyError(name)
        theirs, mine = self.form.kinds(self.flash_attention, form), form.kinds(self.flash_attention, form)
        label = theirs[min(int(layer), len(theirs) - 1)]
        if label not in of_layers:
            # Layers of a kind differ in their windows and in what is listed layer by layer, if at all.
            listed = [value for value in facts.dimensions.values() if isinstance(value, tuple)]
            layers = facts.layers
            differing = {
                (
                    layers[number].window_tokens if number < len(layers) else 0,
                    *(value[number] if number < len(value) else None for value in listed),
                ): number
                for number, kind in enumerate(mine)
                if kind == label
            }
            of_layers[label] = [symbols(facts, step, number) for number in differing.values()]
        return max((values[name] for values in of_layers[label]), default=0)


def _axis(text: str) -> Axis:
    """`2*tokens/sequences-1` taken apart."""
    terms = []
    for sign, term in _TERM.findall(text):
        factors = [(operator, name) for operator, name in _FACTOR.findall(term)]
        above = tuple(name for operator, name in factors if operator != "/")
        below = tuple(name for operator, name in factors if operator == "/")
        terms.append((-1 if sign == "-" else 1, above, below))
    return tuple(terms)


def _graph_size(text: str) -> tuple[str, tuple[Axis, ...]]:
    kind, *axes = text.split()
    # A weight's name is no formula.
    return (text, ()) if kind == "weight" else (kind, tuple(_axis(axis) for axis in axes))


@cache
def _archive() -> zipfile.ZipFile:
    return zipfile.ZipFile(RECORDINGS)


@cache
def engine_version() -> str:
    """The engine that the recordings were made of."""
    return _archive().read(ENGINE).decode()


def member_of(architecture: str, way: str, *, flash: bool, graphs: bool = False) -> str:
    """The name in the archive of these recordings, or of their graphs, one for each recording in its order."""
    return f"{architecture}/{way}-{'flash' if flash else 'plain'}{'-graphs' if graphs else ''}.json"


@cache
def _entries(member: str) -> list[Any]:
    """What a member of the archive lists; nothing where there is no such member."""
    try:
        found: list[Any] = json.loads(_archive().read(member))
    except KeyError:
        return []
    return found


def is_recorded(architecture: str) -> bool:
    """Whether the engine was asked about this architecture at all."""
    return any(name.startswith(f"{architecture}/") for name in _archive().namelist())


@cache
def _form(member: str, number: int) -> Form:
    form = _entries(member)[number]["form"]
    return Form(
        form["architecture"], answering(tuple(form["layers"])), frozenset(form["tensors"]), form["used_experts"],
        form["grouped_experts"],
    )  # fmt: skip


@cache
def _recording(member: str, number: int) -> Recording:
    entry = _entries(member)[number]
    return Recording(
        _form(member, number), entry["flash"], entry["way"], entry["cache"], tuple(entry["steps"]),
        tuple((int(size.split()[0]), tuple(_axis(axis) for axis in size.split()[1:])) for size in entry["sizes"]),
        member, number,
    )  # fmt: skip


@cache
def _graph(member: str, number: int) -> tuple[Graph | None, tuple[tuple[str, tuple[Axis, ...]], ...]]:
    graphs = _entries(member.replace(".json", "-graphs.json"))
    found = graphs[number] if number < len(graphs) else None
    return (unpacked(found), tuple(_graph_size(size) for size in found["sizes"])) if found else (None, ())


def find(form: Form, step: Step) -> tuple[Recording, ...]:
    """The recordings whose graph is this model's: of the same architecture, with the same kinds of layers, as many
    experts at work and the same tensors, but for some that change nothing. Several where they can't be told apart: then
    the one that takes most counts. None where there is none: then nothing is known."""
    flash = step.flash_attention
    return _find(form, member_of(form.architecture, step.way, flash=flash), flash, step.cache)


@lru_cache(maxsize=4096)
def _find(form: Form, member: str, flash: bool, cache: str) -> tuple[Recording, ...]:
    layers = form.kinds(flash, form)
    kinds = set(layers)
    ranked: dict[tuple[int, float], list[int]] = {}
    for number, entry in enumerate(_entries(member)):
        if entry["cache"] != cache:
            continue
        recorded = _form(member, number)
        if (recorded.used_experts, recorded.grouped_experts) != (form.used_experts, form.grouped_experts):
            continue
        theirs = recorded.kinds(flash, form)
        if set(theirs) != kinds:
            continue
        differing = recorded.tensors ^ form.tensors if form.tensors else frozenset()
        if not all(map(_is_harmless, differing)):
            continue
        rank = len(differing), round(_unlike(theirs, layers), 6)
        ranked.setdefault(rank, []).append(number)
    return tuple(_recording(member, number) for number in ranked[min(ranked)]) if ranked else ()


def _is_harmless(tensor: str) -> bool:
    """Whether a tensor that one has and the other lacks leaves all sizes as they are: each was tried in the engine."""
    return tensor.endswith(".bias") or tensor.startswith(_PREDICTING) or tensor in _HARMLESS


def _unlike(one: tuple[str, ...], other: tuple[str, ...]) -> float:
    """By how much the shares of kinds of layers differ, and whether they begin alike."""
    kinds = {*one, *other}
    apart = sum(abs(one.count(kind) / len(one) - other.count(kind) / len(other)) for kind in kinds)
    return apart + (one[0] != other[0])
