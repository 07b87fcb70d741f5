"""Reading the ledger: `rows()` from the oldest on, `last()` from the newest back; all chains together, by time."""

from __future__ import annotations

import datetime
import heapq
import os
from collections.abc import Callable, Iterator
from itertools import islice, takewhile
from pathlib import Path

from .row import LONGEST_LINE_BYTES, Head, Row, day_of, read_head, read_row, segments

_BLOCK_BYTES = 1 << 16


def folder_of(state_path: Path) -> Path:
    """Where the ledger of a state folder lies."""
    return state_path / "ledger"


def chains(folder: Path) -> list[Path]:
    """The folders of its chains."""
    return sorted((path for path in folder.glob("*") if path.name.isdigit() and path.is_dir()), key=_by_number)


def _by_number(chain: Path) -> int:
    return int(chain.name)


def heads(folder: Path) -> list[Head]:
    """The newest row of each chain, as far as it came to disk."""
    return [head for chain in chains(folder) if (head := read_head(chain))]


def rows(
    folder: Path,
    *,
    since: datetime.datetime | None = None,
    until: datetime.datetime | None = None,
    wanted: Callable[[Row], bool] | None = None,
) -> Iterator[Row]:
    """The rows of a ledger (`folder_of(state_path)`), oldest first, `since` included and `until` not.

    What does not have the form of a row is passed over: whether that may be is what `verify` says.
    """
    found = heapq.merge(*(_of_chain(chain, since) for chain in chains(folder)), key=lambda row: row.time)
    for row in found:
        if since is not None and row.time < since:
            continue
        if until is not None and row.time >= until:
            # Of one process the clock may have been set back: what follows is looked at as well.
            continue
        if wanted is None or wanted(row):
            yield row


def last(
    folder: Path,
    count: int,
    *,
    since: datetime.datetime | None = None,
    wanted: Callable[[Row], bool] | None = None,
) -> list[Row]:
    """The newest rows that are wanted, oldest first; no more is read than needed."""
    found = heapq.merge(
        *(_backwards(chain) for chain in chains(folder)), key=lambda row: row.time.timestamp(), reverse=True
    )
    recent = takewhile(lambda row: since is None or row.time >= since, found)
    return [*islice((row for row in recent if wanted is None or wanted(row)), count)][::-1]


def _of_chain(chain: Path, since: datetime.datetime | None) -> Iterator[Row]:
    files = segments(chain)
    if since is not None:
        day = since.astimezone(datetime.UTC).strftime("%Y-%m-%d")
        # A file ends on the day on which the next one begins, or before.
        files = [
            file for file, after in zip(files, [*files[1:], None], strict=True) if not after or day_of(after) >= day
        ]
    for path in files:
        try:
            file = path.open("rb")
        except FileNotFoundError:
            continue  # removed meanwhile
        with file:
            while raw := file.readline(LONGEST_LINE_BYTES):
                if row := read_row(raw, chain.name):
                    yield row


def _backwards(chain: Path) -> Iterator[Row]:
    for path in reversed(segments(chain)):
        for raw in _lines_backwards(path):
            if row := read_row(raw + b"\n", chain.name):
                yield row


def _lines_backwards(path: Path) -> Iterator[bytes]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        at = file.seek(0, os.SEEK_END)
        rest = b""
        while at > 0:
            size = min(_BLOCK_BYTES, at)
            at -= size
            file.seek(at)
            first, *lines = (file.read(size) + rest).split(b"\n")
            # What no line is so long as is not kept: a file without line ends fills no memory.
            rest = first[-LONGEST_LINE_BYTES:]
            yield from reversed(lines)
        if rest:
            yield rest
