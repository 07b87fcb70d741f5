"""`find(source)`: which files make a model, and whether they are on this machine; only listings are read."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from weighbridge.errors import BadModelFile, RateLimited, SourceUnreachable
from weighbridge.facts import HubAccess
from weighbridge.facts.shelves import Shelf, huggingface_cache, lmstudio, open_shelf
from weighbridge.facts.shelves.local import LocalShelf
from weighbridge.facts.shelves.references import Reference, parse, parts_of
from weighbridge.settings import Settings

from .cache import PART, CachedRepository, sum_of_blob
from .model_files import File, ModelFiles
from .selection import choose, short_name

if TYPE_CHECKING:
    from weighbridge.facts.shelves.hub import HubShelf

Answer = TypeVar("Answer")

# A hub that asks for a longer pause is not waited for.
MOST_WAIT_SECONDS = 300.0
_MOST_WAITS = 5
_MOST_NOTE_BYTES = 1 << 16


def find(
    source: str | os.PathLike[str],
    access: HubAccess | None = None,
    state_dir: Path | None = None,
    *,
    newest: bool = False,
) -> ModelFiles:
    """The files of the model that `source` names, and which of them are here.

    A source is a path, org/name[:Q4_K_M][@revision] (also as an address of the hub's), ollama:name:tag,
    lmstudio:org/name, or the address of a file. What is on this machine is taken from there; only what is not, or
    `newest`, asks the hub. Raises BadModelFile for what is not there, SourceUnreachable for trouble on the network:
    ModelGated and RateLimited among it.
    """
    access = access or HubAccess()
    text = os.fspath(source)
    reference = None if _is_path(text) else parse(text, access.endpoint)
    if reference is not None:
        return _of_reference(text, reference, access, newest=newest)
    if text.startswith(("http://", "https://")) and not _is_path(text):
        return _of_address(text, access, state_folder(state_dir))
    with open_shelf(source, access) as shelf:
        return _of_shelf(shelf, text)


def state_folder(state_dir: Path | None) -> Path:
    """The folder given, or that of the settings' defaults."""
    return state_dir if state_dir is not None else Settings().state_path


def patiently(ask: Callable[[], Answer], pause: Callable[[float], bool] | None = None) -> Answer:
    """What `ask` answers; where the hub limits the rate, it is waited for as it asks, a few times.

    `pause(seconds)` waits, and tells whether to give up.
    """
    pause = pause or threading.Event().wait
    for tried in range(_MOST_WAITS):
        try:
            return ask()
        except RateLimited as limit:
            seconds = seconds_to_wait(limit, tried)
            if seconds is None or pause(seconds):
                raise
    return ask()


def seconds_to_wait(limit: RateLimited, tried: int) -> float | None:
    """How long to wait after this many tries; None: too long."""
    seconds = float(2**tried) if limit.wait_seconds is None else limit.wait_seconds
    return seconds if seconds <= MOST_WAIT_SECONDS else None


def _is_path(text: str) -> bool:
    try:
        return bool(text) and Path(text).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False


def _of_reference(text: str, reference: Reference, access: HubAccess, *, newest: bool) -> ModelFiles:
    if not newest or access.offline:
        found = _on_this_machine(reference, access)
        if found is not None and found.is_here:
            return found
    if access.offline:
        # Says what is missing: the repository, or the file in it.
        with open_shelf(text, access) as shelf:
            _of_shelf(shelf, text, reference)
        raise SourceUnreachable(
            f"{text}: HF_HUB_OFFLINE is set, and not all of its files are on this machine", hint="unset HF_HUB_OFFLINE"
        )
    return patiently(lambda: _on_the_hub(reference, access))


def _on_this_machine(reference: Reference, access: HubAccess) -> ModelFiles | None:
    """The model in the cache or in LM Studio's folder, where it is told apart there."""
    for search in (huggingface_cache.find, lmstudio.find):
        try:
            shelf = search(reference, access)
            if shelf is not None:
                return _of_shelf(shelf, reference.repository, reference)
        except BadModelFile:
            if access.offline:
                raise
    return None


def _of_shelf(shelf: Shelf, text: str, reference: Reference | None = None) -> ModelFiles:
    """A model that is on this machine."""
    if shelf.place == "ollama":
        names, wanted = shelf.names(), shelf.wanted
    elif shelf.place == "file":
        assert shelf.wanted is not None
        wanted, names = shelf.wanted, parts_of(shelf.wanted)
    else:
        # What a person named or what is there; a missing part is told by `choose`.
        named = reference or Reference(shelf.name)
        selector = shelf.wanted or named.selector
        wanted, names = choose(shelf.names(), Reference(named.repository, named.revision, selector))
    files = tuple(_local_file(shelf, name) for name in names)
    repository = shelf.name if shelf.place in ("hf_cache", "lmstudio") else None
    name, source = shelf.name, _source(shelf, text)
    if repository:
        name = _called(repository, reference, wanted, shelf.names())
        pinned = reference is None and shelf.place == "hf_cache" and not _is_main(shelf)
        source = f"lmstudio:{name}" if shelf.place == "lmstudio" and reference is None else name
        if pinned:
            source = _called(repository, Reference(repository, shelf.revision), wanted, shelf.names())
    folder = shelf.root if isinstance(shelf, LocalShelf) and shelf.place != "ollama" else None
    return ModelFiles(source, name, shelf.place, shelf.revision, files, repository, wanted, folder)


def _is_main(shelf: Shelf) -> bool:
    assert isinstance(shelf, LocalShelf)
    reference = shelf.root.parent.parent / "refs" / "main"
    return reference.is_file() and reference.read_text(encoding="utf-8", errors="replace").strip() == shelf.revision


def _source(shelf: Shelf, text: str) -> str:
    if shelf.place == "ollama":
        return f"ollama:{shelf.name}"
    return str(Path(text).expanduser().absolute()) if shelf.place in ("file", "folder") else text


def _called(repository: str, reference: Reference | None, wanted: str | None, names: list[str]) -> str:
    revision = f"@{reference.revision}" if reference and reference.revision else ""
    selector = f":{short_name(wanted, names, Reference(repository))}" if wanted else ""
    return f"{repository}{revision}{selector}"


def _local_file(shelf: Shelf, name: str) -> File:
    path = shelf.path(name)
    assert path is not None
    try:
        size = shelf.size(name)
    except BadModelFile:
        if shelf.place != "file":
            raise
        return File(name, 0)
    sha256, git_sha1 = sum_of_blob(path) if shelf.place in ("hf_cache", "ollama") else (None, None)
    return File(name, size, sha256, git_sha1, path, fetched=True, present_bytes=size)


def _on_the_hub(reference: Reference, access: HubAccess) -> ModelFiles:
    """The model by the hub's listing; what of it is in the cache, under this commit or another, is not missing."""
    from weighbridge.facts.shelves.hub import HubShelf

    with HubShelf(reference, access) as shelf:
        listed = shelf.names()
        wanted, names = choose(listed, reference)
        commit = shelf.revision or reference.revision or "main"
        cached = CachedRepository(access.cache, reference.repository)
        files = []
        for name in names:
            sha256, git_sha1 = shelf.sums(name)
            files.append(_listed_file(cached, commit, File(name, shelf.size(name), sha256, git_sha1)))
        unchanged = _unchanged(cached, shelf, set(listed) - set(names))
    source = _called(reference.repository, reference, wanted, listed)
    folder = cached.snapshots / commit
    return ModelFiles(source, source, "hub", commit, tuple(files), reference.repository, wanted, folder, unchanged)


def _unchanged(cached: CachedRepository, shelf: HubShelf, names: set[str]) -> tuple[File, ...]:
    """Of these files, those that main had before with the same content, so that no model is lost from it."""
    before = cached.commit_of("main")
    if before is None or before == shelf.revision:
        return ()
    found = []
    for name in names:
        path = cached.pointer(before, name)
        sha256, git_sha1 = shelf.sums(name)
        if path.is_symlink() and (sha256 or git_sha1) and sum_of_blob(path) == (sha256, git_sha1):
            found.append(with_path(File(name, size_of(path) or 0, sha256, git_sha1), path))
    return tuple(found)


def _listed_file(cached: CachedRepository, commit: str, file: File) -> File:
    pointer = cached.pointer(commit, file.name)
    if size_of(pointer) == file.size_bytes:
        return with_path(file, pointer)
    if file.identity is None:
        return file
    if size_of(cached.blob(file.identity)) == file.size_bytes:
        return File(file.name, file.size_bytes, file.sha256, file.git_sha1, present_bytes=file.size_bytes)
    part = min(size_of(cached.part(file.identity)) or 0, file.size_bytes)
    return File(file.name, file.size_bytes, file.sha256, file.git_sha1, present_bytes=part)


def with_path(file: File, path: Path) -> File:
    """The file, as one that is here."""
    return File(file.name, file.size_bytes, file.sha256, file.git_sha1, path, True, file.size_bytes)


def size_of(path: Path) -> int | None:
    """A file's bytes; None where there is none."""
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def _of_address(text: str, access: HubAccess, state: Path) -> ModelFiles:
    """A file on a server, and where it is kept: a server tells no commit, so a folder of ours by its address."""
    folder, wanted = folder_of_address(text, state)
    kept = _kept(folder, text, wanted)
    if kept is not None and (kept.is_here or access.offline):
        return kept
    with patiently(lambda: open_shelf(text, access)) as shelf:
        assert shelf.wanted is not None
        names = shelf.names()
        files = []
        for name in names:
            size = shelf.size(name)
            path = folder / name
            note = read_note(note_of(path))
            if size_of(path) == size and note:
                files.append(File(name, size, _text(note, "sha256"), None, path, True, size))
            else:
                files.append(File(name, size, present_bytes=min(size_of(Path(f"{path}{PART}")) or 0, size)))
        whole = None if not shelf.wanted.endswith(".gguf") else shelf.wanted
        return ModelFiles(text, shelf.name, "url", None, tuple(files), None, whole, folder)


def folder_of_address(text: str, state: Path) -> tuple[Path, str]:
    """Where the files of an address are kept, and the file's name."""
    parts = urlsplit(text)
    before, _, name = parts.path.rpartition("/")
    host = (parts.hostname or "").lower() + (f"-{parts.port}" if parts.port else "")
    digest = hashlib.sha256(f"{parts.scheme}://{host}{before}?{parts.query}".encode()).hexdigest()
    return state / "models" / host / digest[:16], name


def _kept(folder: Path, text: str, wanted: str) -> ModelFiles | None:
    """What was fetched from this address before, if all of it was."""
    names = parts_of(wanted)
    notes = [read_note(note_of(folder / name)) for name in names]
    if not wanted.endswith(".gguf") or not all(notes):
        return None
    files = []
    for name, note in zip(names, notes, strict=True):
        path, size = folder / name, size_of(folder / name)
        if size is None or note.get("size_bytes") != size:
            return None
        files.append(File(name, size, _text(note, "sha256"), None, path, True, size))
    return ModelFiles(text, Path(wanted).stem, "url", None, tuple(files), None, wanted, folder)


def note_of(path: Path) -> Path:
    """The note beside a file from a server: its address, size, entity tag and the sum that it had when it came."""
    return path.with_name(f"{path.name}.fetched.json")


def read_note(path: Path) -> dict[str, object]:
    """A note, or nothing where there is none that can be read."""
    try:
        with path.open("rb") as file:
            data = json.loads(file.read(_MOST_NOTE_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _text(note: dict[str, object], key: str) -> str | None:
    value = note.get(key)
    return value if isinstance(value, str) else None
