"""What models do on a task that the caller names: the task's means, and of its prompts only what surely helps.

A lookup by task is the special case with nothing beyond the means; it is what is left where prompts say nothing more.
Shares are chosen by how choices turn out on examples left out, not by squared errors: of many models the best looking
one wins, and what lessens an error may still move that choice for the worse.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .ridge import Doubles, Floats, Ridge

_SEED = 20261121
_FOLDS = 5
# Examples on which shares are compared.
_MOST_FOR_WORTH = 2000
# What a doubling of cost is worth, in points of quality: from not at all to more than all.
_COST_WORTHS = (0.0, 0.003, 0.006, 0.0125, 0.025, 0.05, 0.1, 0.2)


def told_apart(
    ridges: list[Ridge],
    parts: list[NDArray[np.intp]],
    outputs: Doubles,
    turn: Doubles,
    of_task: Doubles,
    costs: Doubles,
) -> tuple[Doubles, Floats]:
    """For a task that is told: its outputs, and the weights from features to what they leave; none where what prompts
    say beyond their task is not surely of use."""
    turned = outputs @ turn
    mean = turned.mean(0)
    table, first = _shrunk(turned, of_task), _by_others(turned, of_task)
    found: Any = 0.0
    middle: Any = 0.0
    left_out = np.zeros_like(turned)
    for part, ridge in zip(parts, ridges, strict=True):
        fitted = ridge.fit((turned - first)[part])
        found, middle = found + fitted.weights / len(parts), middle + fitted.means / len(parts)
        left_out[part] = fitted.left_out
    by, beyond = _Worth(outputs, costs).shares(mean @ turn.T, first @ turn.T, left_out @ turn.T)
    weights: Floats = np.zeros((0, outputs.shape[1]), np.float32)
    if beyond:
        weights = np.asarray(beyond * found @ turn.T, np.float32)
    return np.asarray((mean + by * (table - mean) + beyond * middle) @ turn.T), weights


def _shrunk(outputs: Doubles, of_task: Doubles) -> Doubles:
    """Each task's mean outputs, drawn towards those of all as by so many examples more: the variance within tasks over
    that between them, each output its own (empirical Bayes, Efron and Morris 1975; variances by ANOVA)."""
    counts = np.maximum(of_task.sum(0), 1)[:, None]
    total = float(counts.sum())
    mean = outputs.mean(0)
    by_task = of_task.T @ outputs / counts
    named = of_task.sum(1) > 0
    within = ((outputs - of_task @ by_task)[named] ** 2).sum(0) / max(total - len(counts), 1.0)
    spread = (counts * (by_task - mean) ** 2).sum(0) - (len(counts) - 1) * within
    between = np.maximum(spread / (total - float((counts**2).sum()) / total), 1e-9)
    return np.asarray(mean + counts / (counts + within / between) * (by_task - mean))


def _by_others(outputs: Doubles, of_task: Doubles) -> Doubles:
    """What the task's mean in the other folds foretells of each example; of no task, the mean of all there.

    Folds, since with one example left out at a time two models that are level in a task would each lose the choice
    just where it was right.
    """
    fold = np.random.default_rng(_SEED).permutation(len(outputs)) % _FOLDS
    found = np.empty_like(outputs)
    for each in range(_FOLDS):
        own, rest = fold == each, fold != each
        known = of_task[own].sum(1, keepdims=True)
        found[own] = of_task[own] @ _shrunk(outputs[rest], of_task[rest]) + (1 - known) * outputs[rest].mean(0)
    return found


class _Worth:
    """How well choices by what is foretold turn out, on examples that were not learnt from."""

    def __init__(self, outputs: Doubles, costs: Doubles) -> None:
        self._rows = np.random.default_rng(_SEED).permutation(len(outputs))[:_MOST_FOR_WORTH]
        self._scores = (outputs[:, :1] + outputs[:, 1:])[self._rows]
        known = bool(np.isfinite(costs).all() and (costs > 0).all())
        doublings = np.log2(costs / costs.min()) if known else np.zeros(len(costs))
        self._worths = _COST_WORTHS if doublings.any() else (0.0,)
        self._handicaps = doublings + 1e-9 * np.arange(len(costs))

    def of(self, outputs: Doubles) -> Doubles:
        """What each example adds: score less what its cost is worth, mean over some worths; where no cost is known,
        the score; of two models, over all shares of calls to one of them."""
        found = outputs[self._rows, 1:]
        count = len(found)
        if found.shape[1] == 2:
            ranks = np.empty(count)
            ranks[np.lexsort((np.arange(count), found[:, 1] - found[:, 0]))] = np.arange(count)
            return np.asarray((self._scores[:, 1] - self._scores[:, 0]) * ranks / count)
        total = np.zeros(count)
        for worth in self._worths:
            chosen = (found - (worth + 1e-9) * self._handicaps).argmax(1)
            total += self._scores[np.arange(count), chosen] - worth * self._handicaps[chosen]
        return total / len(self._worths)

    def shares(self, mean: Doubles, first: Doubles, rest: Doubles) -> tuple[float, float]:
        """How much the tasks' means, and what prompts tell beyond them, count: the means alone, unless other shares
        chose better on examples left out, by more than one standard error."""
        plain = self.of(first)
        best, most = (1.0, 0.0), 0.0
        for by in (1.0, 0.5, 0.0):
            for beyond in (0.0, 0.5, 1.0):
                gain, error = _gain(self.of(mean + by * (first - mean) + beyond * rest) - plain)
                if gain - error > most:
                    best, most = (by, beyond), gain - error
        return best


def _gain(values: Doubles) -> tuple[float, float]:
    """Mean and its standard error."""
    return float(values.mean()), float(values.std()) / math.sqrt(len(values))
