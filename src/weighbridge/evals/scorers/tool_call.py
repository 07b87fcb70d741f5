"""Right where the answer calls the tools that the target names, with its arguments.

A target is `{"name": ..., "arguments": {...}}`, a list of such, or as in BFCL `{name: {argument: [allowed, ...]}}`,
where "" among the allowed values means that the argument may be left out. An empty list: no tool may be called.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weighbridge.errors import BadTask
from weighbridge.evals.score import Answer, Score
from weighbridge.evals.scorers._json import same
from weighbridge.evals.task import Sample


@dataclass(frozen=True, slots=True)
class ToolCall:
    """Several calls may come in any order, unless `in_order`. With `names_only`, arguments do not count."""

    in_order: bool = False
    names_only: bool = False

    async def score(self, sample: Sample, answer: Answer) -> Score:
        """1 or 0, with what is wrong."""
        said = [_said(call) for call in answer.tool_calls]
        shown = json.dumps([{"name": name, "arguments": arguments} for name, arguments in said], ensure_ascii=False)
        wanted = _wanted(sample)
        if len(said) != len(wanted):
            return Score(0.0, shown, f"{len(said)} calls, expected {len(wanted)}")
        open_ = list(wanted)
        for name, arguments in said:
            among = open_[:1] if self.in_order else open_
            match = next((each for each in among if self._matches(name, arguments, *each)), None)
            if match is None:
                return Score(0.0, shown, f"the call of {name} is not as expected")
            open_.remove(match)
        return Score(1.0, shown)

    def _matches(self, name: str, arguments: Any, wanted_name: str, wanted: Any, allows: bool) -> bool:
        if name != wanted_name:
            return False
        if self.names_only:
            return True
        if not isinstance(arguments, Mapping) or not isinstance(wanted, Mapping):
            return False
        if not allows:
            return same(dict(arguments), dict(wanted))
        if not set(arguments) <= set(wanted):
            return False
        return all(
            any(same(arguments[key], value) for value in values) if key in arguments else "" in values
            for key, values in wanted.items()
        )


def _said(call: Mapping[str, Any]) -> tuple[str, Any]:
    function = call.get("function") or {}
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            # No JSON is no arguments: nothing matches them.
            arguments = None
    return str(function.get("name", "")), arguments


def _wanted(sample: Sample) -> list[tuple[str, Any, bool]]:
    """Name, arguments, and whether these are lists of what is allowed."""
    target = sample.target
    if isinstance(target, str):
        try:
            target = json.loads(target)
        except ValueError:
            target = None
    if isinstance(target, Mapping):
        target = [target]
    if not isinstance(target, list) or not all(isinstance(call, Mapping) for call in target):
        raise BadTask(
            f"sample {sample.id}: the target is no tool call", hint='{"name": ..., "arguments": {...}}, or a list of it'
        )
    calls: list[tuple[str, Any, bool]] = []
    for call in target:
        if "name" in call:
            calls.append((str(call["name"]), call.get("arguments", {}), False))
        else:
            calls += [(str(name), arguments, True) for name, arguments in call.items()]
    return calls


def make(in_order: bool = False, names_only: bool = False) -> ToolCall:
    """By the options of a task."""
    return ToolCall(in_order, names_only)
