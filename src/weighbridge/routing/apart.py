"""Outcomes as routing learns them: a prompt's level, and each model's distance from it; gaps filled, costs and times.

What decides a route is how models differ on a prompt, not how hard it is, so both are learnt apart.
"""

from __future__ import annotations

import numpy as np

from .evidence import Evidence
from .ridge import Doubles

PRIOR_EXAMPLES = 4.0
"""So many examples of average outcome are taken as seen of each model before the first."""
_FEWEST_FOR_GROWTH = 20


def complete(evidence: Evidence) -> Doubles:
    """Scores with gaps filled by prompt and model: a + b, each shrunk to nothing by its few outcomes; and outcomes that
    weigh less than one moved towards that."""
    scores, weights = np.nan_to_num(evidence.scores), evidence.weights
    total = max(weights.sum(), 1e-9)
    mean = float((weights * scores).sum() / total)
    by_model = np.zeros(scores.shape[1])
    by_prompt = np.zeros((len(scores), 1))
    for _ in range(10):
        rest = weights * (scores - mean - by_prompt)
        by_model = rest.sum(0) / (weights.sum(0) + PRIOR_EXAMPLES)
        rest = weights * (scores - mean - by_model)
        by_prompt = (rest.sum(1) / (weights.sum(1) + 1.0))[:, None]
    return np.asarray(weights * scores + (1 - weights) * np.clip(mean + by_model + by_prompt, 0, 1))


def outputs_of(scores: Doubles) -> Doubles:
    """Level, and each model's distance from it: (prompts, 1 + models)."""
    level = scores.mean(1, keepdims=True)
    return np.concatenate((level, scores - level), 1)


def scores_of(outputs: Doubles) -> Doubles:
    """The other way."""
    return outputs[:, :1] + outputs[:, 1:]


def base_of(outputs: Doubles, counts: Doubles) -> Doubles:
    """What is expected of a prompt of which nothing is known: each model's mean, shrunk towards that of all."""
    return np.concatenate((outputs[:, :1].mean(0), outputs[:, 1:].mean(0) * counts / (counts + PRIOR_EXAMPLES)))


def turn_of(outputs: Doubles) -> Doubles:
    """The level, and the directions in which models differ, so that each gets a strength of its own."""
    apart = outputs[:, 1:] - outputs[:, 1:].mean(0)
    _, vectors = np.linalg.eigh(apart.T @ apart)
    turn = np.zeros((outputs.shape[1], outputs.shape[1]))
    turn[0, 0] = 1
    turn[1:, 1:] = vectors
    # The models' distances sum to nothing: the direction that all share holds none.
    return turn[:, [0, *range(2, outputs.shape[1])]] if outputs.shape[1] > 2 else turn[:, :1]


def means(table: Doubles) -> Doubles:
    """Of each column what is known; NaN where nothing is."""
    known = ~np.isnan(table)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.nan_to_num(table).sum(0) / known.sum(0))


def growth(table: Doubles, lengths: Doubles) -> float:
    """The power of the prompt's length by which costs or seconds grow, 0 to 1, by least squares within models."""
    known = (table > 0) & np.isfinite(table)
    if known.sum() < _FEWEST_FOR_GROWTH:
        return 0.0
    logs = np.log(np.where(known, table, 1.0))
    logs -= np.where(known, logs, 0).sum(0) / np.maximum(known.sum(0), 1)
    wide = np.broadcast_to((lengths - lengths.mean())[:, None], table.shape)[known]
    return float(np.clip((wide @ logs[known]) / (wide @ wide + 1.0), 0, 1))
