"""Right where what a pattern finds in the answer is the target; or, with `matches_target`, where the target matches."""

from __future__ import annotations

import re
from dataclasses import dataclass

from weighbridge.errors import BadTask
from weighbridge.evals.score import Answer, Score
from weighbridge.evals.scorers._needs import targets
from weighbridge.evals.task import Sample


@dataclass(frozen=True, slots=True)
class Regex:
    """`pattern` has one group, or is taken whole; of several findings the `last` counts, or the first."""

    pattern: re.Pattern[str] | None
    last: bool = True
    ignore_case: bool = False

    async def score(self, sample: Sample, answer: Answer) -> Score:
        """1 or 0; an answer in which nothing is found is wrong, and says so."""
        if self.pattern is None:
            flags = re.IGNORECASE if self.ignore_case else 0
            return Score(float(any(compiled(target, flags).search(answer.text) for target in targets(sample))))
        found = list(self.pattern.finditer(answer.text))
        if not found:
            return Score(0.0, None, "the pattern finds nothing")
        match = found[-1 if self.last else 0]
        said = next((group for group in match.groups() if group is not None), match[0]).strip()
        wanted = targets(sample)
        if self.ignore_case:
            return Score(float(said.casefold() in {target.strip().casefold() for target in wanted}), said)
        return Score(float(said in {target.strip() for target in wanted}), said)


def compiled(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """The pattern; BadTask where it is none."""
    try:
        return re.compile(pattern, flags)
    except re.error as error:
        raise BadTask(f"{pattern!r} is no regular expression: {error}", hint="mend the pattern") from error


def make(pattern: str = "", matches_target: bool = False, last: bool = True, ignore_case: bool = False) -> Regex:
    """By the options of a task."""
    if bool(pattern) == matches_target:
        raise BadTask(
            "scorer regex needs a pattern, or matches_target = true", hint='for example pattern = "#### (.+)"'
        )
    flags = re.IGNORECASE if ignore_case else 0
    return Regex(None if matches_target else compiled(pattern, flags), last, ignore_case)
