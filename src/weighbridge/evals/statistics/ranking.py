"""Which of several systems is better, said only where the samples say it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from .intervals import LEVEL
from .paired import Difference, compare
from .power import samples_needed


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two systems on the samples that both have a score on."""

    first: str
    second: str
    difference: Difference
    """Of the first's score less the second's."""
    corrected_p: float
    """With Holm's correction for all comparisons that were made."""
    low_if_unscored: float
    """The difference over all samples if every unscored answer of the first were wrong and of the second right."""
    high_if_unscored: float
    """The difference if it were the other way round."""
    samples_to_tell: int | None
    """Samples in all that would tell a difference of this size with 80 % power; None where there is none."""
    level: float = LEVEL

    @property
    def better(self) -> str | None:
        """The better one; None where the data do not say, or unscored answers could turn it."""
        if self.corrected_p > 1 - self.level:
            return None
        if self.difference.value > 0:
            return self.first if self.low_if_unscored > 0 else None
        return self.second if self.high_if_unscored < 0 else None


@dataclass(frozen=True, slots=True)
class Place:
    """The places that a system may hold: from the best to the worst that the comparisons leave open."""

    model: str
    best: int
    worst: int


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number, in the same order: S. Holm (1979), Scand. J. Statist. 6:65.

    The smallest times k, the next times k - 1, and so on, never falling.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, reached = [0.0] * len(p_values), 0.0
    for step, index in enumerate(order):
        reached = max(reached, min(1.0, (len(p_values) - step) * p_values[index]))
        corrected[index] = reached
    return corrected


def rank(
    scores: Mapping[str, Sequence[float | None]], clusters: Sequence[object] | None = None, level: float = LEVEL
) -> tuple[list[Comparison], list[Place]]:
    """All comparisons, and the places that they leave open, of scores that stand in the same order of samples.

    NaN is an answer without a score, None a sample that was not asked. Two systems that are not told apart share their
    places.
    """
    found: list[tuple[str, str, Difference, float, float]] = []
    for first, second in combinations(scores, 2):
        if (pair := _pair(scores[first], scores[second], clusters, level)) is not None:
            found.append((first, second, *pair))
    corrected = holm([difference.p_value for _, _, difference, _, _ in found])
    comparisons = [
        Comparison(first, second, difference, p, low, high, _samples_to_tell(difference), level)
        for (first, second, difference, low, high), p in zip(found, corrected, strict=True)
    ]
    return comparisons, places_of(list(scores), comparisons)


def _samples_to_tell(found: Difference) -> int | None:
    supposed = found.variance_if_equal
    return samples_needed(found.value, found.variance, None if supposed == found.variance else supposed)


def _pair(
    first: Sequence[float | None], second: Sequence[float | None], clusters: Sequence[object] | None, level: float
) -> tuple[Difference, float, float] | None:
    asked = [(a, b, at) for at, (a, b) in enumerate(zip(first, second, strict=True)) if a is not None and b is not None]
    both = [(a, b, at) for a, b, at in asked if not math.isnan(a + b)]
    kept = [clusters[at] for _, _, at in both] if clusters is not None else None
    difference = compare([a for a, _, _ in both], [b for _, b, _ in both], kept, level)
    if difference is None:
        return None
    low = math.fsum(_or(a, 0.0) - _or(b, 1.0) for a, b, _ in asked) / len(asked)
    high = math.fsum(_or(a, 1.0) - _or(b, 0.0) for a, b, _ in asked) / len(asked)
    return difference, low, high


def _or(score: float, otherwise: float) -> float:
    return otherwise if math.isnan(score) else score


def places_of(models: list[str], comparisons: list[Comparison]) -> list[Place]:
    """The places that the comparisons leave open."""
    wins, losses = dict.fromkeys(models, 0), dict.fromkeys(models, 0)
    for comparison in comparisons:
        if (better := comparison.better) is not None:
            wins[better] += 1
            losses[comparison.second if better == comparison.first else comparison.first] += 1
    places = [Place(model, 1 + losses[model], len(models) - wins[model]) for model in models]
    return sorted(places, key=lambda place: (place.best, place.worst))


def leaders_of(places: Sequence[Place], comparisons: Sequence[Comparison]) -> tuple[str, ...]:
    """Those that may be the best: one alone only if it is better than each other one.

    A system that nothing beats need not beat all: where A beats B and B beats C, A and C may be too unlike to tell.
    """
    unbeaten = tuple(place.model for place in places if place.best == 1)
    if len(unbeaten) > 1:
        return unbeaten
    behind = {
        each.second if each.better == each.first else each.first for each in comparisons if each.better in unbeaten
    }
    return tuple(place.model for place in places if place.model not in behind)
