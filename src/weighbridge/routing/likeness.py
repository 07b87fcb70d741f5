"""How like two short texts are: cosine of their weighted features, where numbers and signs count as what they are."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping

_PIECES = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+|[^\w\s]", re.UNICODE)
Vector = Mapping[str, float]


def features(text: str) -> Counter[str]:
    """Words, the beginnings of words, signs, `#` for any number, and neighbouring pairs, of the first 400 pieces."""
    pieces = ["#" if piece[0].isdigit() else piece.lower() for piece in _PIECES.findall(text[:4000])[:400]]
    found = Counter(pieces)
    found.update(f"{left} {right}" for left, right in itertools.pairwise(pieces))
    # A plural or another tense shares its beginning.
    found.update(f"{piece[:4]}~" for piece in pieces if len(piece) > 4)
    return found


class Rarity:
    """Inverse document frequency over the cards: log((1 + documents) / (1 + documents with it)) + 1 (Salton 1988)."""

    def __init__(self, documents: Iterable[str]) -> None:
        counted = [set(features(document)) for document in documents]
        self.total = len(counted)
        self.having = Counter(feature for document in counted for feature in document)

    def vector(self, text: str) -> dict[str, float]:
        """The text's features, damped, weighted by rarity, of length 1; empty for an empty text."""
        weighted = {
            feature: (1 + math.log(count)) * (math.log((1 + self.total) / (1 + self.having[feature])) + 1)
            for feature, count in features(text).items()
        }
        length = math.sqrt(sum(value * value for value in weighted.values()))
        return {feature: value / length for feature, value in weighted.items()} if length else {}


def cosine(left: Vector, right: Vector) -> float:
    """From 0, nothing in common, to 1, the same."""
    short, long = (left, right) if len(left) < len(right) else (right, left)
    return sum(value * long.get(feature, 0.0) for feature, value in short.items())
