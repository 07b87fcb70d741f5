"""`stored()`: the models that are on this machine, whoever fetched them; folders are listed, no file is opened."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from weighbridge.errors import BadModelFile
from weighbridge.facts import HubAccess
from weighbridge.facts.shelves import huggingface_cache, lmstudio, ollama, open_shelf
from weighbridge.facts.shelves.local import LocalShelf
from weighbridge.facts.shelves.references import Reference, is_gguf_model, parts_of

from .cache import PART, CachedRepository, repositories
from .finding import read_note, size_of, state_folder
from .selection import choose, short_name
from .usage import last_used


@dataclass(frozen=True, slots=True)
class Stored:
    """A model on this machine, whole or in part."""

    source: str
    """The text that `find` and `fetch` take for it."""
    name: str
    place: str
    """Where it is: hf_cache, lmstudio, ollama or url (fetched from a server into the state folder)."""
    format: str
    """gguf or safetensors."""
    path: Path | None
    """What an engine loads; None where that is not here."""
    size_bytes: int
    """Of what is here."""
    total_bytes: int | None
    """Of the whole model; None where parts are missing whose size is not known."""
    revision: str | None
    last_used: datetime.datetime | None
    """When it was last loaded here; None if never, or by other programs only."""
    files: tuple[Path, ...] = ()
    """Its weights' files, and of a fetch that was cut off what came."""
    repository: str | None = None
    wanted: str | None = None
    """The GGUF file that is loaded, of a split one the first part."""

    @property
    def is_complete(self) -> bool:
        """Whether nothing of it is missing."""
        return self.total_bytes == self.size_bytes


def stored(
    access: HubAccess | None = None, state_dir: Path | None = None, *, every_commit: bool = False
) -> tuple[Stored, ...]:
    """Every model in the Hugging Face cache, LM Studio's folders, Ollama's store and the state folder, sorted by name.

    Each is told where it lies; nothing is copied. A model that several commits of a repository have with the same
    content is told once, unless `every_commit` is asked for. What cannot be read is left out. Raises StateDamaged.
    """
    access = access or HubAccess()
    state = state_folder(state_dir)
    used = last_used(state)
    found: dict[tuple[str, str], Stored] = {}
    for one in (
        *_in_cache(access, every_commit=every_commit),
        *_in_lmstudio(access),
        *_in_ollama(access),
        *_in_state(state),
    ):
        times = [used.get(one.source), used.get(str(one.path.resolve())) if one.path else None]
        when = max((time for time in times if time), default=None)
        found.setdefault((one.place, one.source), replace(one, last_used=when))
    return tuple(sorted(found.values(), key=lambda one: (one.name.lower(), one.place)))


def _in_cache(access: HubAccess, *, every_commit: bool) -> Iterator[Stored]:
    for cached in repositories(access.cache):
        commits = cached.commits()
        main = cached.commit_of("main")
        if main not in commits:
            main = commits[0] if commits else None
        partial = _partial(cached)
        seen: set[str] = set()
        for commit in sorted(commits, key=lambda commit: commit != main):
            shelf = LocalShelf(cached.snapshots / commit, place="hf_cache", name=cached.repository, revision=commit)
            for one in _on_shelf(shelf, None if commit == main else commit):
                # Another commit's model with the same files is the same model.
                key = "|".join(sorted(str(path.resolve()) for path in one.files))
                if every_commit or key not in seen:
                    seen.add(key)
                    yield _with_parts(one, partial.pop(one.source, []))
        for source, notes in partial.items():
            yield _only_parts(cached, source, notes)


def _on_shelf(shelf: LocalShelf, commit: str | None) -> Iterator[Stored]:
    """The models in one folder: each GGUF file, and the checkpoint."""
    try:
        names = shelf.names()
    except BadModelFile:
        return
    at = f"@{commit}" if commit else ""
    prefix = lmstudio.PREFIX if shelf.place == "lmstudio" else ""
    reference = Reference(shelf.name)
    groups: dict[str, list[str]] = {}
    for name in names:
        if is_gguf_model(name):
            groups.setdefault(parts_of(name)[0], []).append(name)
    for first, held in groups.items():
        label = f"{shelf.name}{at}:{short_name(first, sorted({*names, first}), reference)}"
        is_whole = len(held) == len(parts_of(first))
        yield _stored(shelf, prefix + label, label, "gguf", held, is_whole=is_whole, wanted=first)
    weights = [name for name in names if name.endswith(".safetensors")]
    if weights:
        try:
            _, files = choose(names, reference)
            is_whole = set(huggingface_cache.shards(shelf, names)).issubset(names)
        except BadModelFile:
            files, is_whole = weights, False
        yield _stored(shelf, f"{prefix}{shelf.name}{at}", f"{shelf.name}{at}", "safetensors", files, is_whole=is_whole)


