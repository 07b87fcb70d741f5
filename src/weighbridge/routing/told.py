"""What models do on a task: the means of examples of it, drawn towards those of all by how much tasks differ.

Where the caller names the task that is nearly all; what its prompts say beyond counts only where it surely chose
better. Where the task is inferred from the prompt, the means are mixed by how likely each task is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .ridge import Doubles, Floats, Ridge
from .worth import Worth

_SEED = 20261121
_FOLDS = 5


def told_apart(
    ridges: list[Ridge],
    parts: list[NDArray[np.intp]],
    turned: Doubles,
    turn: Doubles,
    of_task: Doubles,
    worth: Worth,
) -> tuple[Doubles, Floats]:
    """For a task that is told: its outputs, and the weights from features to what they leave; none where what prompts
    say beyond their task is not surely of use."""
    mean = turned.mean(0)
    table, first = shrunk(turned, of_task), by_others(turned, of_task, of_task)
    found, middle, left_out = fit_parts(ridges, parts, turned - first)
    by, beyond = worth.shares(mean @ turn.T, first @ turn.T, left_out @ turn.T)
    weights: Floats = np.zeros((0, len(turn)), np.float32)
    if beyond:
        weights = np.asarray(beyond * found @ turn.T, np.float32)
    return np.asarray((mean + by * (table - mean) + beyond * middle) @ turn.T), weights


def fit_parts(ridges: list[Ridge], parts: list[NDArray[np.intp]], outputs: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """Ridge in parts, averaged: weights, means, and what is foretold of each example by others."""
    found: Any = 0.0
    middle: Any = 0.0
    left_out = np.zeros_like(outputs)
    for part, ridge in zip(parts, ridges, strict=True):
        fitted = ridge.fit(outputs[part])
        found, middle = found + fitted.weights / len(parts), middle + fitted.means / len(parts)
        left_out[part] = fitted.left_out
    return np.asarray(found), np.asarray(middle), left_out


def shrunk(outputs: Doubles, of_task: Doubles) -> Doubles:
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


def by_others(outputs: Doubles, of_task: Doubles, likely: Doubles) -> Doubles:
    """What tasks' means in the other folds foretell of each example, mixed by how likely it is of each; of no task, the
    mean of all there.

    Folds, since with one example left out at a time two models that are level in a task would each lose the choice
    just where it was right.
    """
    fold = np.random.default_rng(_SEED).permutation(len(outputs)) % _FOLDS
    found = np.empty_like(outputs)
    for each in range(_FOLDS):
        own, rest = fold == each, fold != each
        known = likely[own].sum(1, keepdims=True)
        found[own] = likely[own] @ shrunk(outputs[rest], of_task[rest]) + (1 - known) * outputs[rest].mean(0)
    return found
