"""Right where the answer's JSON has the target's fields with their values; in part, the share of them that it has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weighbridge.errors import BadTask
from weighbridge.evals.score import Answer, Score
from weighbridge.evals.scorers._json import found_json, same
from weighbridge.evals.scorers._needs import targets
from weighbridge.evals.task import Sample


@dataclass(frozen=True, slots=True)
class JsonMatch:
    """With `partial`, the score is the share of right fields. With `exact_fields`, others must not be there."""

    partial: bool = False
    exact_fields: bool = False

    async def score(self, sample: Sample, answer: Answer) -> Score:
        """From 0 to 1; an answer without JSON is 0, and says so."""
        wanted = self._wanted(sample)
        is_there, said = found_json(answer.text)
        if not is_there:
            return Score(0.0, None, "no JSON in the answer")
        shown = json.dumps(said, ensure_ascii=False)
        if not isinstance(wanted, Mapping):
            return Score(float(same(said, wanted)), shown)
        if not isinstance(said, dict):
            return Score(0.0, shown, f"JSON {type(said).__name__}, expected an object")
        wrong = [name for name, value in wanted.items() if name not in said or not same(said[name], value)]
        extra = sorted(set(said) - set(wanted)) if self.exact_fields else []
        total = len(wanted) + len(extra)
        share = (total - len(wrong) - len(extra)) / total if total else 1.0
        why = (
            f"wrong or missing: {', '.join(wrong)}" if wrong else f"not asked for: {', '.join(extra)}" if extra else ""
        )
        return Score(share if self.partial else float(share == 1), shown, why)

    def _wanted(self, sample: Sample) -> Any:
        if isinstance(sample.target, Mapping):
            return sample.target
        [text, *_] = targets(sample)
        try:
            return json.loads(text)
        except ValueError as error:
            raise BadTask(f"sample {sample.id}: the target is no JSON: {error}", hint="use --scorer exact") from error


def make(partial: bool = False, exact_fields: bool = False) -> JsonMatch:
    """By the options of a task."""
    return JsonMatch(partial, exact_fields)
