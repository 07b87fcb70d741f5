"""A variant's shape from what is at hand: its real config, one written down here, an equal one, or one put together.

Whatever is not a real config of the very repository counts only if the weights that it implies are as many as the hub
counts: a wrong width anywhere changes the count. What the count cannot check (windows, experts used a token) is told
only by a real config or by a line of `shapes.jsonl`, and never put together.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weighbridge.errors import BadModelFile
from weighbridge.facts import ModelFacts
from weighbridge.figures import Basis

from ..gguf_tensors import Stored
from ..shaping import facts_of_config, parts_of_config, shape_of
from ..variant import Shape
from .lists import COLLECTED, HUB_LIST, HubRow, Spec

_CLOSE = 0.001
# Buffers that the hub counts beside the weights (rotations, balances of experts, scales) make less than this.
_SAME = 0.0001
# Families whose layers all attend to everything, and whose config follows from lengths alone.
_PLAIN = frozenset({"llama", "qwen2", "qwen3", "granite", "olmo2", "hunyuan_v1_dense", "seed_oss"})
_KEYS = {"num_hidden_layers", "hidden_size", "vocab_size"}
# What a window changes without a trace in the count: such a config is not lent to a repository of another name.
_KEYS_OF_LAYER = re.compile(r"\.layers\.(\d+)\.self_attn\.(k_proj|v_proj|k_norm)\.")
_HAS_WINDOW = frozenset({"mistral", "ministral", "phi3", "mixtral"})


@dataclass(frozen=True, slots=True)
class Told:
    """A config, and who tells it."""

    config: dict[str, Any]
    source: str
    name: str
    packed: int = 0
    """What the hub counts beside the weights: the scales of packed ones, masks."""


@dataclass(slots=True)
class Configs:
    """The configs at hand: real ones by repository, and those written down in `shapes.jsonl`."""

    real: Mapping[str, tuple[dict[str, Any], str]]
    written: dict[str, Told] = field(default_factory=dict)
    _facts: dict[str, ModelFacts] = field(default_factory=dict)
    _parts: dict[str, list[Stored]] = field(default_factory=dict)
    _pool: dict[str, list[Told]] | None = None

    def facts(self, told: Told) -> ModelFacts:
        """The facts of a config, read once."""
        key = json.dumps(told.config, sort_keys=True)
        if key not in self._facts:
            self._facts[key] = facts_of_config(told.config, told.name)
        return self._facts[key]

    def parts(self, told: Told) -> list[Stored]:
        """The tensors that a config implies."""
        key = json.dumps(told.config, sort_keys=True)
        if key not in self._parts:
            self._parts[key] = parts_of_config(told.config, told.name)
        return self._parts[key]

    def lendable(self, architecture: str) -> list[Told]:
        """Configs of this family that may be another repository's too."""
        if self._pool is None:
            self._pool = {}
            seen: set[str] = set()
            real = (Told(config, source, name) for name, (config, source) in sorted(self.real.items()))
            for told in (*real, *self.written.values()):
                key = json.dumps(told.config, sort_keys=True)
                if key not in seen:
                    seen.add(key)
                    self._pool.setdefault(str(told.config.get("model_type")), []).append(told)
        return [] if architecture in _HAS_WINDOW else self._pool.get(architecture, [])


