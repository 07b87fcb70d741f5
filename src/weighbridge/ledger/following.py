"""`follow()`: rows as they are written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .reading import chains
from .row import LONGEST_LINE_BYTES, Row, read_row, segments

_LOOK_SECONDS = 0.2


def follow(folder: Path, *, goes_on: Callable[[], bool] = lambda: True) -> Iterator[Row]:
    """Every row that comes to disk from now on, as long as `goes_on` says so."""
    places: dict[Path, tuple[Path, int]] = {}
    for chain in chains(folder):
        if files := segments(chain):
            places[chain] = files[-1], files[-1].stat().st_size
    while goes_on():
        found = [row for chain in chains(folder) for row in _new(chain, places)]
        yield from sorted(found, key=lambda row: row.time)
        if not found:
            time.sleep(_LOOK_SECONDS)


def _new(chain: Path, places: dict[Path, tuple[Path, int]]) -> list[Row]:
    """What a chain has more than before."""
    found: list[Row] = []
    for path in segments(chain):
        place, at = places.get(chain, (path, 0))
        if path.name < place.name:
            continue
        at = at if path == place else 0
        try:
            with path.open("rb") as file:
                file.seek(at)
                while (raw := file.readline(LONGEST_LINE_BYTES)).endswith(b"\n"):
                    at += len(raw)
                    if row := read_row(raw, chain.name):
                        found.append(row)
        except FileNotFoundError:
            continue
        places[chain] = path, at
    return found
