"""Records, for every architecture, in which order llama.cpp allocates and releases what one step computes.

Run it again when the engine's version moves: `python -m tests.fit.record_steps [NAME...]` asks the installed engine
about each family of `tests/facts/gguf_families.py` and writes `src/weighbridge/fit/llama_cpp_steps.zip`.

The engine plans the memory of a step from its graph. Which result takes whose place, and when a block is given back,
follows from the graph's form alone, so it is recorded once; how large each block is follows from the model's
dimensions, and is found as a formula: several shapes of the same family are asked about, and for each axis of each
tensor the simplest expression of the dimensions is taken that is right in all of them.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from tests.facts.gguf_families import FAMILIES, Family, _mend, _metadata, _write
from tests.fit import engine
from tests.fit.engine import Node, Refused, Settings
from tests.fit.record_graph import graph_of, kind_of, laid_out, lengthened, row_count
from tests.fit.shapes import shorter, told, vary
from weighbridge import facts
from weighbridge.fit.forms import form_of
from weighbridge.fit.recordings import ENGINE, RECORDINGS, member_of
from weighbridge.fit.spreading import Graph, packed
from weighbridge.fit.steps import CACHES, Step, rotation_of, symbols

SHAPES = 7
JOBS = int(os.environ.get("JOBS", "1"))
# With graphs, devices' buffers are exact too; it takes ten times as long, as it needs many layers.
GRAPHS = os.environ.get("GRAPHS") == "1"
USED_EXPERTS = 5
_VOCABULARY = 257
_FEW_LAYERS = 6
# How many shapes are drawn at most for each that is looked for.
_TRIES = 30
_GRAINS = (64, 96, 160, 224, 320)
# How sequences share the cache: a single one; several with a part each; several in one.
WAYS = ("one", "several", "shared")
# They are the same in all shapes, and no length follows from them but by chance.
_NO_LENGTHS = {
    "block_count",
    "expert_gating_func",
    "ssm.conv_kernel",
    "nextn_predict_layers",
    "leading_dense_block_count",
    "attention.compress_ratios",
    "attention.shared_kv_layers",
    "attention.indexer.types",
    "attention.indexer.leading_dense",
    "attention.indexer.local_blocks",
    "hyper_connection.sinkhorn_iterations",
    "hash_layer_count",
    "full_attention_interval",
    "interleave_moe_layer_step",
    "moe_every_n_layers",
    "context_length",
    "expert_shared_count",
}
_CHOSEN_AMONG = (256, 256 * 140)
_HEAD_LENGTHS = {
    "attention.key_length",
    "attention.value_length",
    "attention.key_length_swa",
    "attention.value_length_swa",
}
Values = tuple[int, ...]


class Way(NamedTuple):
    """What else than the family a graph's form depends on."""

    way: str
    flash: bool
    cache: str

    @property
    def types(self) -> tuple[str, str]:
        """Types of keys and values that make the graph so."""
        return "f16" if self.cache == "plain" else "q8_0", "q8_0" if self.cache == "both" else "f16"


EVERY_WAY = [
    Way(way, flash, cache)
    for way, flash, cache in itertools.product(WAYS, (True, False), CACHES)
    # Quantized values need flash attention.
    if flash or cache != "both"
]


class Shape(NamedTuple):
    """One shape of a family, as the engine saw it."""

    symbols: list[dict[str, int]]
    """The dimensions as each layer has them; the last entry is for what belongs to no layer."""
    keys: dict[str, Any]
    nodes: list[Node]
    leaves: list[Node]
    form: dict[str, Any]


_written: dict[str, dict[str, list[int]]] = {}
"""The tensors of the last file of each kind of family: the next one needs the same, with other lengths."""
_seen: dict[str, list[int]] = {}


