"""Ridge regression whose strength is chosen by leaving one example out, in closed form for all strengths at once.

Hoerl and Kennard 1970; the closed form of leaving one out is Allen's PRESS (1974). Seen as a Gaussian process with a
linear kernel, its answer falls back to the mean where the examples say nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]

STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 1e5)


@dataclass(frozen=True, slots=True)
class Fitted:
    """What was learnt of some outputs, one a column."""

    means: Doubles
    weights: Floats
    """(features, outputs)"""
    left_out: Doubles
    """What is foretold of each example by all others: (examples, outputs)."""
    strengths: Doubles


class Ridge:
    """Examples' features, decomposed once."""

    def __init__(self, features: Floats, gram: Floats) -> None:
        """`gram` holds the inner products of all pairs of examples."""
        self._features = features
        values, self._left = np.linalg.eigh(gram.astype(np.float32))
        self._values = np.maximum(values.astype(np.float64), 0)

    def likeness(self, strength: float) -> tuple[Floats, Doubles]:
        """How much a prompt is like the examples: what ridge regression without a mean foretells where it is 1 of all
        of them; next to nothing of a prompt that has nothing in common with any. The weights, and what is foretold of
        each example by all others."""
        summed = self._left.sum(0, dtype=np.float64)
        kept = self._values / (self._values + strength)
        influence = np.minimum(self._left**2 @ kept, 0.999)
        left_out = (self._left @ (kept * summed) - influence) / (1 - influence)
        inner = self._left @ (summed / (self._values + strength))
        return np.asarray(self._features.T @ inner, np.float32), np.asarray(left_out)

    def fit(self, outputs: Doubles, strengths: tuple[float, ...] = STRENGTHS) -> Fitted:
        """Of each output, the strength with the least squared error on examples left out, and what it gives."""
        count = len(outputs)
        means = outputs.mean(0)
        apart = (outputs - means).astype(np.float32)
        turned = self._left.T @ apart
        squares = self._left**2
        best = np.full(outputs.shape[1], np.inf)
        chosen, left_out = np.empty(outputs.shape[1]), np.empty_like(outputs)
        for strength in strengths:
            kept = (self._values / (self._values + strength)).astype(np.float32)
            influence = np.minimum(squares @ kept + 1 / count, 0.999)
            rest = (apart - self._left @ (kept[:, None] * turned)) / (1 - influence)[:, None]
            errors = (rest**2).mean(0, dtype=np.float64)
            better = errors < best
            best[better], chosen[better] = errors[better], strength
            left_out[:, better] = outputs[:, better] - rest[:, better]
        inner = self._left @ (turned / (self._values[:, None] + chosen)).astype(np.float32)
        return Fitted(means, np.asarray(self._features.T @ inner, np.float32), left_out, chosen)
