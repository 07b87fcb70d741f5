"""The data file: what is known of models as JSON lines, and back.

The first line tells format, day, sources, and how many shapes and variants follow, a line each. Sources and shapes are
named by their numbers. A shape is parsed when it is first asked for, and a variant made, so that opening the file costs
little more than reading it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from weighbridge.facts import Experts, Layer, Modalities
from weighbridge.figures import Basis

from .quantizations import Network, Quantization
from .variant import Evidence, Known, Repository, RoleWeights, Shape, Tag, Variant

FORMAT = 1
_BASES = tuple(Basis)


class Writer:
    """Collects variants, and gives the file's text; equal input gives equal bytes."""

    def __init__(self, date: str) -> None:
        self._date = date
        self._sources: dict[tuple[str, str], int] = {}
        self._shapes: dict[str, int] = {}
        self._variants: list[dict[str, Any]] = []

    def add(self, variant: Variant) -> None:
        """Take one more variant."""
        entry: dict[str, Any] = {
            "name": variant.name, "family": variant.family, "release": variant.release, "maker": variant.maker,
            "repository": variant.repository,
        }  # fmt: skip
        for key in ("parameters", "active_parameters", "context_length", "licence", "released", "downloads", "likes"):
            known = getattr(variant, key)
            if known is not None:
                entry[key] = self._known(known)
        if variant.modalities:
            told = variant.modalities
            entry["modalities"] = [
                [list(told.value.input), list(told.value.output)], _BASES.index(told.basis),
                self._source(told.source, told.date),
            ]  # fmt: skip
        if variant.shape:
            shape = variant.shape
            entry["shape"] = [
                self._shape(shape), _BASES.index(shape.basis), self._source(shape.source, shape.date)
            ]  # fmt: skip
        if variant.tags:
            entry["tags"] = [[tag.name, *(self._source(source, "") for source in tag.sources)] for tag in variant.tags]
        if variant.evidence:
            entry["evidence"] = [
                [each.benchmark, each.value, each.unit, each.samples, each.by, _BASES.index(each.basis),
                 self._source(each.source, each.date)]
                for each in variant.evidence
            ]  # fmt: skip
        entry["repositories"] = [
            [each.name, each.format, list(each.quantizations), each.downloads, each.likes,
             self._source(each.source, each.date)]
            for each in variant.repositories
        ]  # fmt: skip
        if variant.notes:
            entry["notes"] = list(variant.notes)
        self._variants.append(entry)

    def text(self) -> str:
        """The file; a line a shape and a line a variant, so that changes can be read."""
        first = {
            "format": FORMAT, "date": self._date, "sources": [list(source) for source in self._sources],
            "shapes": len(self._shapes), "variants": len(self._variants),
        }  # fmt: skip
        return "\n".join([_json(first), *self._shapes, *map(_json, self._variants), ""])

    def _source(self, name: str, date: str) -> int:
        return self._sources.setdefault((name, date), len(self._sources))

    def _known(self, known: Known[Any]) -> list[Any]:
        return [known.value, _BASES.index(known.basis), self._source(known.source, known.date)]

    def _shape(self, shape: Shape) -> int:
        return self._shapes.setdefault(_json(_shape_entry(shape)), len(self._shapes))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


_LAYER_FIELDS = (
    "keys", "values", "index_keys", "window_tokens", "convolution_state", "recurrent_state", "tokens_per_entry",
)  # fmt: skip
_PLAIN_FIELDS = (
    "architecture", "embedding_length", "feed_forward_length", "head_count", "head_count_kv", "key_length",
    "value_length", "vocabulary_size", "tied_embeddings", "stores_output", "expert_feed_forward_length", "parameters",
    "active_parameters",
)  # fmt: skip


def _shape_entry(shape: Shape) -> dict[str, Any]:
    entry: dict[str, Any] = {name: getattr(shape, name) for name in _PLAIN_FIELDS}
    entry["layers"] = [
        [count, layer.kind, *(getattr(layer, name) for name in _LAYER_FIELDS)] for count, layer in shape.layers
    ]
    entry["experts"] = [shape.experts.total, shape.experts.used, shape.experts.shared] if shape.experts else None
    entry["weights"] = [[row.role, row.parameters, row.active_parameters] for row in shape.weights]
    if shape.network:
        network = shape.network
        entry["network"] = [
            network.architecture, network.heads_per_kv_head, network.experts, network.experts_used, network.block_count
        ]  # fmt: skip
        entry["quantizations"] = [[each.recipe, *each[1:]] for each in shape.quantizations.values()]
    return entry