def make(path: Path, family: Family) -> None:
    """A file of this family, with the tensors that the engine asks for."""
    keys = family.keys
    tensors = {"token_embd.weight": [1], "blk.0.attn_norm.weight": [1]}
    for layer in range(keys["block_count"] - keys.get("nextn_predict_layers", 0), keys["block_count"]):
        tensors[f"blk.{layer}.nextn.eh_proj.weight"] = [1]
    kind = _kind(family)
    tensors = dict(_written.get(kind, tensors)) | family.also
    metadata = _metadata(path, family)
    for _ in range(1500):
        _write(path, metadata, tensors)
        pointer, log = engine.open_log(path)
        if pointer:
            engine._ENGINE.llama_model_free(pointer)
            _written[kind] = tensors
            _seen.update(tensors)
            return
        if not _mend(tensors, log, _seen):
            raise Refused(log[-500:])
    raise Refused("still refused")


def _kind(family: Family) -> str:
    """What tells families of one architecture apart whose files have other tensors."""
    lists = {key: value for key, value in family.keys.items() if isinstance(value, list)}
    layers = {key: family.keys.get(key) for key in _NO_LENGTHS}
    return repr((family.architecture, sorted(family.keys), sorted(family.also), sorted(lists), sorted(layers.items())))


def settings(rng: random.Random, way: Way) -> Settings:
    """Settings whose numbers are alike in no two places."""
    parallel = 1 if way.way == "one" else rng.choice((2, 3, 4))
    return Settings(
        # Without flash attention every head's scores are kept, and the engine allocates them when asked for its graph.
        context=256 * rng.randint(9, 150 if way.flash else 40) * (1 if way.way != "shared" else 3),
        parallel=parallel,
        ubatch=parallel * rng.choice(_GRAINS if way.flash else _GRAINS[:3]),
        flash=way.flash,
        unified=way.way == "shared",
        type_k=way.types[0],
        type_v=way.types[1],
        outputs=parallel * rng.randint(1, 9),
    )


def longer(name: str, folder: Path) -> Family:
    """This family, with more layers where they differ in kind."""
    family = FAMILIES[name]
    path = folder / "short.gguf"
    make(path, family)
    return lengthened(family, form_of(facts.read(str(path))).layers)


def files(name: str, folder: Path, *, explicit: bool, rotated: bool, count: int) -> list[tuple[Path, dict[str, Any]]]:
    """Files of several shapes of this family, with their keys."""
    # With few layers blocks do not yet lie where they lie in all later ones.
    family = longer(name, folder) if GRAPHS or FAMILIES[name].keys["block_count"] < _FEW_LAYERS else FAMILIES[name]
    rng = random.Random(f"{name} {rotated}")
    found: list[tuple[Path, dict[str, Any]]] = []
    reason: object = None
    # Where a family leaves the heads' length to be computed, it is given, so that it can be told from what it equals.
    gives_length = (
        explicit and "attention.key_length" not in family.keys and "attention.kv_lora_rank" not in family.keys
    )
    for _ in range(_TRIES * count):
        used = USED_EXPERTS if family.keys.get("expert_used_count", 1) > 1 else None
        shaped = vary(family, rng, used_experts=used)
        keys = dict(shaped.keys)
        if gives_length and family.keys.get("attention.head_count"):
            length = 8 * rng.randint(6, 30)
            keys |= {"attention.key_length": length, "attention.value_length": length}
        if rotated and not (_rounded(keys) and shorter(keys) == shorter(family.keys)):
            continue
        path = folder / f"{rotated}-{len(found)}.gguf"
        try:
            make(path, shaped._replace(keys=keys, also=told(family, keys)))
            with engine.opened(path) as model, model.context(Settings(512)):
                found.append((path, keys))
        except Refused as error:
            reason = error
        if len(found) == count:
            return found
    raise Refused(f"too few shapes: {reason}")


