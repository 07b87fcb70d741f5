"""`refresh()`: what is known of each model, read anew from its repository's own headers and config."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from weighbridge.errors import SourceUnreachable, WeighbridgeError
from weighbridge.facts import HubAccess, ModelFacts, read
from weighbridge.figures import Basis
from weighbridge.whole_files import write_whole

from .catalogue import FILE_NAME, Catalogue, load
from .data import Reader, Writer
from .shaping import parts_of_facts, shape_of
from .variant import Known, Shape, Variant

PROGRESS = "models.progress.jsonl"
# So many that cannot be reached one after the other, and it is the hub that cannot be.
_GIVEN_UP = 8


@dataclass(frozen=True, slots=True)
class Refusal:
    """A repository that could not be read, and why."""

    repository: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh did."""

    path: Path
    read: int
    """How many repositories were read, those of an earlier run that was cut off included."""
    changed: tuple[str, ...]
    """Variants of which something is known now that was not, or otherwise."""
    refused: tuple[Refusal, ...]
    left: int
    """How many were not asked, since `most` was reached; the next run goes on with them."""


def refresh(
    access: HubAccess,
    into: Path,
    *,
    most: int | None = None,
    today: datetime.date | None = None,
    told: Callable[[str, Refusal | None], None] | None = None,
) -> Refreshed:
    """Read every known repository's config and headers anew, and write a newer catalogue into the folder `into`.

    Each answer is kept in a file beside as it comes, so that a run that is cut off, or that asks only `most`
    repositories, is gone on with by the next. What cannot be read keeps what was known of it. `told` hears of each
    repository. Raises SourceUnreachable where the hub cannot be reached, OSError where the folder cannot be written.
    """
    into.mkdir(parents=True, exist_ok=True)
    day = (today or datetime.date.today()).isoformat()  # noqa: DTZ011 - the day where the user is
    old = load(into)
    progress = into / PROGRESS
    done = _earlier(progress)
    asked = unreachable = 0
    changed, refused = [], []
    writer = Writer(max(day, old.date))
    left = 0
    read_count = 0
    for variant in old:
        current = variant
        if variant.repository in done:
            current, read_count = done[variant.repository], read_count + 1
        elif most is not None and asked >= most:
            left += 1
        else:
            asked += 1
            try:
                current = _renewed(variant, read(variant.repository, access), day)
            except WeighbridgeError as error:
                unreachable = unreachable + 1 if type(error) is SourceUnreachable else 0
                if unreachable >= _GIVEN_UP:
                    raise
                refusal = Refusal(variant.repository, str(error), error.hint)
                refused.append(refusal)
                if told:
                    told(variant.repository, refusal)
            else:
                unreachable = 0
                read_count += 1
                _keep(progress, current)
                if told:
                    told(variant.repository, None)
        if current != variant:
            changed.append(current.name)
        writer.add(current)
    path = into / FILE_NAME
    write_whole(path, writer.text(), sync=True)
    if not left:
        progress.unlink(missing_ok=True)
    return Refreshed(path, read_count, tuple(changed), tuple(refused), left)


def _renewed(variant: Variant, facts: ModelFacts, day: str) -> Variant:
    """The variant with what its files say; what they leave open stays as it was known."""
    source = f"read from {variant.repository}"
    shape = _shape(variant, facts, source, day)
    counted = facts.parameters

    def known(value: int | None, before: Known[int] | None) -> Known[int] | None:
        return before if value is None else Known(value, Basis(counted.basis), source, day)

    context = facts.context_length
    return replace(
        variant,
        shape=shape,
        parameters=known(counted.total, variant.parameters),
        active_parameters=known(counted.active, variant.active_parameters),
        context_length=Known(context, Basis.READ, source, day) if context else variant.context_length,
        licence=Known(facts.licence, Basis.READ, source, day)
        if facts.licence and (variant.licence is None or facts.licence.lower() != variant.licence.value.lower())
        else variant.licence,
    )


def _shape(variant: Variant, facts: ModelFacts, source: str, day: str) -> Shape | None:
    """The shape by the files; the bytes at each quantization stay where the files do not tell them and the weights are
    as many as before."""
    old = variant.shape
    new = shape_of(facts, parts_of_facts(facts), source=source, date=day, basis=Basis(facts.parameters.basis))
    if new is None:
        return old
    if new.network is None and old is not None and old.parameters == new.parameters:
        return replace(
            new, network=old.network, quantizations=old.quantizations, weights=new.weights or old.weights,
            head_count_kv=new.head_count_kv or old.head_count_kv, key_length=new.key_length or old.key_length,
            value_length=new.value_length or old.value_length, stores_output=old.stores_output,
        )  # fmt: skip
    return new


def _keep(progress: Path, variant: Variant) -> None:
    """Put one answer by: a data file of one variant, as one line."""
    writer = Writer("")
    writer.add(variant)
    line = json.dumps(writer.text())
    with progress.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


def _earlier(progress: Path) -> dict[str, Variant]:
    """The answers of a run that was cut off; a last line that was not written to its end is left out."""
    found = {}
    with contextlib.suppress(FileNotFoundError):
        for line in progress.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError, IndexError):
                variant = Reader(json.loads(line)).variant(0)
                found[variant.repository] = variant
    return found


__all__ = ["Catalogue", "Refreshed", "Refusal", "refresh"]
