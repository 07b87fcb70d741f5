"""promptfoo: the JSON of `promptfoo eval -o results.json`; a model is a provider, or one of its prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from weighbridge.evals.log import EvalLog, Head, Row
from weighbridge.evals.score import State

_ERROR = 2
"""`failureReason` of an answer that did not come, beside 0 for none and 1 for a failed assertion."""


def recognizes(path: Path) -> bool:
    """By what stands in its first bytes."""
    if path.suffix != ".json":
        return False
    with path.open("rb") as file:
        start = file.read(4096)
    return b'"evalId"' in start or (b'"results"' in start and b'"promptIdx"' in start)


def read(path: Path) -> list[EvalLog]:
    """A log a provider and prompt. Errors, which promptfoo counts as wrong, have no score here."""
    found = json.loads(path.read_text(encoding="utf-8"))
    outer = found["results"]
    results: list[dict[str, Any]] = outer["results"] if isinstance(outer, dict) else outer
    prompts = {result.get("promptIdx", 0) for result in results}
    by_model: dict[str, list[Row]] = {}
    for result in results:
        provider = result["provider"]
        name = provider if isinstance(provider, str) else provider.get("label") or provider["id"]
        if len(prompts) > 1:
            # Each provider and prompt is a column of promptfoo's own table.
            prompt = result.get("prompt") or {}
            name = f"{name} | {str(prompt.get('label') or result.get('promptIdx'))[:40]}"
        rows = by_model.setdefault(name, [])
        rows.append(_row(len(rows), result))
    task = (found.get("config") or {}).get("description") or path.stem
    return [
        EvalLog.of_rows(Head(task, name, "", "assertions", samples=len(rows), source="promptfoo"), path, rows)
        for name, rows in by_model.items()
    ]


def _row(at: int, result: dict[str, Any]) -> Row:
    response = result.get("response") or {}
    usage = response.get("tokenUsage") or {}
    is_error = result.get("failureReason") == _ERROR or (result.get("failureReason") is None and not response)
    variables = result.get("vars") or {}
    seconds = result.get("latencyMs")
    output = response.get("output")
    return Row(
        at,
        str(result.get("testIdx", json.dumps(variables, sort_keys=True))),
        State.ERROR if is_error else State.SCORED,
        None if is_error else max(0.0, min(1.0, float(result["score"]))) if _is_graded(result) else _passed(result),
        input=" | ".join(map(str, variables.values())),
        answer=output if isinstance(output, str) else json.dumps(output),
        explanation=str((result.get("gradingResult") or {}).get("reason") or result.get("error") or ""),
        completion_tokens=usage.get("completion"),
        prompt_tokens=usage.get("prompt"),
        seconds=None if seconds is None else seconds / 1000,
    )


def _is_graded(result: dict[str, Any]) -> bool:
    """Whether its score is a share of weighted assertions, and not only passed or failed."""
    return isinstance(result.get("score"), int | float) and 0 < result["score"] < 1


def _passed(result: dict[str, Any]) -> float:
    return float(bool(result["success"]))
