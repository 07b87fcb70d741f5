"""The cache that huggingface_hub keeps on this machine: models--org--name/snapshots/COMMIT, refs/main."""

from __future__ import annotations

import re
from pathlib import Path

from weighbridge.errors import BadModelFile

from ..config import MOST_INDEX_BYTES, parse_json
from .access import HubAccess
from .local import LocalShelf
from .references import Reference, is_gguf_model, parts_of

_FOLDER = re.compile(r"models--(?P<repository>[\w.-]+)", re.ASCII)
_COMMIT = re.compile(r"[\w.-]{1,128}", re.ASCII)
_MOST_REF_BYTES = 4096


def at(path: Path) -> LocalShelf | None:
    """The shelf for a path in a cache: a models-- folder, a snapshot, or a file of one. None for other paths."""
    path = path.absolute()
    for folder in (path, *path.parents):
        named = _FOLDER.fullmatch(folder.name)
        if not named or not (folder / "snapshots").is_dir():
            continue
        inside = path.relative_to(folder).parts
        name = named["repository"].replace("--", "/", 1)
        if not inside or inside == ("snapshots",):
            return _shelf(_only_snapshot(folder), name)
        if inside[0] != "snapshots":
            return None
        root = folder / "snapshots" / inside[1]
        below = "/".join(inside[2:])
        if below and path.is_dir():
            return None
        return _shelf(root, name, below or None)
    return None


def find(reference: Reference, access: HubAccess) -> LocalShelf | None:
    """The repository in the cache, if it holds all that tells what the model is; offline, also if it does not."""
    folder = access.cache / f"models--{reference.repository.replace('/', '--')}"
    if not (folder / "snapshots").is_dir():
        return None
    snapshot = _snapshot(folder, reference.revision or "main")
    if snapshot is None and reference.revision is None and access.offline:
        snapshot = _only_snapshot(folder)
    if snapshot is None:
        return None
    shelf = _shelf(snapshot, reference.repository)
    names = shelf.names()
    if access.offline:
        shelf.wanted = reference.choose(names)
        return shelf
    try:
        shelf.wanted = reference.choose(names)
    except BadModelFile:
        return None
    return shelf if _is_complete(shelf, names) else None


def _shelf(snapshot: Path, name: str, wanted: str | None = None) -> LocalShelf:
    return LocalShelf(snapshot, place="hf_cache", name=name, wanted=wanted, revision=snapshot.name)


def _snapshot(folder: Path, revision: str) -> Path | None:
    """The snapshot of a branch, tag or commit."""
    reference = folder / "refs" / revision
    commit = revision
    if ".." not in reference.parts and reference.is_file():
        try:
            with reference.open(encoding="utf-8") as file:
                commit = file.read(_MOST_REF_BYTES).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise BadModelFile(f"{reference}: {error}", hint="fetch the model again with hf download") from error
    if not _COMMIT.fullmatch(commit) or commit in (".", ".."):
        return None
    snapshot = folder / "snapshots" / commit
    return snapshot if snapshot.is_dir() else None


def _only_snapshot(folder: Path) -> Path:
    """The snapshot of main, or the only one; BadModelFile names them if there are several."""
    if main := _snapshot(folder, "main"):
        return main
    found = sorted(path for path in (folder / "snapshots").iterdir() if path.is_dir())
    if len(found) == 1:
        return found[0]
    names = ", ".join(path.name for path in found[:8])
    raise BadModelFile(
        f"{folder}: has {len(found):,} snapshots and no refs/main to tell which is meant: {names}",
        hint="give the path of one in its folder snapshots" if found else "fetch the model again with hf download",
    )


def _is_complete(shelf: LocalShelf, names: list[str]) -> bool:
    """Whether the snapshot has what a reader of facts needs; people cache a config or a tokenizer alone, too."""
    held = set(names)
    if shelf.wanted is not None:
        return held.issuperset(parts_of(shelf.wanted))
    models = [name for name in names if is_gguf_model(name)]
    if models:
        return all(held.issuperset(parts_of(name)) for name in models)
    if not held.issuperset(shards(shelf, names)):
        return False
    return "config.json" in held and any(name.endswith((".safetensors", ".bin")) for name in names)


def shards(shelf: LocalShelf, names: list[str]) -> set[str]:
    """The files that the indexes on the shelf name, relative to the shelf."""
    found: set[str] = set()
    for index in (name for name in names if name.endswith(".index.json")):
        named = parse_json(shelf.read(index, MOST_INDEX_BYTES), shelf.label(index), MOST_INDEX_BYTES).get("weight_map")
        if isinstance(named, dict):
            folder = index[: index.rfind("/") + 1]
            found |= {f"{folder}{shard}" for shard in named.values()}
    return found
