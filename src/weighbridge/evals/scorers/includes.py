"""Right where the target stands somewhere in the answer."""

from __future__ import annotations

from dataclasses import dataclass

from weighbridge.evals.score import Answer, Score
from weighbridge.evals.scorers._needs import targets
from weighbridge.evals.task import Sample


@dataclass(frozen=True, slots=True)
class Includes:
    """With `needs_all`, every one of several targets must be there."""

    ignore_case: bool = True
    needs_all: bool = False

    async def score(self, sample: Sample, answer: Answer) -> Score:
        """1 or 0."""
        text = answer.text.casefold() if self.ignore_case else answer.text
        found = [(target.casefold() if self.ignore_case else target) in text for target in targets(sample)]
        return Score(float(all(found) if self.needs_all else any(found)))


def make(ignore_case: bool = True, needs_all: bool = False) -> Includes:
    """By the options of a task."""
    return Includes(ignore_case, needs_all)
