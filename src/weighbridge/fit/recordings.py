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
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from .allocation import peak
from .forms import Form, answering
from .spreading import Graph, unpacked
from .steps import Sized, Step, symbols

RECORDINGS = Path(__file__).with_name("llama_cpp_steps.zip")
ENGINE = "engine"
# What may be there or not without changing how much is computed with: results are made in place, or outside of a step.
_HARMLESS = frozenset({
    "output.weight", "rope_freqs.weight", ".rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight",
    ".attn_q_norm.weight", ".attn_k_norm.weight", ".exp_probs_b.weight", ".attn_rot_embd.weight", ".attn_sinks.weight",
    ".layer_out_scale.weight", ".attn_output.scale", ".ffn_down.scale", ".ffn_gate.scale", ".ffn_up.scale",
})  # fmt: skip
_PREDICTING = ".nextn."
# The processor back-end's buffers begin at multiples of this, and so do blocks in them (ggml-cpu, TENSOR_ALIGNMENT).
_ALIGNMENT = 32
_TERM = re.compile(r"([+-]?)([^+-]+)")
_FACTOR = re.compile(r"([*/]?)([^*/]+)")


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