def _stored(
    shelf: LocalShelf, source: str, name: str, kind: str, names: Iterable[str], *, is_whole: bool,
    wanted: str | None = None,
) -> Stored:  # fmt: skip
    paths = tuple(shelf.path(each) for each in names)
    size = sum(size_of(path) or 0 for path in paths)
    path = (shelf.path(wanted) if wanted else shelf.root) if is_whole else None
    repository = shelf.name if shelf.place in ("hf_cache", "lmstudio") else None
    return Stored(
        source, name, shelf.place, kind, path, size, size if is_whole else None, shelf.revision, None, paths,
        repository, wanted,
    )  # fmt: skip


def _partial(cached: CachedRepository) -> dict[str, list[tuple[Path, dict[str, object]]]]:
    """What was cut off, by the source of the model that it belongs to."""
    found: dict[str, list[tuple[Path, dict[str, object]]]] = {}
    for part in _entries(cached.blobs, f"*{PART}"):
        note = read_note(part.with_name(f"{part.name}.json"))
        model = note.get("model")
        if isinstance(model, str) and model.startswith(cached.repository):
            found.setdefault(model, []).append((part, note))
    return found


def _with_parts(one: Stored, notes: list[tuple[Path, dict[str, object]]]) -> Stored:
    if not notes:
        return one
    size = one.size_bytes + sum(size_of(part) or 0 for part, _ in notes)
    return replace(
        one, path=None, size_bytes=size, total_bytes=_total(notes, size), files=(*one.files, *(p for p, _ in notes))
    )


def _only_parts(cached: CachedRepository, source: str, notes: list[tuple[Path, dict[str, object]]]) -> Stored:
    size = sum(size_of(part) or 0 for part, _ in notes)
    named = notes[0][1].get("wanted")
    wanted = named if isinstance(named, str) else None
    kind = "gguf" if wanted else "safetensors"
    paths = tuple(part for part, _ in notes)
    return Stored(
        source, source, "hf_cache", kind, None, size, _total(notes, size), None, None, paths, cached.repository, wanted
    )


def _total(notes: list[tuple[Path, dict[str, object]]], size: int) -> int | None:
    total = notes[0][1].get("model_bytes")
    # A part that is as long as the whole is not verified yet.
    return max(total, size + 1) if isinstance(total, int) else None


def _in_lmstudio(access: HubAccess) -> Iterator[Stored]:
    for shelf in lmstudio.entries(access):
        yield from _on_shelf(shelf, None)


def _in_ollama(access: HubAccess) -> Iterator[Stored]:
    for name in ollama.names(access):
        try:
            with open_shelf(f"ollama:{name}", access) as shelf:
                names = shelf.names()
                sizes = [shelf.size(each) for each in names]
                kind = "gguf" if shelf.wanted else "safetensors"
                path = shelf.path(shelf.wanted) if shelf.wanted else None
                files = tuple(found for each in names if (found := shelf.path(each)))
        except BadModelFile:
            continue
        size = sum(sizes)
        yield Stored(f"ollama:{name}", name, "ollama", kind, path, size, size, None, None, files)


def _in_state(state: Path) -> Iterator[Stored]:
    """What was fetched from servers: state/models/HOST/DIGEST/file.gguf, with a note beside each."""
    for folder in _entries(state / "models", "*/*"):
        if not folder.is_dir():
            continue
        groups: dict[str, list[Path]] = {}
        for path in _entries(folder, "*.gguf"):
            groups.setdefault(parts_of(path.name)[0], []).append(path)
        parts = _entries(folder, f"*.gguf{PART}")
        for part in parts:
            groups.setdefault(parts_of(part.name.removesuffix(PART))[0], [])
        for first, held in groups.items():
            mine = [part for part in parts if parts_of(part.name.removesuffix(PART))[0] == first]
            notes = [(part, read_note(part.with_name(f"{part.name}.json"))) for part in mine]
            size = sum(size_of(path) or 0 for path in (*held, *mine))
            is_whole = len(held) == len(parts_of(first)) and not mine
            total = size if is_whole else _total(notes, size) if notes else None
            source = _address_of(folder / first, notes)
            loaded = folder / first if is_whole else None
            yield Stored(
                source, first.removesuffix(".gguf"), "url", "gguf", loaded, size, total, None, None, (*held, *mine),
                wanted=first,
            )  # fmt: skip


def _address_of(path: Path, notes: list[tuple[Path, dict[str, object]]]) -> str:
    known = [read_note(path.with_name(f"{path.name}.fetched.json")), *(note for _, note in notes)]
    for note in known:
        address = note.get("model")
        if isinstance(address, str):
            return address
    return str(path)


def _entries(folder: Path, pattern: str) -> list[Path]:
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []
