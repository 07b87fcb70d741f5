"""`learn`: a `Predictor` from `Evidence`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weighbridge.errors import BadSetting
from weighbridge.figures import Basis

from .apart import PRIOR_EXAMPLES, base_of, complete, growth, means, outputs_of, scores_of
from .cascade import Tried, learn_threshold
from .evidence import Evidence
from .features import Looks, looks_of
from .guard import Apart, Guard, clusters, measure, unmeasured
from .lens import Lens
from .near import LeftOut, Near, signs_of
from .predictor import Predictor
from .ridge import Doubles, Floats

_FEWEST_NEAR = 20
_MOST_FOR_SHIFT = 600
_SHIFT_GROUPS = 4
# Points of quality that asking one more model must bring.
_ESCALATION_WORTH = 0.02
_SEED = 20261121


def learn(evidence: Evidence) -> Predictor:
    """A predictor from these outcomes and no others; the same evidence gives the same predictor.

    BadSetting where there is no outcome at all.
    """
    if not len(evidence) or not evidence.weights.any():
        raise BadSetting("there are no outcomes to learn from", hint="without evidence, rules decide")
    looks = looks_of(evidence.prompts)
    lens = Lens.of(looks)
    outputs = outputs_of(complete(evidence))
    counts = evidence.weights.sum(0)
    base = base_of(outputs, counts)
    near: Near | None = None
    guard: Guard | None = None
    foretold = np.tile(base, (len(looks), 1))
    if len(looks) >= _FEWEST_NEAR and len(evidence.models) > 1:
        features = lens.features(looks)
        near, left_out = Near.fit(features, outputs, evidence.tasks, means(evidence.costs))
        foretold = left_out.outputs
        guard = _guard(evidence, looks, features, outputs, base, left_out)
    expected, found = scores_of(foretold), scores_of(outputs)
    lengths = np.array([float(each.signs[0]) for each in looks])
    arrays = {
        "base": base,
        "noise": ((found - expected) ** 2).mean(0),
        "signal": expected.var(0) + 0.25 / (len(looks) + PRIOR_EXAMPLES),
        "counts": counts,
        "costs": means(evidence.costs),
        "seconds": means(evidence.seconds),
        "growth": np.array([growth(evidence.costs, lengths), growth(evidence.seconds, lengths)]),
    }
    about: dict[str, Any] = {
        "examples": len(looks),
        "mean_log_length": float(lengths.mean()),
        "thresholds": _thresholds(evidence),
    }
    return Predictor(evidence.models, about, arrays, lens, near, guard)


def _guard(
    evidence: Evidence,
    looks: Sequence[Looks],
    features: Floats,
    outputs: Doubles,
    base: Doubles,
    left_out: LeftOut,
) -> Guard:
    """What carries over to prompts unlike these, measured on tasks or clusters that are left out."""
    chosen = np.sort(np.random.default_rng(_SEED).permutation(len(looks))[:_MOST_FOR_SHIFT])
    some, seen = evidence.rows(chosen), [looks[at] for at in chosen]
    own_outputs = outputs[chosen]
    groups = []
    of = _groups(some.tasks, features[chosen])
    for group in sorted(set(of.tolist()) - {-1}):
        own, others = np.flatnonzero(of == group), np.flatnonzero(of != group)
        if len(others) < _FEWEST_NEAR or not some.weights[others].any():
            continue
        groups.append(_left_out(some, seen, own_outputs, own, others))
    costs = means(evidence.costs)
    if not groups:
        return unmeasured(left_out)
    return measure(outputs, base, left_out, groups, costs, len(set(evidence.tasks) - {None}))


def _groups(tasks: tuple[str | None, ...], features: Floats) -> NDArray[np.intp]:
    """Of each example the group with which it is left out: whole tasks, and where fewer than two are named, clusters;
    -1 for none."""
    named = sorted({task for task in tasks if task is not None})
    if len(named) > 1:
        order = [named[at] for at in np.random.default_rng(_SEED).permutation(len(named))]
        group = {task: at % min(_SHIFT_GROUPS, len(named)) for at, task in enumerate(order)}
        return np.array([group[task] if task is not None else -1 for task in tasks])
    count = min(_SHIFT_GROUPS, len(tasks) // _FEWEST_NEAR)
    return clusters(features, count) if count > 1 else np.full(len(tasks), -1)


def _left_out(
    evidence: Evidence, looks: Sequence[Looks], outputs: Doubles, own: NDArray[np.intp], others: NDArray[np.intp]
) -> Apart:
    """What the others foretell of a group, having learnt from nothing else."""
    rest = evidence.rows(others)
    lens = Lens.of([looks[at] for at in others])
    known = outputs_of(complete(rest))
    base = base_of(known, rest.weights.sum(0))
    near, _ = Near.fit(lens.features([looks[at] for at in others]), known, rest.tasks, means(rest.costs))
    said, alike, likely = near.say(lens.features([looks[at] for at in own]) @ near.weights)
    return Apart(outputs[own], said, base, signs_of(alike, likely))


def _thresholds(evidence: Evidence) -> list[tuple[str, str, float, str, str]]:
    """Of each cascade from a model to a better one that enough prompts tell of: when to escalate."""
    scores, sure = evidence.scores, evidence.log_probabilities
    if sure is None:
        return []
    found = []
    for small, big in permutations(range(len(evidence.models)), 2):
        rows = np.flatnonzero(np.isfinite(sure[:, small]) & ~np.isnan(scores[:, small] + scores[:, big]))
        if scores[rows, big].sum() <= scores[rows, small].sum():
            continue
        tried = [Tried(*map(float, (sure[at, small], scores[at, small], scores[at, big]))) for at in rows]
        figure = learn_threshold(tried, _ESCALATION_WORTH)
        if figure.basis is Basis.MEASURED:
            names = evidence.models[small], evidence.models[big]
            found.append((*names, figure.value, figure.basis.value, figure.source or ""))
    return found
