"""A task of our own in TOML: the data, how it is asked, and how it is scored; `weigh eval init` writes one.

[task]
data = "sums.jsonl"          # beside this file
scorer = "numeric"
prompt = "{input}"           # each question, put where {input} stands
max_tokens = 512

[columns]                    # where the data calls things by other names
input = "Frage"

[scorer]                     # the scorer's options
tolerance = 0.01
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weighbridge.errors import BadTask
from weighbridge.evals.formats import plain
from weighbridge.evals.task import Generation, Task

_KEYS: Mapping[str, type | tuple[type, ...]] = {
    "name": str,
    "data": str,
    "scorer": str,
    "system": str,
    "prompt": str,
    "max_tokens": int,
    "temperature": (int, float),
    "stop": list,
    "scores_truncated": bool,
    "request": dict,
}
_COLUMNS = ("input", "target", "id", "choices", "cluster")


def reads(path: Path) -> bool:
    """By the ending of its name."""
    return path.suffix == ".toml"


def read(path: Path, data: Path | None) -> list[Task]:
    """The task, on other data where `data` is given. BadTask names a key that does not exist, and the nearest one."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadTask(f"{path}: {error}", hint="weigh eval init writes one that can be read") from error
    task = _table(path, found, "task")
    columns, options = _table(path, found, "columns"), _table(path, found, "scorer")
    _known(path, "the file", found, ("task", "columns", "scorer"))
    _known(path, "[task]", task, tuple(_KEYS))
    _known(path, "[columns]", columns, _COLUMNS)
    for key, kind in _KEYS.items():
        if key in task and (not isinstance(task[key], kind) or (isinstance(task[key], bool) and kind is not bool)):
            raise BadTask(f"{path}: [task] {key} is {task[key]!r}", hint=f"see docs/evals.md for {key}")
    if "data" not in task and data is None:
        raise BadTask(f"{path}: [task] names no data", hint='data = "file.jsonl", beside this file')
    source = data or path.parent / task["data"]
    dataset = plain.dataset_of(source, {key: str(value) for key, value in columns.items()})
    first = next(iter(dataset), None)
    if first is None:
        raise BadTask(f"{path}: {source} holds no sample", hint="one JSON object a line, or a CSV with a header")
    made = Task(
        task.get("name", path.stem),
        dataset,
        task.get("scorer") or plain.suggested_scorer(first),
        options,
        Generation(
            task.get("max_tokens"), task.get("temperature", 0.0), tuple(task.get("stop", ())), task.get("request", {})
        ),
        task.get("system", ""),
        task.get("prompt", "{input}"),
        task.get("scores_truncated", False),
    )
    return [made]


def _table(path: Path, found: Mapping[str, Any], name: str) -> dict[str, Any]:
    table = found.get(name, {})
    if not isinstance(table, dict):
        raise BadTask(f"{path}: {name} is {table!r}, expected a table", hint=f"write [{name}] on a line of its own")
    return table


def _known(path: Path, where: str, given: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for key in given:
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"
            raise BadTask(f"{path}: {where} has no {key!r}", hint=hint)
