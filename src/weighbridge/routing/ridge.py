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

    def directions(self, count: int, strength: float) -> Floats:
        """The first so many directions in which examples lie, scaled so that the squared length of a prompt's
        components is the part of its prior variance that the examples explain."""
        best = np.argsort(-self._values)[:count]
        values = self._values[best]
        right = self._features.T @ self._left[:, best] / np.sqrt(np.maximum(values, 1e-9))
        return np.asarray(right * np.sqrt(values / (values + strength)), np.float32)

    def fit(self, outputs: Doubles, strengths: tuple[float, ...] = STRENGTHS) -> Fitted:
        """Of each output, the strength with the least squared error on examples left out, and what it gives."""
        count = len(outputs)
        means = outputs.mean(0)
        turned = self._left.T @ (outputs - means)
        squares = self._left**2
        errors, answers = [], []
        for strength in strengths:
            kept = self._values / (self._values + strength)
            influence = np.minimum(squares @ kept + 1 / count, 0.999)
            rest = (outputs - means - self._left @ (kept[:, None] * turned)) / (1 - influence)[:, None]
            answers.append(outputs - rest)
            errors.append((rest**2).mean(0))
        best = np.argmin(errors, axis=0)
        chosen = np.array(strengths)[best]
        inner = self._left @ (turned / (self._values[:, None] + chosen))
        left_out = np.stack([answers[which][:, column] for column, which in enumerate(best)], 1)
        return Fitted(means, np.asarray(self._features.T @ inner, np.float32), left_out, chosen)