class Reader:
    """Makes variants of a file's content, each when it is first asked for."""

    def __init__(self, text: str) -> None:
        # Not `splitlines`: a string may hold other characters that end lines.
        lines = text.rstrip("\n").split("\n")
        first = json.loads(lines[0])
        if first["format"] != FORMAT:
            raise ValueError(f"is of format {first['format']!r}, expected {FORMAT}")
        if len(lines) != 1 + first["shapes"] + first["variants"]:
            raise ValueError(f"has {len(lines):,} lines, expected {1 + first['shapes'] + first['variants']:,}")
        self.date: str = first["date"]
        self._sources: list[tuple[str, str]] = [(name, date) for name, date in first["sources"]]
        self._raw_shapes = lines[1 : first["shapes"] + 1]
        self._shapes: dict[int, dict[str, Any]] = {}
        # All in one go, which is quicker than line by line.
        self.entries: list[dict[str, Any]] = json.loads(f"[{','.join(lines[first['shapes'] + 1 :])}]")
        for entry in self.entries:
            # What every use needs is looked at now, so that a damaged file is found when it is opened.
            entry["name"], entry["release"], entry["repository"], entry["repositories"]

    def variant(self, number: int) -> Variant:
        """The variant of that number."""
        entry = self.entries[number]
        return Variant(
            name=entry["name"], family=entry["family"], release=entry["release"], maker=entry["maker"],
            repository=entry["repository"],
            parameters=self._known(entry.get("parameters")),
            active_parameters=self._known(entry.get("active_parameters")),
            shape=self._shape(entry.get("shape")),
            context_length=self._known(entry.get("context_length")),
            modalities=self._modalities(entry.get("modalities")),
            licence=self._known(entry.get("licence")),
            released=self._known(entry.get("released")),
            downloads=self._known(entry.get("downloads")),
            likes=self._known(entry.get("likes")),
            tags=tuple(
                Tag(name, tuple(self._sources[source][0] for source in sources))
                for name, *sources in entry.get("tags", ())
            ),
            evidence=tuple(self._evidence(entry.get("evidence", ()))),
            repositories=tuple(
                Repository(name, form, tuple(quantizations), downloads, likes, *self._sources[source])
                for name, form, quantizations, downloads, likes, source in entry["repositories"]
            ),
            notes=tuple(entry.get("notes", ())),
        )  # fmt: skip

    def _known(self, entry: list[Any] | None) -> Known[Any] | None:
        if entry is None:
            return None
        value, basis, source = entry
        return Known(value, _BASES[basis], *self._sources[source])

    def _modalities(self, entry: list[Any] | None) -> Known[Modalities] | None:
        known = self._known(entry)
        if known is None:
            return None
        inputs, outputs = known.value
        return Known(Modalities(tuple(inputs), tuple(outputs)), known.basis, known.source, known.date)

    def _evidence(self, entries: Iterable[list[Any]]) -> Iterable[Evidence]:
        for benchmark, value, unit, samples, by, basis, source in entries:
            yield Evidence(benchmark, value, unit, samples, by, _BASES[basis], *self._sources[source])

    def _shape(self, entry: list[int] | None) -> Shape | None:
        if entry is None:
            return None
        number, basis, source = entry
        if number not in self._shapes:
            self._shapes[number] = _shape_fields(json.loads(self._raw_shapes[number]))
        name, date = self._sources[source]
        return Shape(**self._shapes[number], basis=_BASES[basis], source=name, date=date)


def _shape_fields(entry: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {name: entry[name] for name in _PLAIN_FIELDS}
    network = entry.get("network")
    return fields | {
        "layers": tuple((count, Layer(kind, *rest)) for count, kind, *rest in entry["layers"]),
        "experts": Experts(*entry["experts"]) if entry["experts"] else None,
        "weights": tuple(RoleWeights(*row) for row in entry["weights"]),
        "network": Network(*network) if network else None,
        "quantizations": {row[0]: Quantization._make(row) for row in entry.get("quantizations", ())},
    }
