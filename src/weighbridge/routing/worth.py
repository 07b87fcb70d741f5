"""How well choices by what is foretold turn out, on examples that were not learnt from.

Not by squared errors: of many models the best looking one wins, and what lessens an error may still move that choice
for the worse.
"""

from __future__ import annotations

import math

import numpy as np

from .apart import scores_of
from .ridge import Doubles

_SEED = 20261121
# Examples on which choices are compared.
_MOST_FOR_WORTH = 2000
# What a doubling of cost is worth, in points of quality: from not at all to more than all.
_COST_WORTHS = (0.0, 0.003, 0.006, 0.0125, 0.025, 0.05, 0.1, 0.2)
# Choices that would be made if so much of what is foretold counted.
_PARTS = (0.25, 0.5, 1.0)


class Worth:
    """What choices are worth on some examples: score less what its cost is worth, for some worths of cost; where no
    cost is known, the score; of two models, the score over all shares of calls to one of them."""

    def __init__(self, outputs: Doubles, costs: Doubles) -> None:
        """`outputs` are the examples' own, `costs` the models'."""
        self._rows = np.random.default_rng(_SEED).permutation(len(outputs))[:_MOST_FOR_WORTH]
        self._scores = scores_of(outputs)[self._rows]
        known = bool(np.isfinite(costs).all() and (costs > 0).all())
        doublings = np.log2(costs / costs.min()) if known else np.zeros(len(costs))
        self._worths = _COST_WORTHS if doublings.any() else (0.0,)
        self._handicaps = doublings + 1e-9 * np.arange(len(costs))

    def of(self, outputs: Doubles) -> Doubles:
        """What choices by these outputs add, an example each."""
        found = outputs[self._rows, 1:]
        count = len(found)
        if found.shape[1] == 2:
            ranks = np.empty(count)
            ranks[np.lexsort((np.arange(count), found[:, 1] - found[:, 0]))] = np.arange(count)
            return np.asarray((self._scores[:, 1] - self._scores[:, 0]) * ranks / count)
        total = np.zeros(count)
        for worth in self._worths:
            chosen = self._choices(found, worth)
            total += self._scores[np.arange(count), chosen] - worth * self._handicaps[chosen]
        return total / len(self._worths)

    def _choices(self, found: Doubles, worth: float) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
        return np.asarray((found - (worth + 1e-9) * self._handicaps).argmax(1))

    def best(self, first: Doubles, rest: Doubles, parts: tuple[float, ...]) -> float:
        """The part of the rest with which choices turn out best; the first of equals."""
        return max(parts, key=lambda part: float(self.of(first + part * rest).mean()))

    def shares(self, mean: Doubles, first: Doubles, rest: Doubles) -> tuple[float, float]:
        """How much the tasks' means, and what prompts tell beyond them, count: the means alone, unless other shares
        chose better on examples left out, by more than one standard error."""
        plain = self.of(first)
        best, most = (1.0, 0.0), 0.0
        for by in (1.0, 0.5, 0.0):
            for beyond in (0.0, 0.5, 1.0):
                gain, error = mean_and_error(self.of(mean + by * (first - mean) + beyond * rest) - plain)
                if gain - error > most:
                    best, most = (by, beyond), gain - error
        return best

    def moved(self, said: Doubles, base: Doubles) -> tuple[Doubles, Doubles]:
        """What was foretold to be won by leaving the choice of `base`, squared, and times what was won beyond what
        `base` expects; summed over the choices that an example brings about. Of two models, all examples count."""
        found, base = said[self._rows, 1:], base[1:]
        foretold, won = found - base, self._scores - base
        count = np.arange(len(found))
        if found.shape[1] == 2:
            gap, true = foretold[:, 1] - foretold[:, 0], won[:, 1] - won[:, 0]
            return gap**2, gap * true
        squares, products = np.zeros(len(found)), np.zeros(len(found))
        for worth in self._worths:
            stays = self._choices(base[None], worth)
            for part in _PARTS:
                goes = self._choices(base + part * foretold, worth)
                gap = foretold[count, goes] - foretold[count, stays]
                squares += gap**2
                products += gap * (won[count, goes] - won[count, stays])
        return squares, products


def mean_and_error(values: Doubles) -> tuple[float, float]:
    """The mean of examples, and its standard error."""
    return float(values.mean()), float(values.std()) / math.sqrt(len(values))
