"""LM Studio's folder of models: publisher/repository/file.gguf, named as on the hub, without revisions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from weighbridge.errors import BadModelFile

from .access import HubAccess
from .local import LocalShelf
from .references import Reference, is_gguf_model, is_repository, parse, parts_of

PREFIX = "lmstudio:"


def find(reference: Reference, access: HubAccess) -> LocalShelf | None:
    """The repository's files that LM Studio fetched, if all parts of the one that is meant are there.

    It keeps no revisions, so whoever names one is not served; and files of one repository come one by one, so one that
    is not named must be the only one.
    """
    if reference.revision is not None:
        return None
    for shelf in _shelves(reference.repository, access):
        names = shelf.names()
        try:
            shelf.wanted = reference.choose(names)
        except BadModelFile:
            continue
        models = [name for name in names if is_gguf_model(name) and parts_of(name)[0] == name]
        wanted = shelf.wanted or (models[0] if len(models) == 1 else None)
        if wanted and set(names).issuperset(parts_of(wanted)):
            shelf.wanted = wanted
            return shelf
    return None


def entry(text: str, access: HubAccess) -> LocalShelf:
    """The entry `publisher/repository` or `publisher/repository:Q4_K_M`; BadModelFile where there is none."""
    reference = parse(f"hf://{text}", access.endpoint)
    found = find(reference, access) if reference else None
    if found is None:
        held = [shelf.name for shelf in entries(access)]
        raise BadModelFile(
            f"{PREFIX}{text[:200]}: is not in LM Studio's folder {access.lmstudio[0] if access.lmstudio else ''}",
            hint=f"there are {', '.join(held[:12])}" if held else "there are no models: fetch it with weigh get",
        )
    return found


def entries(access: HubAccess) -> Iterator[LocalShelf]:
    """The repositories that LM Studio holds."""
    for root in access.lmstudio:
        for publisher in _folders(root):
            for folder in _folders(publisher):
                name = f"{publisher.name}/{folder.name}"
                if is_repository(name):
                    yield LocalShelf(folder, place="lmstudio", name=name)


def _shelves(repository: str, access: HubAccess) -> Iterator[LocalShelf]:
    for root in access.lmstudio:
        if (root / repository).is_dir():
            yield LocalShelf(root / repository, place="lmstudio", name=repository)


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(entry for entry in path.iterdir() if not entry.name.startswith(".") and entry.is_dir())
    except OSError:
        return []
