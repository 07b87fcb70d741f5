"""A step's graph as the engine built it, in the form in which `weighbridge.fit.spreading` spreads it over devices."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from tests.facts.gguf_families import Family
from tests.fit.engine import Node
from weighbridge.fit.spreading import (
    AT_INPUT,
    AT_OUTPUT,
    CACHE,
    FLASH,
    FORCED,
    INPUT,
    NOWHERE,
    OUTPUT,
    REPLACES,
    SHY,
    VIEW,
    WEIGHT,
    Graph,
    Tensor,
)  # fmt: skip

# ggml.h, enum ggml_type.
_F32, _Q8_0 = 0, 8
_LEAST_LAYERS, _MOST_LAYERS = (12 if os.environ.get("GRAPHS") == "1" else 6), 32
_VIEWS = ("NONE", "RESHAPE", "VIEW", "PERMUTE", "TRANSPOSE")
_SHY = ("ROPE", "FLASH_ATTN_EXT")
# Some caches are named anew where they are used: `mamba_cache_ssm_states-3`.
_LAYER = re.compile(r"blk\.(\d+)\.|_l(\d+)(?: |$)|-(\d+)(?: |$)")
_CACHED = re.compile(r"cache_\w*?([kv])_l\d+")
_FORCED = re.compile(r"(?:norm|l_last)-(\d+)$")
# llama-arch.cpp, LLM_TENSOR_LAYER_INPUT: they are looked up where the tokens are.
_AT_INPUT = re.compile(r"(token_embd|position_embd|token_types|per_layer_token_embd)\.")
# Loaded with the first layer, though they have no number.
_AT_FIRST = re.compile(r"(per_layer_model_proj|per_layer_proj_norm|conv1d|hrm\.z_l_init)\.")
# So is this, unless it is what the last norm is called by (LFM2).
_FIRST_NORM = "token_embd_norm."


def lengthened(family: Family, labels: Sequence[str]) -> Family:
    """This case with so many layers that each kind comes up four times: then each of two neighbours has two of it, and
    what lives from one such layer to the next is seen; and so many that each of them has some, as it takes a few until
    blocks lie where they lie in all later layers. `labels` are the kinds of its layers; one that is only at the
    beginning stays as it is."""
    keys = dict(family.keys)
    count = keys["block_count"]
    predicting = keys.get("nextn_predict_layers", 0)
    main = count - predicting
    first = next(iter(run := list(next(groupby(labels))[1])), "")
    rest = [label for label in labels[:main] if label != first or label in labels[len(run) : main]]
    times = -(-_LEAST_LAYERS // main)
    if len(set(rest)) > 1:
        times = max(times, -(-4 // min(map(rest.count, rest))))
    times = min(times, max(1, _MOST_LAYERS // main))
    if times == 1:
        return family

    def repeated(listed: Sequence[Any]) -> list[Any]:
        return [*listed[:main], *list(listed[:main]) * (times - 1), *listed[main:]]

    for key, value in keys.items():
        if isinstance(value, list) and len(value) in (main, count):
            keys[key] = repeated(value)
    keys["block_count"] = main * times + predicting
    also = {}
    for name, shape in family.also.items():
        number = re.match(r"blk\.(\d+)\.", name)
        if number is None:
            also[name] = shape
            continue
        layer = int(number[1])
        moved = range(layer, main * times, main) if layer < main else [layer + main * (times - 1)]
        for each in moved:
            also[f"blk.{each}.{name[number.end() :]}"] = shape
    return family._replace(keys=keys, also=also)


def graph_of(nodes: Sequence[Node], leaves: Sequence[Node], sizes: list[Node], rows: list[Node]) -> Graph:
    """The graph; each tensor's size is its place in `sizes`, and what tells its rows its place in `rows`, both of which
    are filled."""
    number: dict[int, int] = {}
    tensors: list[Tensor] = []
    # A tied embedding that is multiplied with is a tensor of its own where the output is computed elsewhere.
    twins: dict[int, int] = {}

    def outside(node: Node) -> bool:
        return node.is_outside and not node.view_of

    def listed(node: Node) -> int:
        key = id(node)
        if key not in number:
            view = -1 if node.view_of is None else listed(node.view_of)
            made = _tensor(node, view, len(sizes))
            sizes.append(node)
            number[key] = len(tensors)
            tensors.append(made)
        return number[key]

    def source_of(node: Node, source: Node) -> int:
        index = listed(source)
        if outside(source) and source.name.startswith("token_embd.weight") and node.operation != "GET_ROWS":
            if index not in twins:
                twins[index] = len(tensors)
                tensors.append(Tensor(tensors[index].size, WEIGHT, AT_OUTPUT))
            return twins[index]
        return index

    given = [listed(leaf) for leaf in leaves]
    order = []
    last = max((place for place, node in enumerate(nodes) if _in_layer(node)), default=0)
    for at, node in enumerate(nodes):
        sources = tuple(source_of(node, source) for source in node.sources)
        for source, index in zip(node.sources, sources, strict=True):
            if at < last and source.name.startswith(_FIRST_NORM):
                tensors[index] = replace(tensors[index], place=0)
        index = listed(node)
        order.append(index)
        made = tensors[index]
        alike = sum(
            1 << place
            for place, source in enumerate(node.sources)
            if node.may_replace
            and not source.is_outside
            and (node.type, node.shape, node.strides) == (source.type, source.shape, source.strides)
        )
        told = -1
        if any(source.is_weight for source in node.sources):
            told = len(rows)
            rows.append(node)
        tensors[index] = Tensor(made.size, made.kind, made.place, made.view_of, sources, alike, told)
    return Graph(tuple(tensors), (*given, *twins.values()), tuple(order))


def _in_layer(node: Node) -> bool:
    return any(source.name.startswith("blk.") for source in node.sources)


def kind_of(node: Node) -> str | None:
    """What a value of this tensor is: `k` or `v` as the cache's keys or values, `weight NAME` for a weight or a part of
    one; None where its type tells."""
    root = node.view_of or node
    if not root.is_outside:
        return None
    if root.is_weight:
        name = root.name.split(" ")[0]
        return f"weight {name[name.find('.', 4) + 1 :] if name.startswith('blk.') else name}"
    cached = _CACHED.match(root.name)
    return cached[1] if cached else None


def laid_out(node: Node) -> tuple[int, ...]:
    """Axes of what a copy of a cache's part takes: it keeps the strides, so the rest of each row is in it too."""
    value_bytes, values = (34, 32) if node.type == _Q8_0 else (4, 1) if node.type == _F32 else (2, 1)
    axes = sorted(zip(node.strides, node.shape, strict=True))
    found, before = [], value_bytes
    for number, (stride, _) in enumerate(axes):
        if stride % before:
            return (*node.shape, 1)
        found.append(stride // before * (values if number == 1 else 1))
        before = stride
    return (*found, axes[-1][1])


def row_count(node: Node) -> tuple[int, ...]:
    """The axes whose product is how many rows a device counts when it decides (ggml-cuda.cu, get_op_batch_size)."""
    if node.operation == "GET_ROWS":
        return (0,)
    if node.operation == "MUL_MAT":
        return node.shape[1:2]
    return node.shape[2:3] if node.operation == "MUL_MAT_ID" else node.shape[1:]


def _tensor(node: Node, view: int, size: int) -> Tensor:
    kind = INPUT * node.is_input | OUTPUT * node.is_output | REPLACES * node.may_replace
    kind |= VIEW * (node.operation in _VIEWS) | SHY * (node.operation in _SHY)
    kind |= FLASH * (node.operation == "FLASH_ATTN_EXT")
    place = NOWHERE
    if node.is_outside and not node.view_of:
        kind |= WEIGHT if node.is_weight else CACHE
        named = _LAYER.search(node.name)
        if named:
            place = int(named[1] or named[2] or named[3])
        elif _AT_FIRST.match(node.name):
            place = 0
        else:
            place = AT_INPUT if _AT_INPUT.match(node.name) else AT_OUTPUT
    elif forced := _FORCED.match(node.name):
        kind, place = kind | FORCED, int(forced[1])
    return Tensor(size, kind, place, view, experts=bool(kind & WEIGHT) and "_exps" in node.name)
