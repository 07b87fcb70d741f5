"""promptfoo's deterministic assertions: right where all hold, or their weighted share reaches the test's threshold."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from weighbridge.errors import BadTask
from weighbridge.evals.score import Answer, Score
from weighbridge.evals.scorers._json import found_json, same
from weighbridge.evals.scorers.json_schema import is_valid
from weighbridge.evals.scorers.regex import compiled
from weighbridge.evals.task import Sample


def _many(value: Any) -> list[str]:
    return (
        [str(each) for each in value] if isinstance(value, list) else [part.strip() for part in str(value).split(",")]
    )


def _equals(answer: Answer, value: Any) -> bool:
    if isinstance(value, dict | list):
        is_there, said = found_json(answer.text)
        return is_there and same(said, value)
    return answer.text == str(value)


def _is_json(answer: Answer, value: Any) -> bool:
    try:
        said = json.loads(answer.text)
    except (ValueError, RecursionError):
        return False
    return value is None or is_valid(said, value)


def _contains_json(answer: Answer, value: Any) -> bool:
    is_there, said = found_json(answer.text)
    return is_there and (value is None or is_valid(said, value))


TYPES: Mapping[str, Callable[[Answer, Any], bool]] = {
    "equals": _equals,
    "contains": lambda answer, value: str(value) in answer.text,
    "icontains": lambda answer, value: str(value).lower() in answer.text.lower(),
    "contains-all": lambda answer, value: all(each in answer.text for each in _many(value)),
    "contains-any": lambda answer, value: any(each in answer.text for each in _many(value)),
    "icontains-all": lambda answer, value: all(each.lower() in answer.text.lower() for each in _many(value)),
    "icontains-any": lambda answer, value: any(each.lower() in answer.text.lower() for each in _many(value)),
    "starts-with": lambda answer, value: answer.text.startswith(str(value)),
    "regex": lambda answer, value: bool(compiled(str(value)).search(answer.text)),
    "is-json": _is_json,
    "contains-json": _contains_json,
    "latency": lambda answer, value: answer.seconds * 1000 <= float(value),
}
_NEED_NO_VALUE = frozenset({"is-json", "contains-json"})


def check(assertion: Any, place: str) -> None:
    """BadTask where an assertion is not one of `TYPES`, or lacks its value."""
    kind = assertion.get("type") if isinstance(assertion, Mapping) else None
    name = str(kind or "").removeprefix("not-")
    if name not in TYPES:
        raise BadTask(
            f"{place}: the assertion {kind or assertion!r} is not supported", hint=f"there are: {', '.join(TYPES)}"
        )
    value = _value(assertion)
    if value is None and name not in _NEED_NO_VALUE:
        raise BadTask(f"{place}: the assertion {kind} has no value", hint="give it a value, or latency a threshold")
    for what, given in (("weight", assertion.get("weight", 1.0)), ("threshold", value if name == "latency" else 0)):
        if not _is_number(given):
            raise BadTask(f"{place}: the {what} of the assertion {kind} is {given!r}", hint="a number")
    if isinstance(value, str) and re.match(r"file://", value):
        raise BadTask(f"{place}: the assertion {kind} reads {value}", hint="write its value out")


def _is_number(value: Any) -> bool:
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError):
        return False


def _value(assertion: Mapping[str, Any]) -> Any:
    return assertion.get("threshold") if str(assertion.get("type")).endswith("latency") else assertion.get("value")


@dataclass(frozen=True, slots=True)
class Assertions:
    """The target is the list of assertions."""

    async def score(self, sample: Sample, answer: Answer) -> Score:
        """1 or 0, with those that do not hold."""
        if not isinstance(sample.target, list) or not sample.target:
            raise BadTask(f"sample {sample.id} has no assertions", hint="give each test an assert, or a defaultTest")
        failed, held, total = [], 0.0, 0.0
        for assertion in sample.target:
            check(assertion, f"sample {sample.id}")
            weight = float(assertion.get("weight", 1.0))
            total += weight
            if _holds(assertion, answer):
                held += weight
            else:
                failed.append(f"{assertion['type']}: {str(_value(assertion))[:60]}")
        threshold = float(sample.metadata.get("threshold") or 0.0)
        passed = held / total >= threshold if threshold and total else not failed
        return Score(float(passed), None, "; ".join(failed)[:500])


def _holds(assertion: Mapping[str, Any], answer: Answer) -> bool:
    kind = str(assertion["type"])
    found = TYPES[kind.removeprefix("not-")](answer, _value(assertion))
    return not found if kind.startswith("not-") else found


def make() -> Assertions:
    """It has no options."""
    return Assertions()
