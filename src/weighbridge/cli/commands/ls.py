"""The models on this machine: what they are, how large, where, and when they were last used.

Looked through are the Hugging Face cache, LM Studio's folders, Ollama's store and what was fetched by address; all are
read in place. Only headers are read, so it is quick. What a fetch that was cut off left is shown as partial: weigh get
goes on with it.

example:
  weigh ls
"""

from __future__ import annotations

import argparse
import datetime
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from weighbridge import facts, hub
from weighbridge.cli import output
from weighbridge.cli.model_names import PLACES
from weighbridge.errors import WeighbridgeError
from weighbridge.facts import HubAccess
from weighbridge.hub import Stored
from weighbridge.settings import load
from weighbridge.sizes import show_bytes, show_count


@dataclass(frozen=True, slots=True)
class _Row:
    """A model, with what its header says."""

    model: Stored
    quantization: str | None
    parameters: int | None
    damage: str | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("--json", action="store_true", help="print the list as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the list."""
    access = HubAccess.from_environment(os.environ)
    stored = hub.stored(access, load().state_path)
    # Of a fetch that was refused nothing came: there is nothing to go on with, or to remove.
    rows = [_read(model, access) for model in stored if model.is_complete or model.size_bytes]
    if arguments.json:
        print(output.to_json([_as_data(row) for row in rows]))
        return 0
    if not rows:
        output.tell(f"no models are here; looked in {access.cache}, LM Studio's and Ollama's folders")
        output.tell("  weigh fit tells which run here, weigh get fetches one")
        return 0
    print(_table(rows))
    total = _distinct_bytes([row.model for row in rows])
    output.tell(f"{len(rows)} model{'s' if len(rows) != 1 else ''}, {show_bytes(total)}")
    for row in rows:
        if row.damage:
            output.tell(f"{row.model.name}: {row.damage}")
    return 0


def _read(model: Stored, access: HubAccess) -> _Row:
    if model.path is None:
        return _Row(model, None, None, None)
    try:
        source = model.source if model.place == "ollama" else model.path
        found = facts.read(source, access)
    except WeighbridgeError as error:
        return _Row(model, None, None, str(error))
    return _Row(model, found.quantization, found.parameters.total, None)


def _table(rows: Sequence[_Row]) -> str:
    now = datetime.datetime.now(datetime.UTC)
    cells = [
        (
            # Eight digits tell commits apart; weigh rm takes them too.
            re.sub(r"(@[0-9a-f]{8})[0-9a-f]{32}", r"\1", row.model.name),
            "?" if row.parameters is None else show_count(row.parameters),
            row.quantization or "?",
            show_bytes(row.model.size_bytes),
            PLACES[row.model.place],
            _ago(row.model.last_used, now),
            _state(row),
        )
        for row in rows
    ]
    head = ("model", "params", "type", "size", "place", "used", "state")
    return output.table(head, cells, right=(1, 3), droppable=(5, 4), name=0)


def _state(row: _Row) -> str:
    if row.damage:
        return "damaged"
    if row.model.is_complete:
        return "complete"
    total = row.model.total_bytes
    return f"{row.model.size_bytes / total:.0%}" if total else "partial"


def _ago(used: datetime.datetime | None, now: datetime.datetime) -> str:
    if used is None:
        return "-"
    days = (now - used).days
    return "today" if days < 1 else f"{days} d ago" if days < 60 else f"{days // 30} mo ago"


def _distinct_bytes(models: Sequence[Stored]) -> int:
    """Bytes on disk: what two models share counts once."""
    seen: dict[tuple[int, int], int] = {}
    for model in models:
        for path in model.files:
            try:
                status = path.stat()
            except OSError:
                continue
            seen[status.st_dev, status.st_ino] = status.st_size
    return sum(seen.values())


def _as_data(row: _Row) -> dict[str, object]:
    model = row.model
    return {
        "source": model.source, "name": model.name, "place": model.place, "format": model.format,
        "quantization": row.quantization, "parameters": row.parameters, "path": model.path,
        "size_bytes": model.size_bytes, "total_bytes": model.total_bytes, "is_complete": model.is_complete,
        "revision": model.revision, "last_used": model.last_used.isoformat() if model.last_used else None,
        "damage": row.damage,
    }  # fmt: skip
