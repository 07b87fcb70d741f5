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
from collections.abc import Mapping, Sequence
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
# What may be there or not without changing how much is computed with: results are made in place, or outside of a step.
_HARMLESS = frozenset({
    "output.weight", "rope_freqs.weight", ".rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight",
    ".attn_q_norm.weight", ".attn_k_norm.weight", ".exp_probs_b.weight", ".attn_rot_embd.weight", ".attn_sinks.weight",
    ".layer_out_scale.weight", ".attn_output.scale", ".ffn_down.scale", ".ffn_gate.scale", ".ffn_up.scale",
})  # fmt: skip
_PREDICTING = ".nextn."
# Nothing is rotated; keys are; keys and values are.
CACHES = ("plain", "keys", "both")
_ROTATION = 64
# Kinds of layers whose graph is the same but for its sizes.
_ALIKE = {"full": "attention", "grouped_query": "attention", "sliding_window": "attention", "chunked": "attention"}
_CELLS_STEP = 256
# The processor back-end's buffers begin at multiples of this, and so do blocks in them (ggml-cpu, TENSOR_ALIGNMENT).
_ALIGNMENT = 32
_TERM = re.compile(r"([+-]?)([^+-]+)")
_FACTOR = re.compile(r"([*/]?)([^*/]+)")


def cells_of(context_tokens: int) -> int:
    """Cells that hold so many tokens: llama.cpp reserves them in steps of 256 (llama-context.cpp, GGML_PAD)."""
    return -(-context_tokens // _CELLS_STEP) * _CELLS_STEP


def rotation_of(key_length: int) -> int:
    """The width of the matrix that quantized keys are rotated by: the largest power of two from 64 on that divides a
    head's length, 0 where there is none (llama-kv-cache.cpp, build_input_k_rot)."""
    width = 0
    while key_length and key_length % (2 * width or _ROTATION) == 0:
        width = 2 * width or _ROTATION
    return width


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
    found |= {
        "tokens": step.tokens,
        "cells": cells_of(step.context_tokens),
        "window_cells": step.window_cells(window),
        "sequences": step.parallel,
        "sequence_tokens": step.tokens // step.parallel,
        "rotation": rotation_of(found.get("attention.key_length", 0)),
        "outputs": step.outputs,
        "vocabulary": facts.vocabulary_size or 0,
        "block_count": len(facts.layers),
        # Values of state a sequence.
        "convolution_state": max((each.convolution_state for each in facts.layers), default=0),
        "recurrent_state": max((each.recurrent_state for each in facts.layers), default=0),
    }
    return found


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


def label_of(layer: Layer, has_experts: bool) -> str:
    """The kind of a layer, as far as the form of its graph goes."""
    kind = _ALIKE.get(layer.kind, layer.kind)
    return f"{kind}{' window' if layer.window_tokens else ''}{' experts' if has_experts else ''}"


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
    with_experts = {name.split(".", 2)[1] for name in named if "_exps" in name and name.startswith("blk.")}
    labels = tuple(label_of(layer, str(number) in with_experts) for number, layer in enumerate(facts.layers))
    groups = facts.dimensions.get("expert_group_count", 0)
    if facts.dimensions.get("n_deepstack_layers"):
        # Pictures come in at several layers, whatever tensors there are.
        tensors |= {DEEPSTACK}
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
        counts = []
        for axes in every:
            count = 1
            for axis in axes:
                total = 0
                for sign, factors, divisors in axis:
                    term = sign
                    for factor in factors:
                        if factor not in values:
                            values[factor] = self._at(facts, form, step, factor)
                        term *= values[factor]
                    for divisor in divisors:
                        if divisor not in values:
                            values[divisor] = self._at(facts, form, step, divisor)
                        term //= values[divisor]
                    total += term
                count *= max(0, total)
            counts.append(count)
        return counts

    def _at(self, facts: Sized, form: Form, step: Step, factor: str) -> int:
        """A number as it is written, or a dimension as the model's layers of this kind have it, the largest of them."""
        if factor.isdigit():
            return int(factor)
        name, _, layer = factor.partition("@")
        if not layer:
            raise KeyError(name)
        label = self.form.layers[min(int(layer), len(self.form.layers) - 1)]
        alike = [number for number, kind in enumerate(form.layers) if kind == label]
        return max((symbols(facts, step, number)[name] for number in alike), default=0)


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
    return _find(form, member_of(form.architecture, step.way, flash=step.flash_attention), step.cache)


@lru_cache(maxsize=4096)
def _find(form: Form, member: str, rotates: str) -> tuple[Recording, ...]:
    kinds = set(form.layers)
    # Where a family was not recorded with rotations, it makes none.
    caches = (rotates, "plain")
    ranked: dict[tuple[int, int, float], list[int]] = {}
    for number, entry in enumerate(_entries(member)):
        if entry["cache"] not in caches:
            continue
        recorded = _form(member, number)
        if (recorded.used_experts, recorded.grouped_experts) != (form.used_experts, form.grouped_experts):
            continue
        if set(recorded.layers) != kinds:
            continue
        differing = recorded.tensors ^ form.tensors if form.tensors else frozenset()
        if not all(map(_is_harmless, differing)):
            continue
        rank = caches.index(entry["cache"]), len(differing), round(_unlike(recorded.layers, form.layers), 6)
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
