"""evalplus: `*eval_results.json`, for each task its solutions with `base_status` and `plus_status`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from weighbridge.evals.log import EvalLog, Head, Row
from weighbridge.evals.score import State


def recognizes(path: Path) -> bool:
    """By its name, or by what it begins with."""
    if path.suffix != ".json":
        return False
    with path.open("rb") as file:
        start = file.read(4096)
    return path.name.endswith("eval_results.json") or (b'"eval"' in start and b'"hash"' in start)


def read(path: Path) -> list[EvalLog]:
    """The base tests as one task, the plus tests (which need the base ones passed) as another.

    Several solutions of one task are a cluster.
    """
    found: dict[str, list[dict[str, Any]]] = json.loads(path.read_text(encoding="utf-8"))["eval"]
    model = re.sub(r"[._-]*eval_results\.json$", "", path.name) or path.parent.name
    family = next(iter(found), "evalplus").partition("/")[0]
    solutions = [(task, number, each) for task, all_ in found.items() for number, each in enumerate(all_)]
    logs = [_log(path, model, f"{family} base", solutions, ("base_status",), found)]
    if any(each.get("plus_status") is not None for _, _, each in solutions):
        logs.append(_log(path, model, f"{family} plus", solutions, ("base_status", "plus_status"), found))
    return logs


def _log(
    path: Path,
    model: str,
    task: str,
    solutions: list[tuple[str, int, dict[str, Any]]],
    needs: tuple[str, ...],
    found: dict[str, list[dict[str, Any]]],
) -> EvalLog:
    several = any(len(all_) > 1 for all_ in found.values())
    rows = [
        Row(
            at,
            f"{name}#{number}" if several else name,
            State.SCORED,
            float(all(each[need] == "pass" for need in needs)),
            name if several else None,
            answer=str(each.get("solution", "")),
        )
        for at, (name, number, each) in enumerate(solutions)
    ]
    return EvalLog.of_rows(Head(task, model, "", "unit tests", samples=len(rows), source="evalplus"), path, rows)
