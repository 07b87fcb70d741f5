"""Where a chain ends that another process wrote, however that process ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .row import GENESIS, LONGEST_LINE_BYTES, digest, first_number, read_head, read_line, read_row, segments


@dataclass(frozen=True, slots=True)
class End:
    """The last row that follows from those before it."""

    number: int
    hash: str
    segment: str
    bytes: int
    torn_bytes: int | None = None
    """How much of a line lies after it that was never finished, as a process that is killed leaves it."""
    note: str = ""
    """What is wrong with what lies there, if anything is: then a new file is begun, and this told in it."""


def recover(chain: Path) -> End | None:
    """The end of a chain, None where it has no row. Files are read and never changed.

    The head file says how far the last file was known; from there on, rows are followed by their hashes.
    """
    files = segments(chain)
    head = read_head(chain)
    if not files:
        if head is None:
            return None
        return End(head.number, head.hash, head.segment, 0, note="all files of the chain are gone")
    file = files[-1]
    if head is not None and head.segment == file.name and _is_row_at(file, head.bytes, head.hash):
        return _followed(file, head.bytes, head.number, head.hash)
    start = start_of(file, chain.name)
    if start is None:
        # Its first row is not whole: it follows the last file that has one.
        ends = (recover_file(each, chain.name) for each in reversed(files[:-1]))
        before = next((end for end in ends if end is not None), None)
        number, end = (before.number, before.hash) if before else (0, GENESIS)
        size = file.stat().st_size
        return End(number, end, file.name, size, torn_bytes=size, note="the last file had no whole row")
    found = recover_file(file, chain.name)
    assert found is not None
    if head is not None and head.number > found.number:
        gone = f"rows up to {head.number} are gone from the end"
        return End(head.number, head.hash, found.segment, found.bytes, found.torn_bytes, gone)
    return found


def recover_file(file: Path, chain: str) -> End | None:
    """The end of one file, from its first row on; None where that is not whole."""
    start = start_of(file, chain)
    return None if start is None else _followed(file, 0, first_number(file) - 1, start)


def start_of(file: Path, chain: str) -> str | None:
    """The hash that a file's first row follows; None where that row is not there, or damaged."""
    with file.open("rb") as lines:
        row = read_row(lines.readline(LONGEST_LINE_BYTES), chain)
    previous = row.fields.get("previous") if row and row.kind == "opened" else None
    return previous if isinstance(previous, str) and len(previous) == 64 else None


def _is_row_at(file: Path, end: int, expected: str) -> bool:
    """Whether the line that ends there has this hash."""
    size = file.stat().st_size
    if size < end:
        return False
    with file.open("rb") as lines:
        back = min(end, 1 << 14)
        while True:
            lines.seek(end - back)
            block = lines.read(back)
            at = block.rfind(b"\n", 0, -1)
            if at >= 0 or back == end or back > LONGEST_LINE_BYTES:
                break
            back = min(end, back * 4)
    line = read_line(block[at + 1 :])
    return line is not None and line.hash == expected


def _followed(file: Path, at: int, number: int, end: str) -> End:
    with file.open("rb") as lines:
        lines.seek(at)
        while raw := lines.readline(LONGEST_LINE_BYTES):
            line = read_line(raw)
            if line is None or line.number != number + 1 or line.hash != digest(end, line.body):
                rest = file.stat().st_size - at
                if not raw.endswith(b"\n") or not raw.strip(b"\0\n"):
                    return End(number, end, file.name, at, torn_bytes=rest)
                return End(number, end, file.name, at, note=f"row {number + 1} does not follow from those before it")
            at += len(raw)
            number, end = line.number, line.hash
    return End(number, end, file.name, at)