def read_written(path: Path) -> dict[str, Told]:
    """The lines of `shapes.jsonl`: configs of published models, each for the repositories that it names."""
    found = {}
    by_first: dict[str, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip():
            continue
        entry = json.loads(line)
        config = merged(by_first[entry["like"]], entry["config"]) if "like" in entry else entry["config"]
        by_first[entry["repositories"][0]] = config
        for name in entry["repositories"]:
            found[name.lower()] = Told(config, f"config.json of {name} as published", name, entry.get("packed", 0))
    return found


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The config with changes, section by section; a null takes a key away."""
    found = dict(base)
    for key, value in changes.items():
        if value is None:
            found.pop(key, None)
        elif isinstance(value, dict) and isinstance(found.get(key), dict):
            found[key] = merged(found[key], value)
        else:
            found[key] = value
    return found


@dataclass(frozen=True, slots=True)
class Match:
    """How a count of weights compares with the hub's."""

    words: str
    stores_output: bool
    unused: list[Stored]
    """Keys and values that are stored, and used by nothing."""
    is_exact: bool
    """But for the few values of buffers."""


def compare(facts: ModelFacts, parts: list[Stored], hub: int | None, packed: int = 0) -> Match | None:
    """How the hub's count agrees: with the network's, with all that is stored, or with matrices stored a second time;
    None where it does not, or where there is nothing to compare. `packed`: what the hub counts and is no weight."""
    counted = facts.parameters
    if hub is None or counted.total is None or counted.stored is None:
        return None
    unused = [*unused_keys(facts, parts), *copies_further(parts)]
    beside = sum(_elements(part) for part in unused)
    readings: dict[int, tuple[bool, list[Stored]]] = {}
    for count in (counted.total, counted.stored):
        readings[count + beside] = (False, unused)
        readings[count] = (False, [])
        if not counted.output and counted.embedding:
            readings[count + counted.embedding] = (True, [])
    nearest = min(readings, key=lambda count: abs(count + packed - hub))
    away = abs(nearest + packed - hub) / hub
    if away > _CLOSE:
        return None
    words = "the hub's" if nearest + packed == hub else f"within {away:.1g} of the hub's"
    return Match(f"its count of weights is {words}", *readings[nearest], is_exact=away < _SAME)


def _elements(part: Stored) -> int:
    return part.copies * math.prod(part.shape)


def copies_further(parts: list[Stored]) -> list[Stored]:
    """The embedding and the output once more for each layer that predicts further tokens (GLM-4.5)."""
    embedding = next((part for part in parts if part.name == "model.embed_tokens.weight"), None)
    places = [part.name.removesuffix("eh_proj.weight") for part in parts if part.name.endswith(".eh_proj.weight")]
    names = {part.name for part in parts}
    return [
        Stored(f"{place}{name}", embedding.shape)
        for place in places
        for name in ("embed_tokens.weight", "shared_head.head.weight")
        if embedding is not None and f"{place}{name}" not in names
    ]


def unused_keys(facts: ModelFacts, parts: list[Stored]) -> list[Stored]:
    """Keys and values of layers that use another layer's: checkpoints may hold them all the same (Gemma 3n and 4), of
    the shape of the last layer of their kind that has its own."""
    own: dict[bool, list[Stored]] = {}
    found = []
    by_layer: dict[int, list[Stored]] = {}
    for part in parts:
        match = _KEYS_OF_LAYER.search(part.name)
        if match and "vision" not in part.name and "audio" not in part.name:
            by_layer.setdefault(int(match[1]), []).append(part)
    for number, layer in enumerate(facts.layers):
        is_windowed = layer.window_tokens is not None
        if layer.kind != "shared_kv":
            own[is_windowed] = by_layer.get(number, [])
        elif number not in by_layer:
            found += [
                part._replace(name=re.sub(r"\.layers\.\d+\.", f".layers.{number}.", part.name))
                for part in own.get(is_windowed, [])
            ]
    return found


def find_shape(name: str, row: HubRow | None, spec: Spec | None, configs: Configs) -> tuple[Shape, Told] | None:
    """The shape of this repository, with the config behind it."""
    hub = row.parameters if row else None
    for told, must_match in _tellers(name, configs):
        facts, parts = configs.facts(told), configs.parts(told)
        match = compare(facts, parts, hub, told.packed)
        if match is None and must_match:
            continue
        words = match.words if match else "the hub's count was not there to compare, or counts packed weights"
        shape = _shape(facts, parts, told, words, match)
        if shape:
            return shape, told
    if row is None or not row.lengths or hub is None:
        return None
    return _lent(row, configs) or _put_together(row, spec, configs)


def _tellers(name: str, configs: Configs) -> Iterator[tuple[Told, bool]]:
    """Configs that name this repository; whether the count must bear them out."""
    real = configs.real.get(name.lower())
    if real:
        yield Told(real[0], real[1], name), False
    if name.lower() in configs.written:
        yield configs.written[name.lower()], True


def _shape(facts: ModelFacts, parts: list[Stored], told: Told, words: str, match: Match | None) -> Shape | None:
    return shape_of(
        facts,
        parts,
        source=f"{told.source}; {words}",
        date=COLLECTED,
        basis=Basis.COMPUTED,
        stores_output=match is not None and match.stores_output,
        unused=match.unused if match else (),
    )


def _lent(row: HubRow, configs: Configs) -> tuple[Shape, Told] | None:
    """Another repository's config, where every length that the list read, and the count, are the same."""
    for told in configs.lendable(row.architecture):
        facts, parts = configs.facts(told), configs.parts(told)
        match = compare(facts, parts, row.parameters)
        if match is None or not match.is_exact or not _same_lengths(facts, row):
            continue
        words = f"{row.name} has the same lengths by {HUB_LIST}, and {match.words}"
        shape = _shape(facts, parts, told, words, match)
        if shape:
            return shape, told
    return None


def _same_lengths(facts: ModelFacts, row: HubRow) -> bool:
    own = {
        "num_hidden_layers": len(facts.layers), "hidden_size": facts.embedding_length,
        "num_attention_heads": facts.head_count, "vocab_size": facts.vocabulary_size,
    }  # fmt: skip
    return all(own[key] == row.lengths.get(key) for key in own if key in row.lengths)


def _put_together(row: HubRow, spec: Spec | None, configs: Configs) -> tuple[Shape, Told] | None:
    """A plain decoder from the lengths that the list read. The feed-forward length is xinference's where it has one;
    else it follows from the count, if that makes it a whole multiple of 64 in just one way."""
    if row.architecture not in _PLAIN or not row.lengths.keys() >= _KEYS or row.parameters is None:
        return None
    told_length = (spec.lengths if spec else {}).get("intermediate_size")
    answers = []
    for tied in (False, True):
        base = {"model_type": row.architecture, "tie_word_embeddings": tied} | row.lengths
        if row.context_length:
            base["max_position_embeddings"] = row.context_length
        for length in [told_length] if told_length else _solved(base, row, configs):
            told = Told(base | {"intermediate_size": length}, "", row.name)
            try:
                match = compare(configs.facts(told), [], row.parameters)
            except BadModelFile:
                continue
            if match and match.is_exact:
                answers.append((told, match))
    # Tied with the output stored twice has the count of untied, and the same bytes: it counts as untied, since files
    # rarely hold a copy.
    clear = [answer for answer in answers if not answer[1].stores_output]
    if len(clear) != 1:
        return None
    told, match = clear[0]
    where = "from xinference 4.1.0" if told_length else "from the count itself"
    told = Told(told.config, f"lengths by {HUB_LIST}, the feed-forward length {where}", row.name)
    shape = _shape(configs.facts(told), configs.parts(told), told, match.words, match)
    return (shape, told) if shape else None


def _solved(base: dict[str, Any], row: HubRow, configs: Configs) -> list[int]:
    """The feed-forward length that makes the count the hub's."""
    try:
        counts = [
            configs.facts(Told(base | {"intermediate_size": length}, "", row.name)).parameters.total
            for length in (64, 128)
        ]
    except BadModelFile:
        return []
    if counts[0] is None or counts[1] is None or row.parameters is None:
        return []
    steps, rest = divmod(row.parameters - counts[0], counts[1] - counts[0])
    return [64 + 64 * steps] if rest == 0 and steps > 0 else []
