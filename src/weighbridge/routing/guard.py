"""`Guard`: how far what was learnt may be trusted on a prompt, so that choosing by it is no worse than the best single
model.

Two things are measured inside the evidence. By examples left out one by one: what part of a gain that is foretold for
leaving the best single model is found, if it is sure that any is (`inside`). By whole tasks left out, or clusters of
prompts where tasks are not named: the same part, less a margin for how few tasks tell of it (`outside`); and how such
prompts look, beside those of known tasks. A logistic regression on signs of familiarity says how likely a prompt is of
no known task; what counts is the mean of both parts by that.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .near import LeftOut
from .recognising import LIKENESSES
from .ridge import Doubles, Floats
from .worth import Worth, mean_and_error

LITTLE = 0.05
"""So much always counts, to put in order what is otherwise equal."""
# So many of the prompts that come are taken to be of no task of the evidence, where it names none. Else a new task is
# taken to be as likely as one of those that are known, at most as likely as not.
_OUTSIDE = 0.3
# What is known of the part found inside before anything is measured: as foretold, give or take.
_INSIDE_DEVIATION = 0.15
# One-sided, 95 %: Student's t for two groups, three, and so on; so many standard errors.
_MARGINS = (6.31, 2.92, 2.35, 2.13, 2.02, 1.94, 1.89)
_RIDGE = 1.0
_STEPS = 30
_FAR = 30.0
_SEED = 20261121
_DIRECTIONS = 20
_CLUSTER_TRIES, _CLUSTER_STEPS = 3, 30


@dataclass(frozen=True, slots=True)
class Guard:
    """Made by `measure`, `unmeasured`, or from what was kept."""

    weights: tuple[float, ...]
    """By which signs of familiarity, from the first on, foretell that a prompt is of no known task; the constant
    first."""
    inside: float
    outside: float

    def trust(self, signs: Sequence[float]) -> tuple[float, float]:
        """How likely a prompt with such signs is of what the evidence holds, 0 to 1, and what part of what was learnt
        counts."""
        constant, *weights = self.weights
        strange = constant + sum(map(operator.mul, weights, signs))
        familiarity = 1 / (1 + math.exp(min(max(strange, -_FAR), _FAR)))
        return familiarity, max(LITTLE, self.outside + familiarity * (self.inside - self.outside))


@dataclass(frozen=True, slots=True)
class Apart:
    """Prompts of a group that was left out, and what was foretold of them by the others."""

    outputs: Doubles
    """Their own."""
    near: Doubles
    base: Doubles
    signs: Doubles


def measure(
    outputs: Doubles, base: Doubles, left_out: LeftOut, groups: list[Apart], costs: Doubles, tasks: int
) -> Guard:
    """From examples left out one by one, and in groups; `costs` are the models', `tasks` how many are named."""
    worth = Worth(outputs, costs)
    gain, error = mean_and_error(worth.of(left_out.outputs) - worth.of(np.tile(base, (len(outputs), 1))))
    inside = _inside(*worth.moved(left_out.outputs, base), gain / max(error, 1e-9))
    outside = min(_outside([Worth(each.outputs, costs).moved(each.near, each.base) for each in groups]), inside)
    count = min(left_out.signs.shape[1], *(each.signs.shape[1] for each in groups))
    strange = np.concatenate([each.signs for each in groups])
    new = 1 / max(tasks, 2) if tasks else _OUTSIDE
    return Guard(_told_apart(left_out.signs[:, :count], strange[:, :count], new), inside, outside)


def unmeasured(left_out: LeftOut) -> Guard:
    """Where there is too little to leave anything out: a prompt that is less like the examples, in its pieces, than
    nearly all of these are like each other is not trusted."""
    alike = left_out.signs[:, 1]
    low, high = (float(each) for each in np.quantile(alike, (0.02, 0.2)))
    slope = 3 / max(high - low, 0.01)
    weights = [slope * low] + [0.0] * LIKENESSES
    weights[2] = -slope
    return Guard(tuple(weights), 1.0, LITTLE)