def shapes(made: Sequence[tuple[Path, dict[str, Any]]], way: Way) -> list[Shape]:
    """What the engine says of these files."""
    rng = random.Random(repr(way))
    found: list[Shape] = []
    for number, (path, keys) in enumerate(made):
        at = settings(rng, way)
        if number < len(_CHOSEN_AMONG) and "attention.indexer.top_k" in keys:
            # With fewer tokens than are chosen, and with so many that one entry for many takes several steps.
            at = replace(at, context=_CHOSEN_AMONG[number] * (1 if way.way != "shared" else 3))
        if "attention.key_length_mla" in keys:
            # A latent vector is key and value: both have one type.
            at = replace(at, type_v=at.type_k)
        if keys.get("attention.causal") is False:
            # Such models are asked for embeddings, and give one for each token.
            at = replace(at, embeddings=True, outputs=at.tokens)
        with engine.opened(path) as model, model.context(at) as context:
            nodes, leaves = context.graph()
        read = facts.read(str(path))
        step = Step(at.context, at.parallel, at.tokens, at.outputs or at.parallel, at.flash, at.unified)
        per_layer = [symbols(read, step, layer) for layer in (*range(keys["block_count"]), None)]
        form = asdict(form_of(read))
        form["tensors"] = sorted(form["tensors"])
        found.append(Shape(per_layer, keys, nodes, leaves, form))
    return found


