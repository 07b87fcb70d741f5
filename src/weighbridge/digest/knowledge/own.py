"""What files on this machine told: kept when `weigh facts` reads one, so that it settles claims from then on."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from typing import Protocol

from weighbridge.facts import ModelFacts
from weighbridge.figures import Basis
from weighbridge.sizes import show_count

from .. import kept
from .fact import Fact

_READ = "read by weigh facts: "
_FIELDS = ("parameters_total", "parameters_active", "context_length", "licence", "experts")


class Recorded(Protocol):
    """What of the record is needed here."""

    def facts(self, subject: str | None = None, field: str | None = None) -> list[kept.Fact]:
        """Recorded facts."""


def facts_of_file(model: ModelFacts, source: str, day: datetime.date) -> tuple[kept.Fact, ...]:
    """What a file settles, as the record keeps it; nothing of one that does not tell a model's name. `source`: the file
    or repository as the user named it."""
    name = source if _is_repository(source, model) else model.name
    if not name.strip() or model.components:
        return ()
    return tuple(
        kept.Fact(name, field, value, text, basis, _READ + source, key, day.isoformat())
        for field, value, text, basis, key in _values(model)
    )


def _values(model: ModelFacts) -> Iterator[tuple[str, object, str, Basis, str]]:
    counted, origins = model.parameters, model.origins
    basis = Basis(counted.basis)

    def key(name: str) -> str:
        return origins[name].at if name in origins else name

    if counted.total:
        yield "parameters_total", counted.total, f"{show_count(counted.total)} weights", basis, key("parameters.total")
    if counted.active:
        yield (
            "parameters_active",
            counted.active,
            f"{show_count(counted.active)} active",
            basis,
            key("parameters.active"),
        )
    if model.context_length:
        text = f"{model.context_length:,} tokens"
        yield "context_length", model.context_length, text, Basis.READ, key("context_length")
    if model.licence:
        yield "licence", model.licence, model.licence, Basis.READ, key("licence")
    if model.experts and model.experts.total:
        yield "experts", model.experts.total, f"{model.experts.total} experts", Basis.READ, key("experts.total")


def _is_repository(source: str, model: ModelFacts) -> bool:
    return model.source.place in ("hub", "hf_cache") and source.count("/") == 1


def of_repository(kept: Recorded, name: str) -> list[kept.Fact]:
    """What a repository's own files told, as the record has it."""
    return [each for each in kept.facts(name) if each.source.startswith(_READ)]


def recall(kept: Recorded) -> tuple[Fact, ...]:
    """What files told, as knowledge."""
    return tuple(_known(kept.facts()))


def _known(facts: Iterable[kept.Fact]) -> Iterator[Fact]:
    for each in facts:
        if each.field in _FIELDS and each.source.startswith(_READ) and isinstance(each.value, int | float | str):
            yield Fact(each.subject, each.field, each.value, each.basis, each.source, each.key, each.date)
