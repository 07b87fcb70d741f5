"""Right where the answer is the target, but for spaces around it."""

from __future__ import annotations

from dataclasses import dataclass

from weighbridge.evals.score import Answer, Score
from weighbridge.evals.scorers._needs import targets
from weighbridge.evals.task import Sample


@dataclass(frozen=True, slots=True)
class Exact:
    """With `ignore_case`, capitals do not count; with `ignore_punctuation`, neither do signs at the end."""

    ignore_case: bool = False
    ignore_punctuation: bool = False

    async def score(self, sample: Sample, answer: Answer) -> Score:
        """1 or 0."""
        said = self._plain(answer.text)
        return Score(float(any(said == self._plain(target) for target in targets(sample))), said)

    def _plain(self, text: str) -> str:
        text = " ".join(text.split()).rstrip(".!" if self.ignore_punctuation else "")
        return text.casefold() if self.ignore_case else text


def make(ignore_case: bool = False, ignore_punctuation: bool = False) -> Exact:
    """By the options of a task."""
    return Exact(ignore_case, ignore_punctuation)