def _rounded(keys: dict[str, Any]) -> bool:
    """Make heads as long as rotations ask for; whether that could be done."""
    length = keys.get("attention.key_length")
    if length is None:
        heads = keys.get("attention.head_count")
        return isinstance(heads, int) and heads > 0 and rotation_of(keys["embedding_length"] // heads) > 0
    if "attention.kv_lora_rank" in keys:
        return rotation_of(length) > 0
    for key in _HEAD_LENGTHS & keys.keys():
        keys[key] = -(-keys[key] // 64) * 64
    # DeepSeek-V4 goes down where both are as long.
    return keys["attention.key_length"] != keys.get("attention.indexer.key_length")


def program(nodes: Sequence[Node], leaves: Sequence[Node]) -> tuple[list[int], list[Node]]:
    """The steps of ggml's graph allocator for this graph, and the tensors whose sizes they name (ggml-alloc.c)."""
    steps: list[int] = []
    sized: list[Node] = []
    block: dict[int, int] = {}
    held: dict[int, int] = {}
    """For each tensor that holds a block: the bytes it asked for."""
    children: dict[int, int] = {}
    views: dict[int, int] = {}
    placed: set[int] = set()

    def size(node: Node) -> int:
        sized.append(node)
        return len(sized) - 1

    def place(node: Node) -> None:
        key = id(node)
        if node.is_outside or node.view_of or key in placed:
            return
        placed.add(key)
        if node.may_replace:
            for parent in node.sources:
                owner = parent.view_of or parent
                if parent.is_outside or owner.is_outside or owner.is_output or parent.is_output:
                    continue
                if (node.type, node.shape, node.strides) != (parent.type, parent.shape, parent.strides):
                    continue
                if children.get(id(parent), 0) != 1 or views.get(id(parent), 0):
                    continue
                if parent.view_of or id(parent) not in held:
                    continue
                block[key] = block[id(parent)]
                held[key] = held.pop(id(parent))
                return
        block[key] = len(sized)
        held[key] = node.bytes
        steps.append(size(node))

    def release(node: Node) -> None:
        if not node.is_output and id(node) in held:
            steps.append(-1 - block[id(node)])
            del held[id(node)]

    for leaf in leaves:
        place(leaf)
    for node in nodes:
        if node.view_of and node.operation != "NONE":
            views[id(node.view_of)] = views.get(id(node.view_of), 0) + 1
        if node.is_input:
            place(node)
        for source in node.sources:
            children[id(source)] = children.get(id(source), 0) + 1
            if source.is_input:
                place(source)
    for node in nodes:
        for source in node.sources:
            place(source)
        place(node)
        for source in node.sources:
            children[id(source)] -= 1
            if children[id(source)] or views.get(id(source), 0):
                continue
            if source.view_of:
                owner = source.view_of
                views[id(owner)] -= 1
                if not views[id(owner)] and not children.get(id(owner), 0):
                    release(owner)
            else:
                release(source)
    return steps, sized


class Formulas:
    """Expressions of dimensions, found by their values in several shapes: sums of products of at most three."""

    def __init__(self, samples: Sequence[dict[str, int]]) -> None:
        names = set.intersection(*({name for name, value in sample.items() if value} for sample in samples))
        single = {tuple(sample[name] for sample in samples): name for name in sorted(names, key=_order, reverse=True)}
        self._single = dict(sorted(single.items(), key=lambda entry: _order(entry[1])))
        self._products = dict(self._single)
        for (left, a), (right, b) in itertools.combinations_with_replacement(self._single.items(), 2):
            self._products.setdefault(_times(left, right), f"{a}*{b}")
        self._terms = dict(self._products)
        for factor in (2, 3):
            for values, expression in self._products.items():
                self._terms.setdefault(tuple(factor * value for value in values), f"{factor}*{expression}")
        self._known: dict[Values, str | None] = {}

    def of(self, values: Sequence[int]) -> str | None:
        """The simplest expression with these values."""
        wanted = tuple(values)
        if len(set(wanted)) == 1:
            return str(wanted[0])
        if wanted not in self._known:
            self._known[wanted] = self._product(wanted) or self._rotated(wanted) or self._sum(wanted)
        return self._known[wanted]

    def _product(self, wanted: Values) -> str | None:
        """A product of up to three, perhaps divided by one, with a small factor."""
        for factor in (1, 2, 3, 4, 6, 8, 12, 16, 32):
            found = self._products.get(_over(wanted, (factor,) * len(wanted)))
            if found:
                return found if factor == 1 else f"{factor}*{found}"
        for factor in (2, 4, 8):
            found = self._products.get(tuple(factor * value for value in wanted))
            if found:
                return f"{found}/{factor}"
        for values, name in self._single.items():
            found = self._terms.get(_over(wanted, values))
            if found:
                return f"{found}*{name}"
            found = self._terms.get(_times(wanted, values))
            if found:
                return f"{found}/{name}"
        return None

    def _rotated(self, wanted: Values) -> str | None:
        """A product of three cut into rows as wide as a rotation: of keys, or of values."""
        widths = {name: values for values, name in self._single.items() if name == "rotation"}
        for name, values in {**widths, "64": (64,) * len(wanted)}.items():
            found = self._product(_times(wanted, values))
            if found and "/" not in found:
                return f"{found}/{name}"
        return None

    def _sum(self, wanted: Values) -> str | None:
        """A number and a product, two products, or a single dimension and these."""
        for number in (-1, 1, 2, 3, 4, -2, 5, 7, 9, 8, 16, 32, 64):
            rest = tuple(value - number for value in wanted)
            found = self._terms.get(rest) or (self._product(rest) if min(rest) > 0 else None)
            if found:
                return f"{found}{number:+d}"
        for number in (0, -1, 1):
            found = self._two(tuple(value - number for value in wanted))
            if found:
                return f"{found}{number:+d}" if number else found
        for values, name in self._varying(self._single):
            found = self._two(tuple(x - y for x, y in zip(wanted, values, strict=True)))
            if found:
                return f"{found}+{name}"
        return None

    @staticmethod
    def _varying(terms: dict[Values, str]) -> Iterator[tuple[Values, str]]:
        """Terms of a sum: what is the same in all shapes is one by chance."""
        return ((values, name) for values, name in terms.items() if len(set(values)) > 1)

    def _two(self, wanted: Values) -> str | None:
        for values, expression in self._varying(self._terms):
            found = self._terms.get(tuple(x - y for x, y in zip(wanted, values, strict=True)))
            if found:
                return f"{found}+{expression}"
        for values, expression in self._varying(self._products):
            found = self._terms.get(tuple(x + y for x, y in zip(wanted, values, strict=True)))
            if found:
                return f"{found}-{expression}"
        return None


def _times(left: Values, right: Values) -> Values:
    return tuple(x * y for x, y in zip(left, right, strict=True))


def _over(left: Values, right: Values) -> Values:
    """The quotients, or nothing where one is no whole number."""
    return (
        ()
        if any(x % y for x, y in zip(left, right, strict=True))
        else tuple(x // y for x, y in zip(left, right, strict=True))
    )


def _at_layer(expression: str, lists: set[str], layer: int | None) -> str:
    """With the layer beside the names of dimensions that are not alike in all layers."""
    if layer is None:
        return expression
    return re.sub(r"[a-z_][a-z_.0-9]*", lambda m: f"{m[0]}@{layer}" if m[0] in lists else m[0], expression)


def _order(name: str) -> tuple[bool, int, str]:
    """What is taken where several dimensions have the same value in all shapes."""
    first = ("tokens", "cells", "embedding_length", "attention.head_count", "attention.key_length", "expert_used_count")
    return name not in first, name.count("."), name


class Unsolved(Exception):
    """An axis for which no expression was found."""


def record(name: str, way: Way, made: Sequence[tuple[Path, dict[str, Any]]]) -> dict[str, Any]:
    """The recording of one family with these settings."""
    seen = shapes(made, way)
    programs = [program(shape.nodes, shape.leaves) for shape in seen]
    forms = {tuple(steps) for steps, _ in programs}
    if len(forms) > 1:
        raise Unsolved(f"the graph has {len(forms)} forms")
    keys = seen[0].keys
    lists = {key for key, value in keys.items() if isinstance(value, list)} | {"window_cells"}
    tables: dict[str, Formulas | None] = {}
    layers = _layers(seen[0].nodes, keys["block_count"])
    problems: list[str] = []
    unlike = _NO_LENGTHS - ({"block_count"} if "embedding_length_per_layer_input" in keys else set())

    def axes_of(tensors: Sequence[Node], every: Sequence[Sequence[int]], problems: list[str]) -> list[str]:
        """Expressions for these axes of a tensor, whose lengths are given for each shape."""
        layer = layers.get(id(tensors[0]))
        samples = [
            {name: value for name, value in shape.symbols[-1 if layer is None else layer].items() if name not in unlike}
            for shape in seen
        ]
        # Most layers are alike, and share what was found for one.
        formulas = tables.setdefault(repr(samples), None) or Formulas(samples)
        tables[repr(samples)] = formulas
        axes = []
        for axis, values in enumerate(zip(*every, strict=True)):
            expression = _constant(values, keys) or formulas.of(values)
            if expression is None:
                problems.append(f"{tensors[0].operation} {tensors[0].name} axis {axis}: {values}")
            elif expression != "1":
                axes.append(_at_layer(expression, lists, layer))
        return axes

    sizes = [
        " ".join([str(_type_bytes(tensors[0])), *axes_of(tensors, [tensor.shape for tensor in tensors], problems)])
        for tensors in zip(*(sized for _, sized in programs), strict=True)
    ]
    if problems:
        raise Unsolved(f"{len(problems)} axes: " + "; ".join(problems[:4]))
    distinct = list(dict.fromkeys(sizes))
    number = {size: index for index, size in enumerate(distinct)}
    steps = _renumbered(programs[0][0], [number[size] for size in sizes])
    return {
        "name": name, **way._asdict(), "form": seen[0].form, "sizes": distinct, "steps": steps,
        **(_spread_graph(seen, axes_of) if GRAPHS else {}),
    }  # fmt: skip


def _spread_graph(seen: Sequence[Shape], axes_of: Callable[..., list[str]]) -> dict[str, Any]:
    """What is computed from what, for spreading it over devices; nothing where the shapes differ in that."""
    graphs: list[Graph] = []
    every: list[list[Node]] = []
    counted: list[list[Node]] = []
    for shape in seen:
        every.append([])
        counted.append([])
        graphs.append(graph_of(shape.nodes, shape.leaves, every[-1], counted[-1]))
    if any(graph != graphs[0] for graph in graphs):
        return {}
    texts: list[str] = []
    for tensors in zip(*every, strict=True):
        kind = kind_of(tensors[0])
        # A view of another result is never larger than that.
        sized = tensors if kind else [tensor.view_of or tensor for tensor in tensors]
        shaped = [laid_out(tensor) if kind in ("k", "v") else tensor.shape for tensor in sized]
        problems: list[str] = []
        if kind and kind.startswith("weight"):
            texts.append(kind)
            continue
        axes = axes_of(sized, shaped, problems)
        # What is not known is only missed where it would have to be copied between devices.
        texts.append("unknown" if problems else " ".join([kind or str(_type_bytes(sized[0])), *axes]))
    rows: list[str] = []
    for tensors in zip(*counted, strict=True):
        problems = []
        axes = axes_of(tensors, [row_count(tensor) for tensor in tensors], problems)
        rows.append("1 1000000" if problems else " ".join(["1", *axes]))
    distinct = list(dict.fromkeys([*texts, *rows]))
    number = {text: index for index, text in enumerate(distinct)}
    graph = replace(
        graphs[0],
        tensors=tuple(
            replace(tensor, size=number[texts[tensor.size]], rows=-1 if tensor.rows < 0 else number[rows[tensor.rows]])
            for tensor in graphs[0].tensors
        ),
    )
    return {"graph": {"sizes": distinct, **packed(graph)}}


def _renumbered(steps: Sequence[int], numbers: Sequence[int]) -> list[int]:
    return [numbers[step] if step >= 0 else step for step in steps]


def _layers(nodes: Sequence[Node], count: int) -> dict[int, int | None]:
    """To which layer each tensor belongs: its name tells, or that of the one before it."""
    layer: int | None = None
    found: dict[int, int | None] = {}
    for node in nodes:
        named = re.search(r"-(\d+)(?: |$)", node.name)
        if named and int(named[1]) < count:
            layer = int(named[1])
        if node.name.startswith(("result_", "inp_")):
            layer = None
        found[id(node)] = layer
    return found


def _constant(values: Sequence[int], keys: dict[str, Any]) -> str | None:
    """Numbers that are the same in all shapes because we made them so."""
    if len(set(values)) > 1:
        return None
    if values[0] == _VOCABULARY:
        return "vocabulary"
    if values[0] == USED_EXPERTS and keys.get("expert_used_count") == USED_EXPERTS:
        return "expert_used_count"
    if values[0] == keys["block_count"] and "embedding_length_per_layer_input" in keys:
        return "block_count"
    return None


def _type_bytes(node: Node) -> int:
    return {0: 4, 1: 2, 24: 1, 25: 2, 26: 4, 27: 8, 30: 2}[node.type]


def record_family(name: str, ways: Sequence[Way], *, explicit: bool) -> None:
    """Print a recording for each way, or why there is none; an assertion of the engine ends it in between."""
    with tempfile.TemporaryDirectory() as folder:
        made: dict[bool, list[tuple[Path, dict[str, Any]]] | Exception] = {}
        for way in ways:
            rotated = way.cache != "plain"
            if rotated not in made:
                try:
                    made[rotated] = files(name, Path(folder), explicit=explicit, rotated=rotated, count=SHAPES)
                except Refused as error:
                    made[rotated] = error
            shaped = made[rotated]
            try:
                if isinstance(shaped, Exception):
                    raise shaped
                answer = record(name, way, shaped)
            except (Refused, Unsolved) as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), flush=True)


def _ask(name: str) -> list[tuple[Way, dict[str, Any]]]:
    """All recordings of a family, made in processes of their own."""
    found: dict[Way, dict[str, Any]] = {}
    # Some families don't take heads of another length than follows from their width.
    for explicit in "10":
        left = [way for way in EVERY_WAY if "error" in found.get(way, {"error": ""})]
        while left:
            done = subprocess.run(
                [sys.executable, "-m", "tests.fit.record_steps", "--family", name, json.dumps(left), explicit],
                capture_output=True, text=True, timeout=900, check=False, env=os.environ | {"GGML_NO_BACKTRACE": "1"},
            )  # fmt: skip
            answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
            found |= dict(zip(left, answers, strict=False))
            left = left[len(answers) :]
            if left:
                # It ended at this one.
                found[left[0]] = {"error": (done.stderr.strip().splitlines() or ["ended"])[-1]}
                left = left[1:]
    return list(found.items())


def record_all(names: Sequence[str]) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """The recordings of these families, or why there is none."""
    with ThreadPoolExecutor(JOBS) as pool:
        for name, answers in zip(names, pool.map(_ask, names), strict=True):
            for way, answer in answers:
                title = f"{name} / {way.way} / {'flash' if way.flash else 'plain'} / {way.cache}"
                yield title, answer.get("error") or answer


def main(arguments: list[str]) -> None:
    """Record all families, or those that are named, and write them beside what is there."""
    if arguments[:1] == ["--family"]:
        name, ways, explicit = arguments[1:]
        record_family(name, [Way(*way) for way in json.loads(ways)], explicit=explicit == "1")
        os._exit(0)
    names = arguments or list(FAMILIES)
    kept = {_title(entry): entry for entry in (written() if arguments else ())}
    for number, (title, answer) in enumerate(record_all(names)):
        if isinstance(answer, str):
            print(f"{title}: {answer[:300]}", flush=True)
        else:
            kept[_title(answer)] = answer
        if number % (50 * len(EVERY_WAY)) == 0:
            write(kept.values())
    write(kept.values())
    print(f"{len(kept)} recordings, {RECORDINGS.stat().st_size:,} bytes")


def _title(entry: dict[str, Any]) -> tuple[Any, ...]:
    return entry["name"], entry["way"], entry["flash"], entry["cache"]


def written() -> list[dict[str, Any]]:
    """All recordings that lie in the archive."""
    if not RECORDINGS.exists():
        return []
    found = []
    with zipfile.ZipFile(RECORDINGS) as archive:
        for member in sorted(set(archive.namelist()) - {ENGINE}):
            if not member.endswith("-graphs.json"):
                graphs = json.loads(archive.read(member.replace(".json", "-graphs.json")))
                entries = json.loads(archive.read(member))
                found += [
                    entry | ({"graph": graph} if graph else {}) for entry, graph in zip(entries, graphs, strict=True)
                ]
    return found


def write(entries: Iterable[dict[str, Any]]) -> None:
    """The archive: for each architecture and way a member, another with the graphs, which few plans need, and one that
    names the engine."""
    members: dict[str, list[Any]] = {}
    for entry in sorted(entries, key=_title):
        architecture, way, flash = entry["form"]["architecture"], entry["way"], entry["flash"]
        members.setdefault(member_of(architecture, way, flash=flash), []).append(
            {key: value for key, value in entry.items() if key != "graph"}
        )
        members.setdefault(member_of(architecture, way, flash=flash, graphs=True), []).append(entry.get("graph"))
    # Written beside and renamed: others may read it.
    beside = RECORDINGS.with_suffix(f".{os.getpid()}")
    with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr(zipfile.ZipInfo(ENGINE), engine.VERSION)
        for name, listed in sorted(members.items()):
            member = zipfile.ZipInfo(name)
            archive.writestr(member, json.dumps(listed, separators=(",", ":")), zipfile.ZIP_DEFLATED, 9)
    beside.replace(RECORDINGS)


if __name__ == "__main__":
    main(sys.argv[1:])
