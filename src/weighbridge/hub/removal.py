"""Removing models: what is ours or in the Hugging Face cache, and of shared content only what nothing else uses."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from weighbridge.errors import BadModelFile, BadSetting
from weighbridge.facts import HubAccess
from weighbridge.facts.shelves.references import Reference, is_gguf_model, parse

from .cache import PART, CachedRepository
from .finding import note_of, size_of
from .listing import Stored

_OWNERS = {"ollama": "ollama rm {}", "lmstudio": "remove it in LM Studio"}


@dataclass(frozen=True, slots=True)
class Removal:
    """What is to be removed, and how much that frees."""

    models: tuple[Stored, ...]
    freed_bytes: int
    paths: tuple[Path, ...]
    """Links and files, and of the cache's content what nothing else uses."""


def choose_stored(text: str, models: Sequence[Stored], access: HubAccess) -> tuple[Stored, ...]:
    """The models of `stored()` that a text names: one by its source, name or path, or all of a repository."""
    exact = [one for one in models if text in (one.source, one.name) or _is_path(text, one)]
    if exact:
        return tuple(exact)
    reference = parse(text, access.endpoint)
    named = [one for one in models if reference and _means(reference, one)]
    if named:
        return tuple(named)
    near = [one.name for one in models if text.rpartition("/")[2].partition(":")[0].lower() in one.name.lower()][:6]
    raise BadModelFile(
        f"{text[:200]}: is not on this machine",
        hint=f"did you mean {', '.join(near)}?" if near else "weigh ls shows what is",
    )


def plan_removal(models: Sequence[Stored], access: HubAccess) -> Removal:
    """What removing these models takes; nothing is changed. BadSetting for what belongs to another program."""
    for one in models:
        if one.place in _OWNERS:
            raise BadSetting(
                f"{one.name}: lies in the folder of {one.place}, which keeps account of it",
                hint=_OWNERS[one.place].format(one.name),
            )
    paths: dict[Path, None] = {}
    by_repository: dict[str, list[Stored]] = {}
    for one in models:
        if one.repository:
            by_repository.setdefault(one.repository, []).append(one)
        else:
            for path in one.files:
                beside = (note_of(path), path.with_name(f"{path.name}.json"), path.with_name(f"{path.name}.lock"))
                paths |= dict.fromkeys((path, *(found for found in beside if found.exists())))
    for repository, group in by_repository.items():
        paths |= dict.fromkeys(_in_repository(CachedRepository(access.cache, repository), group))
    freed = sum(path.lstat().st_size for path in paths if not path.is_symlink())
    return Removal(tuple(models), freed, tuple(paths))


def remove(removal: Removal, access: HubAccess) -> int:
    """Remove it; the bytes that were freed. Raises BadSetting where the system refuses."""
    freed = 0
    for path in removal.paths:
        try:
            size = 0 if path.is_symlink() else path.stat().st_size
            path.unlink()
            freed += size
        except FileNotFoundError:
            continue
        except OSError as error:
            raise BadSetting(
                f"{path}: cannot be removed: {error.strerror or error}", hint="check the folder's permissions"
            ) from error
    for one in removal.models:
        if one.repository:
            freed += _tidy(CachedRepository(access.cache, one.repository))
        else:
            for path in one.files:
                with contextlib.suppress(OSError):
                    path.parent.rmdir()
    return freed


def _is_path(text: str, one: Stored) -> bool:
    return one.path is not None and Path(text).expanduser().absolute() == one.path.absolute()


def _means(reference: Reference, one: Stored) -> bool:
    if one.place != "hf_cache" or reference.repository != one.repository:
        return False
    if reference.revision and not _names_commit(reference.revision, one.revision):
        return False
    if reference.selector is None:
        return True
    try:
        return one.wanted is not None and reference.choose([one.wanted]) == one.wanted
    except BadModelFile:
        return False


def _names_commit(text: str, commit: str | None) -> bool:
    """Whether it is the commit, or the beginning of it that `weigh ls` shows."""
    return commit is not None and (text == commit or (len(text) >= 8 and commit.startswith(text)))


def _in_repository(cached: CachedRepository, models: Sequence[Stored]) -> list[Path]:
    """The links and parts of these models, and the blobs that only they use."""
    gone = {path for one in models for path in one.files}
    for one in models:
        if one.revision:
            gone |= _left_over(cached.snapshots / one.revision, gone)
    gone = {path for path in gone if path.is_symlink() or path.exists()}
    kept = {path.resolve() for path in cached.snapshots.rglob("*") if not path.is_dir() and path not in gone}
    # A link may lead anywhere; what is not in the repository's own blobs is not ours.
    inside = cached.blobs.resolve()
    blobs = {path.resolve() for path in gone if path.is_symlink() and path.resolve().parent == inside} - kept
    notes = {path.with_name(f"{path.name}.json") for path in gone if path.name.endswith(PART)}
    return sorted(gone | {path for path in blobs | notes if size_of(path) is not None})


def _left_over(snapshot: Path, gone: set[Path]) -> set[Path]:
    """The texts and configs of a snapshot, if no weights stay in it."""
    left = {path for path in snapshot.rglob("*") if not path.is_dir()} - gone
    weights = [path for path in left if is_gguf_model(path.name) or path.name.endswith((".safetensors", ".bin"))]
    return set() if weights else left


def _tidy(cached: CachedRepository) -> int:
    """Remove folders that are empty, branches whose commit is gone, and a repository of which nothing is left; the
    bytes that this freed."""
    for folder in sorted((path for path in cached.snapshots.rglob("*") if path.is_dir()), reverse=True):
        with contextlib.suppress(OSError):
            folder.rmdir()
    commits = set(cached.commits())
    for branch in cached.folder.glob("refs/**/*"):
        if branch.is_file() and branch.read_text(encoding="utf-8", errors="replace").strip() not in commits:
            branch.unlink(missing_ok=True)
    if commits or any(cached.blobs.glob(f"*{PART}")):
        return 0
    freed = sum(path.lstat().st_size for path in cached.blobs.glob("*"))
    for folder in (cached.folder, cached.lock("x").parent):
        shutil.rmtree(folder, ignore_errors=True)
    return freed
