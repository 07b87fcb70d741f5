"""Which task a prompt is of, and how much it is like the examples at all; both linear in its features.

Each kind of feature (words, pieces, form) tells tasks apart by a ridge regression of its own, and a multinomial
logistic regression blends what they foretell of examples left out: stacking (Wolpert 1992). With few examples a task
that overfits: then one regression on all features, sharpened, is as good, and is taken where it foretells better.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .lens import FORM, LEXICAL, MEANING, PIECES, WORDS
from .ridge import Doubles, Floats, Ridge

_SEED = 20261121
_FEWEST_OF_A_TASK = 8
_MOST_TASKS = 64
# Examples a task, on average, from which on a blend is tried.
_FEWEST_TO_BLEND = 20
_SHARPNESS = tuple(np.geomspace(3.0, 60.0, 14).tolist())
_TASK_STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0)
_BLEND_STRENGTH = 0.1
_BLEND_FOLDS = 3
_MOST_STEPS = 60
_LIKENESS_STRENGTH = 1.0
# What a probability is taken for at the least, so that one surely wrong example does not decide.
_FLOOR = 1e-3

_LEXICAL_BLOCKS = (WORDS, PIECES, FORM)
LIKENESSES = len(_LEXICAL_BLOCKS)


def named_tasks(tasks: tuple[str | None, ...]) -> tuple[str, ...]:
    """Tasks with enough examples to be told apart; none where there is only one."""
    counts = Counter(task for task in tasks if task is not None)
    named = tuple(sorted(task for task, count in counts.most_common(_MOST_TASKS) if count >= _FEWEST_OF_A_TASK))
    return named if len(named) > 1 else ()


def indicators(tasks: tuple[str | None, ...], named: tuple[str, ...]) -> Doubles:
    """(examples, named tasks): 1 where an example is of a task."""
    return np.array([[task == name for name in named] for task in tasks], float).reshape(len(tasks), len(named))


def softmax(scores: NDArray[Any]) -> Doubles:
    """Probabilities; rows sum to 1."""
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


@dataclass(frozen=True, slots=True)
class Recognised:
    """What was learnt of tasks and likeness."""

    ridges: list[Ridge]
    """Of all features, one a part of the examples."""
    weights: Floats
    """(features, tasks): scores whose softmax is the tasks' probability."""
    bias: Doubles
    likely: Doubles
    """Each example's probabilities of the tasks, by other examples."""
    alike_weights: Floats
    """(features, `LIKENESSES`)"""
    alike: Doubles
    """How much each example is like others, by words, pieces and form."""


def recognise(features: Floats, of_task: Doubles, parts: list[NDArray[np.intp]]) -> Recognised:
    """Learnt in parts of the examples, whose weights are averaged."""
    count, tasks = of_task.shape
    wide = features.shape[1]
    blocks = _LEXICAL_BLOCKS if wide == LEXICAL else (*_LEXICAL_BLOCKS, MEANING)
    ridges: list[Ridge] = []
    whole, whole_bias, whole_out = np.zeros((wide, tasks)), np.zeros(tasks), np.zeros((count, tasks))
    apart, apart_bias = np.zeros((wide, tasks)), np.zeros(len(blocks) * tasks)
    apart_out = np.zeros((count, len(blocks) * tasks))
    alike_weights, alike = np.zeros((wide, LIKENESSES), np.float32), np.zeros((count, LIKENESSES))
    for part in parts:
        gram: Floats = np.zeros((len(part), len(part)), np.float32)
        for at, block in enumerate(blocks):
            some = np.ascontiguousarray(features[part, block])
            own = some @ some.T
            gram += own
            ridge = Ridge(some, own)
            if at < LIKENESSES:
                like, alike[part, at] = ridge.likeness(_LIKENESS_STRENGTH)
                alike_weights[block, at] += like / len(parts)
            if tasks:
                fitted, columns = ridge.fit(of_task[part], _TASK_STRENGTHS), slice(at * tasks, (at + 1) * tasks)
                apart[block] += fitted.weights / len(parts)
                apart_bias[columns] += fitted.means / len(parts)
                apart_out[part, columns] = fitted.left_out
        ridges.append(Ridge(features[part], gram))
        if tasks:
            fitted = ridges[-1].fit(of_task[part], _TASK_STRENGTHS)
            whole, whole_bias = whole + fitted.weights / len(parts), whole_bias + fitted.means / len(parts)
            whole_out[part] = fitted.left_out
    if not tasks:
        return Recognised(ridges, whole.astype(np.float32), whole_bias, whole_out, alike_weights, alike)
    sharpness, likely, loss = _sharpened(whole_out, of_task)
    weights, bias = sharpness * whole, sharpness * whole_bias
    if of_task.sum() >= _FEWEST_TO_BLEND * tasks:
        blended = _left_out_blend(apart_out, of_task)
        if _loss(blended, of_task) < loss:
            blend, constant = _blend(apart_out, of_task)
            for at, block in enumerate(blocks):
                weights[block] = apart[block] @ blend[at * tasks : (at + 1) * tasks]
            likely, bias = blended, apart_bias @ blend + constant
    return Recognised(ridges, weights.astype(np.float32), bias, likely, alike_weights, alike)


def _loss(likely: Doubles, of_task: Doubles) -> float:
    named = of_task.sum(1) > 0
    return -float(np.log(np.maximum((likely * of_task).sum(1)[named], _FLOOR)).mean())


def _sharpened(scores: Doubles, of_task: Doubles) -> tuple[float, Doubles, float]:
    """By how much scores are multiplied before they are made probabilities, these, and their loss."""
    tried = [(_loss(softmax(each * scores), of_task), each) for each in _SHARPNESS]
    loss, sharpness = min(tried)
    return sharpness, softmax(sharpness * scores), loss


def _left_out_blend(scores: Doubles, of_task: Doubles) -> Doubles:
    fold = np.random.default_rng(_SEED).permutation(len(scores)) % _BLEND_FOLDS
    found = np.empty_like(of_task)
    for each in range(_BLEND_FOLDS):
        weights, bias = _blend(scores[fold != each], of_task[fold != each])
        found[fold == each] = softmax(scores[fold == each] @ weights + bias)
    return found


def _blend(scores: Doubles, of_task: Doubles) -> tuple[Doubles, Doubles]:
    """Weights and bias of multinomial logistic regression with a ridge, by steps of a bound on its curvature (Böhning
    1992), with momentum (Nesterov 1983)."""
    named = of_task.sum(1) > 0
    seen = np.concatenate((scores[named], np.ones((int(named.sum()), 1))), 1).astype(np.float32)
    truth = of_task[named].astype(np.float32)
    ridge = np.full(seen.shape[1], _BLEND_STRENGTH, np.float32)
    ridge[-1] = 1e-3
    step = np.linalg.inv((0.5 * seen.T @ seen + np.diag(ridge)).astype(np.float64)).astype(np.float32)
    found = ahead = np.zeros((seen.shape[1], truth.shape[1]), np.float32)
    for turn in range(_MOST_STEPS):
        slope = seen.T @ (truth - softmax(seen @ ahead)) - ridge[:, None] * ahead
        new = ahead + step @ slope
        ahead = new + turn / (turn + 3) * (new - found)
        found = new
    return found[:-1].astype(float), found[-1].astype(float)
