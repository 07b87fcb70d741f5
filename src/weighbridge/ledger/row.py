"""`Row`: one line of the ledger, and how its hash is made.

A line is `{"hash":"H","row":R}` where R is JSON with sorted keys, no spaces and ASCII alone, and H is the sha256, in
hexadecimal, of the hash of the line before it followed by R. Before the first line stand 64 zeros. So any line's hash
depends on every byte before it, and a dozen lines in any language can check it.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

GENESIS = "0" * 64
"""What stands where the first line's predecessor would."""
LONGEST_LINE_BYTES = 4 << 20
_FORM = re.compile(rb'\{"hash":"([0-9a-f]{64})","row":(\{.*\})\}\n', re.DOTALL)
# Quotes within a string are escaped, so this is a key; and no other row than ours has it deeper down.
_NUMBER = re.compile(rb'[{,]"number":(\d{1,18})[,}]')
_SEGMENT = re.compile(r"(\d{12})-(\d{4}-\d{2}-\d{2})(?:_\d\d)?\.jsonl")
_HEAD_FILE = "head.json"


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `kind` is `request`, or `engine`, `gateway`, `opened`, `removed` or `lost`."""

    chain: str
    """Which of the folder's chains it belongs to: one for each process that writes at the same time."""
    number: int
    """Its place in the chain, from 1 on."""
    kind: str
    time: datetime.datetime
    """When it was written, in UTC; of a request, when its answer was over."""
    hash: str
    fields: Mapping[str, Any]
    """All that the row says, as `docs/ledger.md` lists it."""


@dataclass(frozen=True, slots=True)
class Head:
    """The newest row of a chain: whoever notes its hash elsewhere can later prove all rows up to it."""

    chain: str
    number: int
    hash: str
    segment: str
    """The file that it stands in."""
    bytes: int
    """How long that file was then."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that has the right form; whether its hash is right is for others to say."""

    hash: str
    body: bytes
    number: int


def canonical(fields: Mapping[str, Any]) -> str:
    """The row's JSON: sorted keys, no spaces, ASCII."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(previous: str, body: bytes) -> str:
    """The hash of a row that follows one with the hash `previous`."""
    return sha256(previous.encode() + body).hexdigest()


def read_line(raw: bytes) -> Line | None:
    """A whole line, its end included; None where it has not the form of one."""
    found = _FORM.fullmatch(raw)
    number = _NUMBER.search(found[2]) if found else None
    return Line(found[1].decode(), found[2], int(number[1])) if found and number else None


def read_row(raw: bytes, chain: str) -> Row | None:
    """The row of a line; None where there is none in it."""
    line = read_line(raw)
    if line is None:
        return None
    try:
        fields = json.loads(line.body)
        time = datetime.datetime.fromisoformat(fields["time"])
        return Row(chain, line.number, str(fields["kind"]), time, line.hash, fields)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def stamp(seconds: float) -> str:
    """A time as rows have it: 2026-11-21T10:00:00.123456Z."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def segment_name(number: int, day: str, attempt: int = 0) -> str:
    """The file whose first row has this number and was written on this day, e.g. 2026-11-21; `attempt` counts those
    whose writer was killed within that row."""
    return f"{number:012d}-{day}{f'_{attempt:02d}' if attempt else ''}.jsonl"


def segments(chain: Path) -> list[Path]:
    """A chain's files, the oldest first."""
    return sorted(path for path in chain.glob("*.jsonl") if _SEGMENT.fullmatch(path.name))


def first_number(segment: Path) -> int:
    """The number of a segment's first row, by its name."""
    found = _SEGMENT.fullmatch(segment.name)
    return int(found[1]) if found else 0


def day_of(segment: Path) -> str:
    """The day on which a segment was begun."""
    found = _SEGMENT.fullmatch(segment.name)
    return found[2] if found else ""


def read_head(chain: Path) -> Head | None:
    """What the head file says; None where there is none that can be read."""
    try:
        said = json.loads((chain / _HEAD_FILE).read_bytes())
        head = Head(chain.name, int(said["number"]), str(said["hash"]), str(said["segment"]), int(said["bytes"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None
    if head.number < 0 or head.bytes < 0:
        return None
    return head if _SEGMENT.fullmatch(head.segment) and re.fullmatch("[0-9a-f]{64}", head.hash) else None


def write_head(chain: Path, head: Head) -> None:
    """Have the head file say this. It is replaced as a whole, so no reader meets half of it."""
    said = {"number": head.number, "hash": head.hash, "segment": head.segment, "bytes": head.bytes}
    new = chain / (_HEAD_FILE + ".new")
    new.write_text(canonical(said))
    new.replace(chain / _HEAD_FILE)
