"""`fetch(source)`: a model's files, all on this machine and right; what is here stays, what is damaged is replaced."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit

from weighbridge.disk import disk_errors, free_bytes
from weighbridge.errors import BadModelFile, NotEnoughDisk, SourceUnreachable
from weighbridge.facts import HubAccess
from weighbridge.facts.shelves.references import parse
from weighbridge.sizes import show_bytes
from weighbridge.whole_files import write_whole

from .cache import PART, CachedRepository, sum_of_blob
from .finding import find, note_of, state_folder, with_path
from .model_files import File, ModelFiles, Progress
from .sums import Verified, sum_of

if TYPE_CHECKING:
    from weighbridge.facts.shelves.http_ranges import RangeClient

    from .download import Order

# Files that are fetched at once; each is one connection.
_AT_ONCE = 4
_TOLD_EVERY_SECONDS = 0.1
_RATE_SECONDS = 8.0

Told = Callable[[Progress], None]


def fetch(
    source: str | os.PathLike[str] | ModelFiles,
    access: HubAccess | None = None,
    progress: Told | None = None,
    state_dir: Path | None = None,
    *,
    verify: bool = False,
    newest: bool = False,
) -> ModelFiles:
    """The model's files, each with its path; every one whose sum is stated somewhere has it.

    What an earlier run left is gone on with. A file that was verified before and has not changed since is not read
    again, unless `verify` asks for it. `progress` hears how far it is, ten times a second, on the calling thread; what
    it raises, like KeyboardInterrupt, ends the fetch and keeps what came.

    Raises as `find`; NotEnoughDisk before the first byte, or where the disk fills up meanwhile; BadModelFile for a
    damaged file that nobody can send again.
    """
    access = access or HubAccess()
    files = source if isinstance(source, ModelFiles) else find(source, access, state_dir, newest=newest)
    state = state_folder(state_dir)
    verified = Verified(state)
    damaged = _damaged(files, verified, progress, verify=verify)
    if files.place in ("file", "folder", "ollama", "lmstudio"):
        _ensure_whole(files, damaged)
        return files
    if damaged and files.place == "hf_cache":
        # The hub's listing says what they ought to be, and where they come from.
        files = _listed_anew(files, damaged, access, state_dir)
    if files.is_here and not damaged:
        return files
    _ensure_room(files, damaged, state if files.place == "url" else access.cache)
    return _Fetching(files, access, progress, damaged).run(verified)


def _damaged(files: ModelFiles, verified: Verified, progress: Told | None, *, verify: bool) -> frozenset[str]:
    """The files that are here and have not the sum that they must have."""
    checkable = [file for file in files.files if file.fetched and file.path and _stated(files, file)]
    if not checkable:
        return frozenset()
    known = set() if verify else verified.holds(checkable)
    left = [file for file in checkable if file.name not in known]
    found = set()
    teller = _Teller(files.name, sum(file.size_bytes for file in left), progress)
    done = 0
    for file in left:
        assert file.path

        def told(count: int) -> None:
            nonlocal done
            done += count
            teller.tell("checking", done, done, 0)

        stated = _stated(files, file)
        if sum_of(file, file.path, told) == stated:
            verified.note(file)
        else:
            found.add(file.name)
    return frozenset(found)


def _stated(files: ModelFiles, file: File) -> str | None:
    """The sum that the file must have; of a snapshot's file that a mirror listed without one, its blob's name."""
    if file.identity is None and files.place == "hub" and file.path is not None:
        sha256, git_sha1 = sum_of_blob(file.path)
        return sha256 or git_sha1
    return file.identity


def _ensure_whole(files: ModelFiles, damaged: frozenset[str]) -> None:
    """BadModelFile if a part is missing or damaged: it is not ours to fetch."""
    for file in files.files:
        if not file.fetched:
            raise BadModelFile(
                f"{files.name}: its part {file.name} is not there", hint="all parts must lie in one folder: fetch it"
            )
        if file.name in damaged:
            again = f"ollama pull {files.name}" if files.place == "ollama" else "with the program that fetched it"
            raise BadModelFile(
                f"{file.path}: is damaged: its content has not the sum in its name", hint=f"fetch it again: {again}"
            )


def _listed_anew(files: ModelFiles, damaged: frozenset[str], access: HubAccess, state_dir: Path | None) -> ModelFiles:
    assert files.repository
    selector = f":{files.wanted}" if files.wanted else ""
    if access.offline:
        raise BadModelFile(
            f"{files.name}: {', '.join(sorted(damaged))} is damaged, and HF_HUB_OFFLINE is set",
            hint="unset HF_HUB_OFFLINE, and run the same again: it is fetched anew",
        )
    try:
        listed = find(f"{files.repository}@{files.revision}{selector}", access, state_dir, newest=True)
    except SourceUnreachable as error:
        raise BadModelFile(
            f"{files.name}: {', '.join(sorted(damaged))} is damaged, and cannot be fetched again now: {error}",
            hint=error.hint,
        ) from error
    names = {file.name for file in files.files}
    return replace(files, files=tuple(file for file in listed.files if file.name in names), place="hub")


def _ensure_room(files: ModelFiles, damaged: frozenset[str], folder: Path) -> None:
    """NotEnoughDisk, with the sum, before the first byte."""
    needed = sum(file.size_bytes - (0 if file.name in damaged else file.present_bytes) for file in files.files)
    free = free_bytes(folder)
    if needed > free:
        raise NotEnoughDisk(
            f"{files.name}: {show_bytes(needed)} are to be fetched ({needed:,} bytes), and the disk of "
            f"{folder} has {show_bytes(free)} free: {show_bytes(needed - free)} too few",
            hint="free some space (weigh ls, weigh rm), or choose another disk: HF_HUB_CACHE",
        )


class _Fetching:
    """One fetch of several files."""

    def __init__(self, files: ModelFiles, access: HubAccess, progress: Told | None, damaged: frozenset[str]) -> None:
        from weighbridge.facts.shelves.http_ranges import RangeClient

        from .download import Download, Meter, Watch

        self._files, self._access, self._damaged = files, access, damaged
        self._wanted = [file for file in files.files if not file.fetched or file.name in damaged]
        self._teller = _Teller(files.name, files.size_bytes, progress)
        self._stop = threading.Event()
        self._meters = {file.name: Meter() for file in self._wanted}
        self._downloads: dict[str, Download] = {}
        self._watches: dict[str, Watch] = {}
        # The first is the pattern of the others; it fetches nothing itself.
        self._client = RangeClient(access)
        self._idle: list[RangeClient] = []

    def run(self, verified: Verified) -> ModelFiles:
        """Fetch what is missing; small files first, since they tell what the others are."""
        orders = self._orders()
        brought: dict[str, File] = {}
        pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="fetch")
        try:
            futures = {pool.submit(self._download, order): order for order in orders}
            left: set[Future[tuple[Path, str]]] = set(futures)
            while left:
                done, left = wait(left, timeout=_TOLD_EVERY_SECONDS, return_when=FIRST_COMPLETED)
                for future in done:
                    path, total = future.result()
                    with self._disk():
                        file = self._placed(futures[future].file, path, total)
                    verified.note(file)
                    brought[file.name] = file
                self._end_what_is_stuck()
                self._tell()
        except BaseException:
            self._stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            while self._downloads:
                # A connection may be made just now: until all have ended.
                for download in list(self._downloads.values()):
                    download.client.cut()
                time.sleep(_TOLD_EVERY_SECONDS)
            raise
        finally:
            pool.shutdown()
            for client in (self._client, *self._idle):
                client.close()
        files = tuple(brought.get(file.name, file) for file in self._files.files)
        if self._files.place == "url":
            return replace(self._files, files=files)
        with self._disk():
            self._refer()
        return replace(self._files, files=files, place="hf_cache")

    def _orders(self) -> list[Order]:
        wanted = sorted(self._wanted, key=lambda file: (file.size_bytes > 1 << 20, file.name))
        return [self._order_of_address(file) if self._files.place == "url" else self._order(file) for file in wanted]

    def _order(self, file: File) -> Order:
        from weighbridge.facts.shelves.http_answers import Remote

        from .download import Order

        files = self._files
        assert files.revision
        cached = self._cached()
        page = f"{self._access.endpoint}/{files.repository}"
        # A mirror that states no sums: until it is here, a file is known by its commit and name.
        key = file.identity or hashlib.sha256(f"{files.revision}/{file.name}".encode()).hexdigest()
        address = _address(page, files.revision, file.name)
        return Order(
            file=file, remote=Remote(address, address), part=cached.part(key), lock=cached.lock(key),
            place=cached.blob, licence_page=page, replaces=file.name in self._damaged, owner=files.source,
            owner_bytes=files.size_bytes, owner_wanted=files.wanted,
        )  # fmt: skip

    def _order_of_address(self, file: File) -> Order:
        from weighbridge.facts.shelves.http_answers import Remote, shown

        from .download import Order

        assert self._files.folder
        path = self._files.folder / file.name
        address = _beside(self._files.source, file.name)
        return Order(
            # What was kept of a damaged file is the sum that it had when it came; the server may have a newer one.
            file=replace(file, sha256=None), remote=Remote(address, shown(address)), part=Path(f"{path}{PART}"),
            lock=Path(f"{path}.lock"), place=lambda _sum: path, licence_page=shown(address),
            replaces=True, owner=self._owner(path), owner_bytes=self._files.size_bytes, owner_wanted=self._files.wanted,
        )  # fmt: skip

    def _download(self, order: Order) -> tuple[Path, str]:
        from .download import Download, Stopped, Watch

        name = order.file.name
        if self._stop.is_set():
            raise Stopped
        try:
            client = self._idle.pop()
        except IndexError:
            client = self._client.another()
        try:
            meter = self._meters[name]
            download = Download(order, client, self._access.patience, meter, self._stop)
            self._watches[name] = Watch(meter, self._access.patience)
            self._downloads[name] = download
            return download.run()
        finally:
            self._downloads.pop(name, None)
            self._idle.append(client)

    def _end_what_is_stuck(self) -> None:
        for name, download in list(self._downloads.items()):
            if self._watches[name].is_stuck():
                download.client.cut()

    def _tell(self) -> None:
        meters = list(self._meters.values())
        here = self._files.size_bytes - sum(file.size_bytes for file in self._wanted)
        phases = {meter.phase for meter in meters if meter.phase not in ("waiting", "done")}
        phase = "fetching" if "fetching" in phases else "checking" if phases else "waiting"
        done = here + sum(meter.done_bytes for meter in meters)
        resumed = sum(meter.resumed_bytes for meter in meters)
        self._teller.tell(phase, done, sum(meter.received_bytes for meter in meters), resumed)

    def _placed(self, file: File, path: Path, total: str) -> File:
        """Give a file that has come its name in the snapshot, or a note where there is no snapshot."""
        files = self._files
        if files.place == "url":
            note = {"model": self._owner(path), "size_bytes": file.size_bytes, "sha256": total}
            write_whole(note_of(path), json.dumps(note))
            return with_path(replace(file, sha256=total), path)
        assert files.revision
        cached = self._cached()
        cached.link(path, files.revision, file.name)
        return with_path(file, cached.pointer(files.revision, file.name))

    def _disk(self) -> AbstractContextManager[None]:
        return disk_errors(
            self._access.cache,
            full="free some space, and run the same again: nothing is fetched twice",
            choose="check its permissions, or choose another cache: HF_HUB_CACHE",
        )

    def _owner(self, path: Path) -> str:
        """What to call the model in notes: its address, unless that holds what may be secret."""
        return str(path) if "?" in self._files.source or "@" in self._files.source else self._files.source

    def _cached(self) -> CachedRepository:
        assert self._files.repository
        return CachedRepository(self._access.cache, self._files.repository)

    def _refer(self) -> None:
        """Note which commit the branch is, now that it has the model, and what the one before had unchanged."""
        assert self._files.revision
        named = parse(f"hf://{self._files.source}", "")
        revision = (named.revision if named else None) or "main"
        cached = self._cached()
        if revision == "main":
            for file in self._files.unchanged:
                if file.path is not None and file.path.exists():
                    cached.link(file.path.resolve(), self._files.revision, file.name)
        cached.refer(revision, self._files.revision)


class _Teller:
    """Counts how fast it goes, and tells."""

    def __init__(self, name: str, total: int, progress: Told | None) -> None:
        self._name, self._total, self._progress = name, total, progress
        self._seen: deque[tuple[float, int]] = deque()
        self._told_at = 0.0

    def tell(self, phase: str, done: int, moved: int, resumed: int) -> None:
        """`moved` counts what came in this run."""
        now = time.monotonic()
        if self._progress is None or (now - self._told_at < _TOLD_EVERY_SECONDS and done < self._total):
            return
        self._told_at = now
        self._seen.append((now, moved))
        while len(self._seen) > 2 and now - self._seen[0][0] > _RATE_SECONDS:
            self._seen.popleft()
        since, before = self._seen[0]
        rate = (moved - before) / (now - since) if now > since else 0.0
        left = (self._total - done) / rate if rate > 0 else None
        self._progress(Progress(self._name, phase, done, self._total, rate, left, resumed))


def _address(page: str, revision: str, name: str) -> str:
    return f"{page}/resolve/{quote(revision, safe='')}/{quote(name)}"


def _beside(address: str, name: str) -> str:
    """The address of a file beside another."""
    parts = urlsplit(address)
    folder = parts.path.rpartition("/")[0]
    return urlunsplit(parts._replace(path=f"{folder}/{quote(name)}", fragment=""))
