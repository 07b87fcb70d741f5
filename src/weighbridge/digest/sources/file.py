"""`file:PATH`: a page, a folder of pages or an Obsidian vault on this machine, or a series of counts as CSV."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path

from weighbridge.digest.cleaning import clean_line
from weighbridge.digest.dates import day_of
from weighbridge.digest.found import OWN, Sighting, Step
from weighbridge.digest.markdown import front_matter
from weighbridge.digest.page import Page
from weighbridge.digest.reading import MOST_BYTES, SUFFIXES, read_file
from weighbridge.errors import BadPage, BadSetting

from .reader import Reader

HINT = "file:PATH"
MOST_FILES = 5000
_MOST_DEPTH = 12
_STEP = 50
_MOST_ROWS = 1_000_000
# The first columns of a series; `org/name` in the second.
SERIES = ("date", "model_id", "likes", "downloads")


def check(what: str) -> None:
    """Something that is there."""
    if not Path(what).expanduser().exists():
        raise BadSetting(f"{what}: is not there", hint="name a file or a folder: file:posts/2026-04-19.md")


def read(what: str, reader: Reader, cursor: str | None) -> Iterator[Step]:
    """A step for some files each, in the order of their names."""
    root = Path(what).expanduser()
    paths, notes = _paths(root) if root.is_dir() else ([root], [])
    if cursor:
        paths = [path for path in paths if str(path) > cursor]
    for at in range(0, max(len(paths), 1), _STEP):
        items: list[object] = []
        for path in paths[at : at + _STEP]:
            try:
                items += _read(path, reader, is_named=path == root)
            except BadPage as error:
                if path == root:
                    raise
                notes.append(str(error))
        more = str(paths[at + _STEP - 1]) if paths[at + _STEP :] else None
        yield Step(tuple(items), more, tuple(notes))  # type: ignore[arg-type]
        notes = []


def pages_in(folder: Path, day: str) -> tuple[list[Page], list[str]]:
    """The pages of a folder or a vault, and what of it could not be read. `day`: today."""
    paths, notes = _paths(folder)
    found: list[Page] = []
    for path in paths:
        try:
            found += _page(path, day) if path.suffix.lower() != ".csv" else ()
        except BadPage as error:
            notes.append(str(error))
    return found, notes


def _paths(root: Path) -> tuple[list[Path], list[str]]:
    """Readable files below a folder, sorted; hidden folders (`.obsidian`, `.git`) and links out of it are not read."""
    found: list[Path] = []
    base = len(root.parts)
    for folder, folders, names in os.walk(root):
        here = Path(folder)
        folders[:] = (
            sorted(name for name in folders if not name.startswith(".")) if len(here.parts) - base < _MOST_DEPTH else []
        )
        for name in names:
            path = here / name
            if name.startswith(".") or path.suffix.lower() not in (*SUFFIXES, ".csv"):
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
                continue
            found.append(path)
        if len(found) > MOST_FILES:
            break
    found.sort(key=str)
    notes = [f"{root}: only {MOST_FILES:,} of its files are read"] if len(found) > MOST_FILES else []
    return found[:MOST_FILES], notes


def _read(path: Path, reader: Reader, *, is_named: bool) -> list[object]:
    if path.suffix.lower() == ".csv":
        return list(series(path, is_named=is_named))
    return list(_page(path, reader.day))


def _page(path: Path, day: str) -> list[Page]:
    page = read_file(path, day)
    if path.suffix.lower() in (".md", ".markdown") and _is_own(path):
        return []
    return [page] if page.text.strip() else []


def _is_own(path: Path) -> bool:
    with path.open(encoding="utf-8", errors="replace") as file:
        return OWN in front_matter(file.read(20 << 10))[0]


def series(path: Path, *, is_named: bool = True) -> Iterator[Sighting]:
    """The rows of a CSV file with the columns date, model_id, likes, downloads; another file's rows only where it was
    named: then BadPage says what is wrong, with the line."""
    try:
        with path.open("rb") as file:
            data = file.read(4 * MOST_BYTES + 1)
    except OSError as error:
        raise BadPage(f"{path}: {error.strerror or error}", hint="name a readable file") from error
    if len(data) > 4 * MOST_BYTES:
        raise BadPage(f"{path}: is larger than {4 * MOST_BYTES:,} bytes", hint="split it by time")
    rows = csv.reader(io.StringIO(data.decode("utf-8-sig", "replace"), newline=""))
    try:
        head = tuple(name.strip().lower() for name in next(rows, []))
        if head[: len(SERIES)] != SERIES:
            if is_named:
                raise BadPage(f"{path}: its first line is no head of a series", hint=f"columns: {', '.join(SERIES)}")
            return
        for number, row in enumerate(rows, start=2):
            if number > _MOST_ROWS:
                raise BadPage(f"{path}: has more than {_MOST_ROWS:,} lines", hint="split it by time")
            if row:
                yield _sighting(path, number, row)
    except csv.Error as error:
        raise BadPage(f"{path}: line {rows.line_num}: {error}", hint=f"columns: {', '.join(SERIES)}") from error


def _sighting(path: Path, number: int, row: list[str]) -> Sighting:
    day = day_of(row[0]) if len(row) >= len(SERIES) else None
    model = clean_line(row[1], 200) if len(row) >= len(SERIES) else ""
    counts = []
    for text in row[2 : len(SERIES)]:
        text = text.strip()
        if text and not (text.isascii() and text.isdecimal() and len(text) < 16):
            raise BadPage(f"{path}: line {number}: {text[:40]!r} is no count", hint="digits only, or nothing")
        counts.append(int(text) if text else None)
    if day is None or not model:
        raise BadPage(f"{path}: line {number}: expected a date and a model", hint=f"columns: {', '.join(SERIES)}")
    return Sighting(model, day, counts[0], counts[1], path.name)
