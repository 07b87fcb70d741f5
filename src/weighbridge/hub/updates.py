"""`newer()`: which of the models here have a newer revision on the hub, and whether their weights changed with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from weighbridge.errors import BadModelFile, WeighbridgeError
from weighbridge.facts import HubAccess
from weighbridge.facts.shelves.references import Reference

from .cache import sum_of_blob
from .finding import patiently
from .listing import Stored


@dataclass(frozen=True, slots=True)
class Update:
    """What the hub has of a model that is here."""

    source: str
    have: str
    """The commit that is here."""
    newest: str | None
    """The commit that the hub has; None where it could not be asked."""
    changed: tuple[str, ...] = ()
    """Those of the model's files that are others now, or gone."""
    fetch_bytes: int = 0
    """What fetching the newest would bring over."""
    error: str | None = None
    """Why the hub could not be asked."""


def newer(
    models: Sequence[Stored], access: HubAccess, told: Callable[[Update], None] | None = None
) -> tuple[Update, ...]:
    """Ask the hub about each model of its that is here whole; one listing a repository, no files.

    Models that a commit was named for are left out: they are as they are wanted.
    """
    found = []
    for one in models:
        if one.place != "hf_cache" or not one.repository or not one.revision or not one.is_complete:
            continue
        if f"@{one.revision}" in one.source:
            continue
        try:
            update = patiently(lambda one=one: _ask(one, access))  # type: ignore[misc]
        except WeighbridgeError as error:
            update = Update(one.source, one.revision, None, error=str(error))
        found.append(update)
        if told:
            told(update)
    return tuple(found)


def _ask(one: Stored, access: HubAccess) -> Update:
    from weighbridge.facts.shelves.hub import HubShelf

    assert one.repository
    assert one.revision
    with HubShelf(Reference(one.repository), access) as shelf:
        newest = shelf.revision
        changed, needed = [], 0
        if newest != one.revision:
            names = set(shelf.names())
            for path in one.files:
                name = _name_in_snapshot(path.as_posix(), one.revision)
                if name not in names:
                    changed.append(name)
                elif not set(sum_of_blob(path)) & set(shelf.sums(name)) - {None}:
                    changed.append(name)
                    needed += shelf.size(name)
        return Update(one.source, one.revision, newest, tuple(changed), needed)


def _name_in_snapshot(path: str, commit: str) -> str:
    _, found, name = path.rpartition(f"/snapshots/{commit}/")
    if not found:
        raise BadModelFile(f"{path}: does not lie in the snapshot {commit}", hint="fetch the model again")
    return name
