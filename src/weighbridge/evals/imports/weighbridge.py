"""Our own logs."""

from __future__ import annotations

from pathlib import Path

from weighbridge.evals.log import KIND, EvalLog, read_log


def recognizes(path: Path) -> bool:
    """By its first line."""
    with path.open("rb") as file:
        return KIND.encode() in file.read(100)


def read(path: Path) -> list[EvalLog]:
    """The one log in it."""
    return [read_log(path)]
