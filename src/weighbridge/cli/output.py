"""What commands print: data on stdout as tables or JSON, talk on stderr."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

_SHORTEST_NAME = 24


def printable(text: str) -> str:
    """The text with what could steer a terminal (escapes, line ends) written out: files and servers are strangers."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def tell(line: str) -> None:
    """A line of talk, on stderr; a terminal that is gone hears nothing, and that is no fault."""
    with contextlib.suppress(OSError):
        print(printable(line), file=sys.stderr, flush=True)


def plain(value: Any) -> Any:
    """Dataclasses, paths and enumerations within it as JSON has them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(entry) for entry in value]
    if isinstance(value, Path):
        return str(value)
    return value.value if isinstance(value, Enum) else value


def to_json(value: Any, indent: int | None = 2) -> str:
    """Dataclasses, mappings and lists as JSON; without an indent in one line."""
    return json.dumps(plain(value), ensure_ascii=False, indent=indent, allow_nan=False)


def width() -> int:
    """Columns to write in: the terminal's, from 40 to 100; 80 where there is none."""
    return max(40, min(shutil.get_terminal_size((80, 24)).columns, 100))


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Sequence[int] | range = (),
    *,
    droppable: Sequence[int] = (),
    name: int | None = None,
) -> str:
    """Columns as wide as their widest cell; those in `right` are aligned right. The last takes what room is left.

    Where they are too wide together, those of `droppable` are left away, the first of them first; then the column
    `name` loses the beginnings of its cells, as the end of a model's name tells most.
    """
    cells = [[printable(str(cell)) for cell in row] for row in (head, *rows)]
    widths = {column: max(len(row[column]) for row in cells) for column in range(len(head))}
    for column in droppable:
        if _together(widths) <= width():
            break
        del widths[column]
    if name is not None:
        widths[name] = min(widths[name], max(_SHORTEST_NAME, widths[name] + width() - _together(widths)))
    lines = []
    for row in cells:
        parts = [
            cell.rjust(size) if column in right else cell.ljust(size)
            for column, size in widths.items()
            for cell in [row[column] if len(row[column]) <= size else "…" + row[column][1 - size :]]
        ]
        line = "  ".join(parts).rstrip()
        lines.append(line if len(line) <= width() else line[: width() - 1] + "…")
    return "\n".join(lines)


def _together(widths: Mapping[int, int]) -> int:
    return sum(widths.values()) + 2 * (len(widths) - 1)


def fields(pairs: Sequence[tuple[str, str]]) -> str:
    """Names and values, a pair a line; long values go on below themselves."""
    column = max(len(name) for name, _ in pairs) + 2
    lines: list[str] = []
    for name, value in pairs:
        wrapped = textwrap.wrap(printable(value), width() - column) or [""]
        lines.append(name.ljust(column) + wrapped[0])
        lines += [" " * column + more for more in wrapped[1:]]
    return "\n".join(line.rstrip() for line in lines)


def bar(share: float, columns: int) -> str:
    """A bar of at most `columns` blocks, in eighths."""
    eighths = round(max(0.0, min(1.0, share)) * columns * 8)
    return "█" * (eighths // 8) + ("▏▎▍▌▋▊▉"[eighths % 8 - 1] if eighths % 8 else "")


def duration(seconds: float) -> str:
    """A time as people say it: 12 s, 3 min 5 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
