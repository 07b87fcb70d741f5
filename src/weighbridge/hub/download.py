"""`Download`: one file, fetched so that nothing that came is lost and nothing that is wrong is used.

Bytes are appended to a part file as they come, which the next run, of whatever process, goes on with. The sum is taken
on the way; of what an earlier run left it is taken first. Only content with the right sum gets its final name.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from weighbridge.disk import disk_errors
from weighbridge.errors import BadModelFile, ModelGated, RateLimited, SourceUnreachable
from weighbridge.facts.shelves import Patience
from weighbridge.facts.shelves.http_answers import Remote, TryAgain, content_length, content_range
from weighbridge.facts.shelves.http_ranges import RangeClient
from weighbridge.sizes import show_bytes
from weighbridge.whole_files import write_whole

from .finding import read_note, seconds_to_wait, size_of
from .model_files import File
from .sums import READ_BYTES, RunningSum, hash_for, sum_of

# Attempts that bring nothing, one after another; with the pauses between them about half a minute passes.
_MOST_FAILURES = 6
_MOST_PAUSE_SECONDS = 30.0
_LOCK_SECONDS = 0.5


class Stopped(Exception):
    """The fetch was told to end; what came is kept."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be fetched, and where it goes."""

    file: File
    remote: Remote
    part: Path
    lock: Path
    place: Callable[[str], Path]
    """Where content of this sum gets its final name."""
    licence_page: str
    """Where a gated model's licence is accepted."""
    replaces: bool = False
    """Whether what lies at the final place is known to be damaged."""
    made_at: float = field(default_factory=time.time)
    """When it was given, by the clock that files are dated with."""
    owner: str = ""
    """The source of the model, noted beside the part."""
    owner_bytes: int = 0
    """All files of the model."""
    owner_wanted: str | None = None
    """The one of them that is loaded."""


@dataclass(slots=True)
class Meter:
    """How far one file is; written by its thread, read by the one that shows it."""

    phase: str = "waiting"
    done_bytes: int = 0
    resumed_bytes: int = 0
    received_bytes: int = 0


