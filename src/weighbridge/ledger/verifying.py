"""`verify()`: whether every row follows from the one before it; the first that does not, and what was done to it."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .reading import chains
from .row import (
    GENESIS,
    LONGEST_LINE_BYTES,
    Head,
    Line,
    digest,
    first_number,
    read_head,
    read_line,
    read_row,
    segments,
)

_AHEAD = 8
_OTHER_KIND = re.compile(rb'[{,]"kind":"(opened|removed|lost)"[,}]')


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and where first."""

    chain: str
    kind: str
    """`changed`, `removed`, `inserted`, `reordered`, `truncated`, `unreadable`, or `rewritten` against a noted hash."""
    message: str
    segment: str = ""
    line: int | None = None
    """In that file, from 1 on."""
    number: int | None = None
    """Of the row."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check of the whole ledger found; it is untouched where there is no problem."""

    rows: int
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    """What is no fault, and good to know: rows that were lost, files that were removed in order, a line cut off."""
    heads: tuple[Head, ...]
    """The newest row of each chain that is sound up to there."""

    @property
    def is_untouched(self) -> bool:
        """Whether all rows are as they were written."""
        return not self.problems


@dataclass(slots=True)
class _Chain:
    """How far the check of one chain is."""

    folder: Path
    noted: set[str]
    """Hashes that were noted elsewhere and not met yet."""
    number: int = 0
    hash: str = GENESIS
    before: str = GENESIS
    """The hash of the row before the last one."""
    rows: int = 0
    segment: str = ""
    bytes: int = 0
    torn_bytes: int = 0
    starts_after: tuple[int, str] = (0, GENESIS)
    removed: dict[int, str] = field(default_factory=dict)
    """The last row of each file that was removed in order, and its hash."""
    notes: list[str] = field(default_factory=list)
    at_head: str | None = None
    """The hash of the row that the head file names."""
    lost_rows: int = 0
    lost_at: list[int] = field(default_factory=list)
    """The first row that says that some were left out, and the last one."""


