"""What the cards' examples have in common in form, and which card a prompt is most like, if any.

A naive Bayes model over the presence of features (Maron 1961), with one class a card and one for what no card speaks
of: the cards' counter-examples, and beneath them a background under which an unknown feature is likelier
than in a card.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_PIECES = re.compile(r"\d{1,4}(?:[./-]\d{1,4}){2}|\d+(?:[.,:]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)*|[^\w\s]", re.UNICODE)
_LOOKED_AT_LETTERS, _LOOKED_AT_PIECES = 4000, 200
# A number is a number, in digits or in words: which one does not matter to form.
_NUMBER_WORDS = frozenset(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand".split()
)
# A word counts as itself where this many examples use it; else only its shape counts: names and things vary.
_COMMON = 2
# Chosen on 2,000 items of two lanes and 30 general questions: none of the former and 3 of the latter go astray.
_SMOOTHING, _BACKGROUND = 0.3, 0.013

Features = frozenset[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Judgement:
    """How well a prompt fits: mean log-probability of a feature, in nats, by card and by none of them."""

    by_card: dict[str, float]
    by_none: float

    @property
    def ranked(self) -> list[str]:
        """The cards, best first."""
        return sorted(self.by_card, key=lambda name: -self.by_card[name])


def _pieces(text: str) -> list[str]:
    """Words, signs, and `#` for any number: the first 200 of them."""
    found = _PIECES.findall(text[:_LOOKED_AT_LETTERS])[:_LOOKED_AT_PIECES]
    return ["#" if piece[0].isdigit() or piece.lower() in _NUMBER_WORDS else piece for piece in found]


class Cards:
    """A set of cards, made ready to judge prompts; one decision takes some tens of microseconds."""

    def __init__(self, examples: dict[str, Sequence[str]], counter_examples: Sequence[str]) -> None:
        texts = [*(text for listed in examples.values() for text in listed), *counter_examples]
        seen = Counter(word for text in texts for word in {piece.lower() for piece in _pieces(text)})
        self._common = {word for word, count in seen.items() if count >= _COMMON}
        self._examples = {name: [(text, self._features(text)) for text in listed] for name, listed in examples.items()}
        self._logs = {
            name: self._log_probabilities([form for _, form in listed]) for name, listed in self._examples.items()
        }
        self._unknown = {name: math.log(_SMOOTHING / (len(text) + 2 * _SMOOTHING)) for name, text in examples.items()}
        self._none_logs = self._log_probabilities([self._features(text) for text in counter_examples])

    @staticmethod
    def _log_probabilities(forms: Sequence[Features]) -> dict[tuple[str, ...], float]:
        counts = Counter(feature for form in forms for feature in form)
        total = len(forms) + 2 * _SMOOTHING
        return {feature: math.log((count + _SMOOTHING) / total) for feature, count in counts.items()}

    def _shape(self, piece: str) -> str:
        lower = piece.lower()
        if lower in self._common or not piece[0].isalpha():
            return lower
        return "Name" if piece[0].isupper() else "word"

    def _features(self, text: str) -> Features:
        """Shapes, and pairs of neighbouring shapes with the text's ends."""
        shapes = ["^", *map(self._shape, _pieces(text)), "$"]
        return frozenset([*((shape,) for shape in shapes[1:-1]), *itertools.pairwise(shapes)])

    def judge(self, prompt: str) -> Judgement:
        """Every card's fit to the prompt, and that of none."""
        form = self._features(prompt)
        count = len(form)
        by_card = {
            name: sum(logs.get(feature, self._unknown[name]) for feature in form) / count
            for name, logs in self._logs.items()
        }
        floor = math.log(_BACKGROUND)
        by_none = sum(max(self._none_logs.get(feature, floor), floor) for feature in form) / count
        return Judgement(by_card, by_none if prompt.strip() else math.inf)

    def nearest(self, name: str, prompt: str) -> str:
        """The card's example that shares the largest part of both texts' features (Jaccard 1901)."""
        form = self._features(prompt)
        return max(self._examples[name], key=lambda entry: len(form & entry[1]) / len(form | entry[1]))[0]