class Download:
    """Fetches one file; each has a client of its own, so that ending it ends no other."""

    def __init__(
        self, order: Order, client: RangeClient, patience: Patience, meter: Meter, stop: threading.Event
    ) -> None:
        self.client, self.meter = client, meter
        self._order, self._patience, self._stop = order, patience, stop
        self._note_path = order.part.with_name(f"{order.part.name}.json")
        self._position = 0
        self._sum: RunningSum | None = None
        self._tag: str | None = None

    def run(self) -> tuple[Path, str]:
        """The file's path, when it is whole and right, and its sum."""
        try:
            return self._run()
        finally:
            self.meter.phase = "done"

    def _run(self) -> tuple[Path, str]:
        order = self._order
        with self._locked():
            if (found := self._brought_by_another()) is not None:
                return found
            for last in (False, True):
                total = self._fetch()
                if total == (order.file.identity or total):
                    return self._placed(total), total
                self._drop_part()
                if last:
                    raise SourceUnreachable(
                        f"{order.remote.label}: has the sum {total}, and the hub states {order.file.identity}, twice",
                        hint="the hub or a proxy hands out damaged content: try later, or another HF_ENDPOINT",
                    )
        raise AssertionError("the loop returns or raises")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """While another process fetches the same file, wait for it."""
        from filelock import Timeout
        from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

        for path in (self._order.lock, self._order.part):
            with self._disk():
                path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as held:
            is_held = False
            while not is_held:
                self._ensure_going_on()
                # Timeout is an OSError, and none of the disk's.
                with self._disk(), contextlib.suppress(Timeout):
                    held.enter_context(WeakFileLock(self._order.lock, timeout=_LOCK_SECONDS))
                    is_held = True
            yield

    def _brought_by_another(self) -> tuple[Path, str] | None:
        """What lies at the final place already, if it is right. Where nobody states its sum, or it was damaged, only
        what came since it was ordered: another process has waited for the same."""
        file = self._order.file
        path = self._order.place(file.identity or "")
        if size_of(path) != file.size_bytes:
            return None
        if path.stat().st_mtime < self._order.made_at and (file.identity is None or self._order.replaces):
            return None
        self.meter.phase = "checking"
        total = sum_of(file, path, self._told)
        if total == (file.identity or total):
            return path, total
        self.meter.done_bytes = 0
        return None

    def _told(self, count: int) -> None:
        self.meter.done_bytes += count
        self._ensure_going_on()

    def _ensure_going_on(self) -> None:
        if self._stop.is_set():
            raise Stopped

    def _fetch(self) -> str:
        """Have the part whole; its sum."""
        with self._disk():
            part = os.open(self._order.part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._begin(part)
            self._note()
            self._fill(part)
            assert self._sum
            total = self._sum.end()
            with self._disk():
                # A name must not outlive a power failure that its content does not.
                os.fsync(part)
        finally:
            if self._sum:
                self._sum.end()
                self._sum = None
            os.close(part)
        return total

    def _begin(self, part: int) -> None:
        """Take the sum of what an earlier run left, if it can be gone on with."""
        held = os.fstat(part).st_size
        known = read_note(self._note_path)
        tag = known.get("etag")
        self._tag = tag if isinstance(tag, str) else None
        same = (
            known.get("address") == self._order.remote.label and known.get("size_bytes") == self._order.file.size_bytes
        )
        usable = self._order.file.identity is not None or (self._tag is not None and same)
        if held > self._order.file.size_bytes or not usable:
            held = 0
        self._restart(part)
        os.ftruncate(part, held)
        self.meter.phase = "checking"
        while self._position < held:
            self._ensure_going_on()
            piece = os.pread(part, READ_BYTES, self._position)
            if not piece:
                break
            self._take_in(piece)
        self.meter.resumed_bytes = self._position

    def _restart(self, part: int) -> None:
        """Begin from the first byte."""
        if self._sum:
            self._sum.end()
        self._sum, self._position = RunningSum(hash_for(self._order.file)), 0
        self.meter.done_bytes = self.meter.resumed_bytes = 0

    def _take_in(self, piece: bytes) -> None:
        assert self._sum
        self._sum.add(piece)
        self._position += len(piece)
        self.meter.done_bytes = self._position

    def _fill(self, part: int) -> None:
        failures = waits = 0
        while self._position < self._order.file.size_bytes:
            before = self._position
            self.meter.phase = "fetching"
            try:
                self.client.once(self._order.remote, self._headers(), lambda response: self._receive(response, part))
            except TryAgain as trouble:
                self._ensure_going_on()
                failures = 1 if self._position > before else failures + 1
                if failures > _MOST_FAILURES:
                    raise trouble.error from trouble.__cause__
                self._pause(min(self._patience.pause_seconds * 2 ** (failures - 1), _MOST_PAUSE_SECONDS))
            except RateLimited as limit:
                seconds = seconds_to_wait(limit, waits)
                waits += 1
                if seconds is None or waits > _MOST_FAILURES:
                    raise
                self._pause(seconds)
            except ModelGated as gated:
                raise ModelGated(
                    str(gated),
                    hint=f"accept its licence at {self._order.licence_page}, and set HF_TOKEN to that account's token",
                ) from gated

    def _pause(self, seconds: float) -> None:
        self.meter.phase = "waiting"
        if self._stop.wait(seconds):
            raise Stopped

    def _headers(self) -> dict[str, str]:
        size, most, headers = self._order.file.size_bytes, self._patience.most_asked_bytes, {}
        if self._position or size > most:
            headers["Range"] = f"bytes={self._position}-{min(self._position + most, size) - 1}"
        if self._position and self._order.file.identity is None and self._tag:
            # Without a sum only the server knows whether its file is still the one whose beginning is here.
            headers["If-Range"] = self._tag
        return headers

    def _receive(self, response: httpx2.Response, part: int) -> None:
        """Append the body to the part, from where it begins."""
        label, size = self._order.remote.label, self._order.file.size_bytes
        first, _, total = content_range(response)
        if response.status_code == 200:
            first, total = 0, content_length(response)
            if self._position:
                # The server sends the whole file: it ignores ranges, or has another file by now.
                self._restart(part)
                os.ftruncate(part, 0)
        if response.status_code == 416 or (total is not None and total != size):
            has = "fewer" if total is None else f"{total:,}"
            raise BadModelFile(
                f"{label}: has {has} bytes, and the listing says {size:,}", hint="it was changed meanwhile: try again"
            )
        if first != self._position:
            raise SourceUnreachable(
                f"{label}: was asked for its bytes from {self._position:,} on, and sends those from {first}",
                hint="the server or a proxy is at fault: try later",
            )
        self._keep_tag(response)
        for piece in response.iter_raw():
            self._ensure_going_on()
            if self._position + len(piece) > size:
                raise SourceUnreachable(
                    f"{label}: sends more than its {size:,} bytes", hint="the server or a proxy is at fault: try later"
                )
            self._write(part, piece)
            self._take_in(piece)
            self.meter.received_bytes += len(piece)

    def _write(self, part: int, piece: bytes) -> None:
        with self._disk():
            written = 0
            while written < len(piece):
                written += os.pwrite(part, piece[written:], self._position + written)

    def _keep_tag(self, response: httpx2.Response) -> None:
        tag = response.headers.get("ETag", "")
        usable = tag if tag.startswith('"') and tag.isascii() and tag.isprintable() else None
        if usable != self._tag:
            self._tag = usable
            self._note()

    def _note(self) -> None:
        file = self._order.file
        note = {
            "model": self._order.owner, "model_bytes": self._order.owner_bytes,
            "wanted": self._order.owner_wanted, "name": file.name,
            "address": self._order.remote.label,
            "size_bytes": file.size_bytes, "etag": self._tag,
        }  # fmt: skip
        with self._disk():
            write_whole(self._note_path, json.dumps(note))

    def _placed(self, total: str) -> Path:
        path = self._order.place(total)
        with self._disk():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._order.part.replace(path)
            self._note_path.unlink(missing_ok=True)
        return path

    def _drop_part(self) -> None:
        self._order.part.unlink(missing_ok=True)
        self._note_path.unlink(missing_ok=True)
        self.meter.done_bytes = self.meter.resumed_bytes = 0

    def _disk(self) -> contextlib.AbstractContextManager[None]:
        left = self._order.file.size_bytes - self._position
        return disk_errors(
            self._order.part.parent,
            full=f"{show_bytes(left)} of {self._order.file.name} are still to come: free some space, and run the same "
            "again: it goes on where it ended",
            choose="check its permissions, or choose another cache: HF_HUB_CACHE",
        )


class Watch:
    """Tells a download that does not move, though its server says something now and then."""

    LEAST_BYTES_PER_SECOND = 1024

    def __init__(self, meter: Meter, patience: Patience) -> None:
        self._meter, self._seconds = meter, 2 * patience.read_seconds
        self._since, self._seen = time.monotonic(), meter.received_bytes

    def is_stuck(self) -> bool:
        """Whether in the time that is allowed hardly a byte came."""
        now, seen = time.monotonic(), self._meter.received_bytes
        if self._meter.phase != "fetching" or seen - self._seen >= self.LEAST_BYTES_PER_SECOND * self._seconds:
            self._since, self._seen = now, seen
            return False
        if now - self._since < self._seconds:
            return False
        self._since, self._seen = now, seen
        return True