class _Bad(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def verify(folder: Path, noted: str | None = None) -> Verdict:
    """Check every row of a ledger (`folder_of(state_path)`), while others may write on.

    `noted` is the hash of a row that somebody wrote down elsewhere: it must still be there. Without one, a ledger that
    was written anew from some row on, by somebody who made all later hashes and the head file too, can't be told apart.
    """
    wanted = {noted.lower()} if noted else set()
    problems: list[Problem] = []
    found = [_Chain(chain, wanted) for chain in chains(folder)]
    for chain in found:
        # Before the rows: what is written meanwhile comes after it.
        head = read_head(chain.folder)
        try:
            _check(chain, head)
        except _Bad as bad:
            problems.append(bad.problem)
        _tell_lost(chain)
    if wanted:
        message = f"no row has the hash {noted} that was noted: what was recorded up to there was rewritten or removed"
        problems.append(Problem("", "rewritten", message))
    heads = tuple(
        Head(chain.folder.name, chain.number, chain.hash, chain.segment, chain.bytes) for chain in found if chain.rows
    )
    notes = tuple(note for chain in found for note in chain.notes)
    return Verdict(sum(chain.rows for chain in found), tuple(problems), notes, heads)


def _tell_lost(chain: _Chain) -> None:
    """All gaps in one note: while strangers are refused by the hundred there is one a row."""
    if chain.lost_at:
        where = " to ".join(map(str, chain.lost_at))
        why = "the disk was full or too slow, or requests were refused by the hundred"
        chain.notes.append(f"chain {chain.folder.name}: before row {where}, {chain.lost_rows} were left out: {why}")


def _check(chain: _Chain, head: Head | None) -> None:
    files = segments(chain.folder)
    if not files and head is None:
        return
    while len(files) > 1 and _holds_nothing(files[0]):
        # Its writer was killed within its first row, which the next file has again.
        files = files[1:]
    if files and first_number(files[0]) > 1:
        _begin_late(chain, files[0])
    for index, file in enumerate(files):
        _check_file(chain, file, head, is_last=index == len(files) - 1)
    if chain.starts_after[0]:
        _check_start(chain)
    if head is None:
        chain.notes.append(f"chain {chain.folder.name} has no head file: rows cut off its end could not be seen")
    elif chain.number < head.number:
        raise _bad(
            chain, "truncated", f"rows {chain.number + 1} to {head.number} are gone from the end: the head file is at "
            f"row {head.number}",
        )  # fmt: skip
    elif chain.at_head not in (None, head.hash):
        raise _bad(chain, "changed", f"the head file gives row {head.number} another hash than the row has")


def _holds_nothing(file: Path) -> bool:
    """Whether there is no whole line in it, and so no row."""
    with file.open("rb") as lines:
        first = lines.readline(LONGEST_LINE_BYTES)
    return len(first) < LONGEST_LINE_BYTES and not first.endswith(b"\n")


def _begin_late(chain: _Chain, file: Path) -> None:
    """The oldest file is not the chain's first: whether those before it went in order is told by later rows."""
    with file.open("rb") as lines:
        row = read_row(lines.readline(LONGEST_LINE_BYTES), chain.folder.name)
    if row is None or row.kind != "opened":
        raise _Bad(
            Problem(chain.folder.name, "unreadable", "its first row cannot be read", file.name, 1, first_number(file))
        )
    chain.number, chain.hash = first_number(file) - 1, str(row.fields.get("previous"))
    chain.starts_after = chain.number, chain.hash


def _check_start(chain: _Chain) -> None:
    number, end = chain.starts_after
    if chain.removed.get(number) != end:
        kind, name = "removed", chain.folder.name
        raise _Bad(Problem(name, kind, f"rows 1 to {number} are gone, and no row says that they were removed in order"))
    chain.notes.append(f"chain {chain.folder.name}: rows 1 to {number} were removed in order, as the settings have it")


def _check_file(chain: _Chain, file: Path, head: Head | None, *, is_last: bool) -> None:
    """Every line of one file."""
    with file.open("rb") as lines:
        ahead: deque[bytes] = deque()
        count = 0
        chain.segment, chain.bytes = file.name, 0
        for raw in _with_ahead(lines, ahead):
            count += 1
            line = read_line(raw)
            if line is None or not raw.endswith(b"\n"):
                if ahead or not (is_last or not raw.endswith(b"\n") or not raw.strip(b"\0\n")):
                    raise _bad(chain, "unreadable", "it is not a row", count)
                chain.torn_bytes = len(raw)
                continue
            if line.number != chain.number + 1 or line.hash != digest(chain.hash, line.body):
                raise _why(chain, line, ahead, count)
            if found := _OTHER_KIND.search(line.body):
                try:
                    _heed(chain, found[1].decode(), line, count)
                except (ValueError, KeyError, TypeError, RecursionError) as error:
                    raise _bad(chain, "changed", "no writer of a ledger says it so", count) from error
            chain.number, chain.before, chain.hash = line.number, chain.hash, line.hash
            chain.rows += 1
            chain.bytes += len(raw)
            chain.noted.discard(line.hash)
            if head is not None and head.number == line.number:
                chain.at_head = line.hash
    if is_last and chain.torn_bytes:
        chain.notes.append(
            f"chain {chain.folder.name}: the last line is not finished: a writer is at work, or was killed"
        )


def _with_ahead(lines: Iterator[bytes], ahead: deque[bytes]) -> Iterator[bytes]:
    """Each line, with some of those that follow at hand in `ahead`."""
    for raw in _bounded(lines):
        ahead.append(raw)
        if len(ahead) > _AHEAD:
            yield ahead.popleft()
    while ahead:
        yield ahead.popleft()


def _bounded(file: object) -> Iterator[bytes]:
    while raw := file.readline(LONGEST_LINE_BYTES):  # type: ignore[attr-defined]
        yield raw


def _heed(chain: _Chain, kind: str, line: Line, count: int) -> None:
    """What rows say about the ledger itself."""
    said = json.loads(line.body)
    if kind == "removed":
        chain.removed[said["last"]] = said["end"]
        chain.noted.discard(str(said["end"]))
    elif kind == "lost":
        chain.lost_rows += int(said["count"])
        chain.lost_at.append(line.number)
        del chain.lost_at[1:-1]
    else:
        if said.get("previous") != chain.hash:
            raise _bad(chain, "changed", "it says that it follows another row", count)
        if chain.torn_bytes and said.get("torn_bytes") != chain.torn_bytes:
            raise _bad(chain, "truncated", "the file before it ends within a line, and it does not say so", count)
        if chain.torn_bytes:
            chain.notes.append(f"chain {chain.folder.name}: a writer was killed in the midst of row {line.number}")
        elif said.get("note"):
            chain.notes.append(f"chain {chain.folder.name}: from row {line.number} on after a fault: {said['note']}")
        chain.torn_bytes = 0


def _why(chain: _Chain, line: Line, ahead: deque[bytes], count: int) -> _Bad:
    """What was done to a row that does not follow, by what comes after it."""
    expected = chain.number + 1
    later = [found for raw in ahead if (found := read_line(raw))]
    following = [found for found in later if found.hash == digest(chain.hash, found.body)]
    if line.number > expected:
        if any(found.number == expected for found in later):
            return _bad(chain, "reordered", f"rows {expected} and {line.number} have changed places", count)
        gone = f"row {expected} is" if line.number == expected + 1 else f"rows {expected} to {line.number - 1} are"
        return _bad(chain, "removed", f"{gone} gone", count)
    if line.number == chain.number and line.hash != chain.hash and line.hash == digest(chain.before, line.body):
        return _bad(
            chain, "inserted", "it was not written there: the row after it follows from the one before", count - 1
        )
    if following or line.number < expected:
        return _bad(chain, "inserted", "it was not written there: the row after it follows from the one before", count)
    if later and later[0].hash == digest(line.hash, later[0].body):
        return _bad(chain, "changed", f"row {line.number} no longer says what it said", count)
    return _bad(chain, "changed", f"row {line.number}, its hash or the row before it was changed", count)


def _bad(chain: _Chain, kind: str, message: str, line: int | None = None) -> _Bad:
    return _Bad(Problem(chain.folder.name, kind, message, chain.segment, line, chain.number + 1))