def _inside(squares: Doubles, products: Doubles, won: float) -> float:
    """The part of what is foretold that is found: least squares, drawn towards all of it by how uncertain that is.

    It counts as far as it is sure that anything is found at all: nothing up to one standard error above none, all of it
    from two on. With few examples of many models, the best single model then answers. Two things may tell: that part,
    and what choices won beside the best single model's, in standard errors (`won`). The first sees more, since it
    weighs what is foretold; but a few choices of which too much was foretold can hide that most were right.
    """
    total = float(squares.sum())
    if total < 1e-9:
        return LITTLE
    slope = float(products.sum()) / total
    variance = max(float(((products - slope * squares) ** 2).sum()) / total**2, 1e-9)
    sure, known = 1 / variance, 1 / _INSIDE_DEVIATION**2
    drawn = (sure * slope + known) / (sure + known)
    surely = min(max(slope / math.sqrt(variance) - 1, won - 1, 0.0), 1.0)
    return float(np.clip(surely * drawn, LITTLE, 1.0))


def _outside(groups: list[tuple[Doubles, Doubles]]) -> float:
    """The part that is found in groups that were left out, at the lower end of its interval: by how much groups differ,
    or how examples do, whichever is more uncertain. Nothing where fewer than two groups tell of it."""
    squares = np.array([float(own.sum()) for own, _ in groups])
    products = np.array([float(own.sum()) for _, own in groups])
    total = squares.sum()
    if total < 1e-9 or (squares > 0).sum() < 2:
        return LITTLE
    slope = products.sum() / total
    of_groups = ((products - slope * squares) ** 2).sum() * len(groups) / (len(groups) - 1)
    of_examples = sum(float(((own - slope * square) ** 2).sum()) for square, own in groups)
    error = math.sqrt(max(of_groups, of_examples)) / total
    margin = _MARGINS[min(int((squares > 0).sum()) - 2, len(_MARGINS) - 1)]
    return float(np.clip(slope - margin * error, LITTLE, 1.0))


def _told_apart(familiar: Doubles, strange: Doubles, share: float) -> tuple[float, ...]:
    """Logistic regression that tells one from the other, as if such a share of prompts were strange; weights of the
    plain signs, the constant first."""
    signs = np.concatenate((familiar, strange))
    middle, scale = signs.mean(0), signs.std(0) + 1e-6
    seen = np.concatenate((np.ones((len(signs), 1)), (signs - middle) / scale), 1)
    truth = np.concatenate((np.zeros(len(familiar)), np.ones(len(strange))))
    count = 2 * min(len(familiar), len(strange))
    weight = np.where(truth > 0, share * count / len(strange), (1 - share) * count / len(familiar))
    ridge = np.diag([1e-6, *[_RIDGE] * signs.shape[1]])
    found = np.zeros(seen.shape[1])
    for _ in range(_STEPS):
        likely = 1 / (1 + np.exp(-np.clip(seen @ found, -_FAR, _FAR)))
        slope = seen.T @ (weight * (truth - likely)) - ridge @ found
        curve = (seen * (weight * likely * (1 - likely))[:, None]).T @ seen + ridge
        step = np.linalg.solve(curve, slope)
        found = found + step
        if np.abs(step).max() < 1e-6:
            break
    plain = found[1:] / scale
    return (float(found[0] - plain @ middle), *plain.tolist())


def clusters(features: Floats, count: int) -> NDArray[np.intp]:
    """So many groups of examples that are alike: k-means (Lloyd 1982) along their principal directions."""
    rng = np.random.default_rng(_SEED)
    middle = features - features.mean(0)
    values, vectors = np.linalg.eigh(middle @ middle.T)
    places = (vectors * np.sqrt(np.maximum(values, 0)))[:, -_DIRECTIONS:]
    best, found = np.inf, np.zeros(len(places), np.intp)
    for _ in range(_CLUSTER_TRIES):
        centres = places[rng.choice(len(places), count, replace=False)]
        for _ in range(_CLUSTER_STEPS):
            distances = ((places[:, None] - centres) ** 2).sum(2)
            own = distances.argmin(1)
            centres = np.array([places[own == at].mean(0) if (own == at).any() else centres[at] for at in range(count)])
        spread = float(distances.min(1).sum())
        if spread < best:
            best, found = spread, own
    return found
