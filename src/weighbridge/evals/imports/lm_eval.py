"""lm-eval: `samples_TASK_DATE.jsonl` of `--log_samples`, in a folder with the model's name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from weighbridge.evals.formats.plain import records
from weighbridge.evals.log import EvalLog, Head, Row
from weighbridge.evals.score import State

_METRICS = ("exact_match", "acc", "acc_norm", "pass@1", "pass_at_1", "prompt_level_strict_acc")
"""The first of these that a line has, where it does not say which are its metrics."""
_NAME = re.compile(r"samples_(.+?)_\d{4}-\d\d-\d\dT[\d.-]+\.jsonl$")


def recognizes(path: Path) -> bool:
    """By its name, or by what its first line holds."""
    if path.suffix != ".jsonl":
        return False
    with path.open("rb") as file:
        start = file.readline(1 << 20)
    return b'"doc_id"' in start and (b'"resps"' in start or b'"filtered_resps"' in start)


def read(path: Path) -> list[EvalLog]:
    """One log; where answers went through several filters, one for each."""
    name = _NAME.match(path.name)
    task = name[1] if name else path.stem
    model = path.resolve().parent.name.replace("__", "/")
    by_filter: dict[str, list[Row]] = {}
    for place, line in records(path):
        rows = by_filter.setdefault(str(line.get("filter") or "none"), [])
        rows.append(_row(place, len(rows), line))
    several = len(by_filter) > 1
    return [
        EvalLog.of_rows(
            Head(f"{task} ({kind})" if several else task, model, "", kind, samples=len(rows), source="lm-eval"),
            path,
            rows,
        )
        for kind, rows in by_filter.items()
    ]


def _row(place: str, at: int, line: dict[str, Any]) -> Row:
    names = [*(line.get("metrics") or ()), *_METRICS]
    value = next((line[name] for name in names if isinstance(line.get(name), int | float)), None)
    if value is None or not 0 <= float(value) <= 1:
        raise ValueError(f"{place}: has no metric between 0 and 1 a sample: {sorted(line)}")
    said = line.get("filtered_resps") or line.get("resps") or [""]
    return Row(
        at,
        str(line["doc_id"]),
        State.SCORED,
        float(value),
        input=_prompt(line.get("arguments")),
        target=line.get("target"),
        answer=str(said[0] if isinstance(said, list) else said),
    )


def _prompt(arguments: Any) -> str:
    """The text that was sent first, in either of the two forms that lm-eval has written it in."""
    if isinstance(arguments, dict):
        arguments = [list(each.values()) for each in arguments.values() if isinstance(each, dict)]
    if isinstance(arguments, list) and arguments and isinstance(arguments[0], list) and arguments[0]:
        return str(arguments[0][0])
    return ""
