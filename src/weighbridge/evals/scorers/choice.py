"""Multiple choice: right where the letter that the answer gives is the target's."""

from __future__ import annotations

import re
from dataclasses import dataclass

from weighbridge.errors import BadTask
from weighbridge.evals.score import Answer, Score
from weighbridge.evals.scorers._needs import targets
from weighbridge.evals.task import Sample, letter

_SAID = (
    r"(?i:answer|choice|option)\s*(?i:is|:)?\s*:?\s*[\*\(\[\"']*([A-Z]\b|[a-z](?=[\)\]\.\*\"',]|\s*$))",
    r"\\boxed\{\(?([A-Za-z])\)?\}",
    r"^[\s\*\(\[\"']*([A-Z](?=[\)\]\.\:\*\"',]|\s*$)|[a-z](?=[\)\]]|\s*$))",
)
"""Where a letter stands that is meant as the answer, the surest first."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The letter stands alone, begins the answer, or follows "answer is"; else the choice's words are looked for."""

    async def score(self, sample: Sample, answer: Answer) -> Score:
        """1 or 0; an answer that names no choice, or several, is wrong, and says so."""
        said = said_letter(answer.text, sample.choices)
        if said is None:
            return Score(0.0, None, "names no choice, or several")
        return Score(float(said == target_letter(sample)), said)


def said_letter(text: str, choices: tuple[str, ...]) -> str | None:
    """The letter that a text gives, None for none."""
    letters = {letter(index) for index in range(len(choices))}
    for pattern in _SAID:
        # "a" and "i" are words too: in lower case a letter counts only where it stands alone.
        found = [each.upper() for each in re.findall(pattern, text, re.MULTILINE) if each.upper() in letters]
        if found:
            return str(found[-1])
    named = [
        index
        for index, choice in enumerate(choices)
        if re.search(rf"(?<!\w){re.escape(choice.strip())}(?!\w)", text, re.IGNORECASE)
    ]
    return letter(named[0]) if len(named) == 1 else None


def target_letter(sample: Sample) -> str:
    """The right letter of a sample whose target is a letter, the choice's own words, or its place from 0.

    BadTask where it is none of these.
    """
    if not sample.choices:
        raise BadTask(f"sample {sample.id} has no choices", hint="give each line choices, or use another --scorer")
    is_place = isinstance(sample.target, int) and not isinstance(sample.target, bool)
    if is_place and 0 <= sample.target < len(sample.choices):
        return letter(sample.target)
    [target, *_] = targets(sample)
    stripped = target.strip().strip("()").upper()
    # The words come first: the choices may be letters in another order.
    if target in sample.choices:
        return letter(sample.choices.index(target))
    if len(stripped) == 1 and ord(stripped) - ord("A") in range(len(sample.choices)):
        return stripped
    if stripped.isdecimal() and int(stripped) < len(sample.choices):
        return letter(int(stripped))
    raise BadTask(
        f"sample {sample.id}: the target {target!r} is none of its {len(sample.choices)} choices",
        hint="give the letter, the choice's own words, or its place from 0",
    )


def make() -> Choice:
    """It has no options."""
    return Choice()
