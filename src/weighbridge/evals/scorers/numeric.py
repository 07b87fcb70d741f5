"""Right where the answer's number is the target's, within a tolerance."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from weighbridge.errors import BadTask
from weighbridge.evals.score import Answer, Score
from weighbridge.evals.scorers._needs import targets
from weighbridge.evals.task import Sample

NUMBER = re.compile(
    r"(?<![\w.])[-+−]?[$€£]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?(?:\s*/\s*\d+)?%?"
)
_MARKED = re.compile(r"(?:####|\\boxed\{|answer is:?|answer:)\s*(.*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Numeric:
    """Of several numbers the one counts that is marked (`####`, `\\boxed{}`, "answer is"), else the last."""

    tolerance: float = 0.0
    relative_tolerance: float = 1e-9

    async def score(self, sample: Sample, answer: Answer) -> Score:
        """1 or 0; an answer without a number is wrong, and says so."""
        said = number(answer.text)
        if said is None:
            return Score(0.0, None, "no number in the answer")
        for target in targets(sample):
            wanted = number(target)
            if wanted is None:
                raise BadTask(f"sample {sample.id}: the target {target!r} holds no number", hint="use --scorer exact")
            if math.isclose(said, wanted, rel_tol=self.relative_tolerance, abs_tol=self.tolerance):
                return Score(1.0, f"{said:.15g}")
        return Score(0.0, f"{said:.15g}")


def number(text: str) -> float | None:
    """The number that a text comes to; 1,234.5, 1/2, -3e4 are numbers, and 50% is 50."""
    marked = _MARKED.findall(text)
    for part in (*reversed(marked), text):
        found = NUMBER.findall(part)
        if found:
            # Behind a mark, the first number is the answer; in running text, the last.
            return _value(found[0] if part is not text else found[-1])
    return None


def _value(text: str) -> float | None:
    plain = text.replace("−", "-").translate({ord(sign): None for sign in ",$€£% "})
    above, _, below = plain.partition("/")
    try:
        return float(above) / float(below) if below else float(above)
    except (ValueError, ZeroDivisionError, OverflowError):
        return None


def make(tolerance: float = 0.0, relative_tolerance: float = 1e-9) -> Numeric:
    """By the options of a task."""
    if tolerance < 0 or relative_tolerance < 0:
        raise BadTask("a tolerance below 0 lets nothing be right", hint="give 0 or more")
    return Numeric(tolerance, relative_tolerance)
