"""`learn`: a `Predictor` from `Evidence`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weighbridge.errors import BadSetting
from weighbridge.figures import Basis

from .apart import PRIOR_EXAMPLES, base_of, complete, growth, means, outputs_of, scores_of
from .cascade import Tried, learn_threshold
from .embedding import Embedding
from .evidence import Evidence
from .features import Looks, looks_of
from .guard import Apart, Guard, clusters, measure, unmeasured
from .lens import LEXICAL, Lens
from .near import LeftOut, Near, signs_of
from .predictor import Predictor
from .ridge import Doubles, Floats
from .worth import Worth, mean_and_error

_FEWEST_NEAR = 20
_MOST_FOR_SHIFT = 600
_SHIFT_GROUPS = 4
# So many standard errors below none is a loss that is no chance.
_SURE = 2.0
# Points of quality that asking one more model must bring.
_ESCALATION_WORTH = 0.02
_SEED = 20261121


def learn(evidence: Evidence, embedding: Embedding | None = None) -> Predictor:
    """A predictor from these outcomes and no others; the same evidence gives the same predictor.

    With an embedding it is learnt twice, with it and without; the former counts where it turned out better on examples
    left out. BadSetting where there is no outcome at all.
    """
    if not len(evidence) or not evidence.weights.any():
        raise BadSetting("there are no outcomes to learn from", hint="without evidence, rules decide")
    looks = looks_of(evidence.prompts, embedding)
    table = _Table(evidence)
    without = _Tried.of(table, [replace(each, embedded=None) for each in looks])
    plain = without.predictor(table)
    if embedding is None or without.near is None:
        return plain
    plain.about["embedding_tried"] = embedding.name
    tried = _Tried.of(table, looks)
    return tried.predictor(table, embedding, plain) if tried.is_better(without, table) else plain


class _Table:
    """The evidence as it is learnt: gaps filled, the level apart from the models' distances."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.outputs = outputs_of(complete(evidence))
        self.counts = evidence.weights.sum(0)
        self.base = base_of(self.outputs, self.counts)
        self.costs = means(evidence.costs)


@dataclass(frozen=True, slots=True)
class _Tried:
    """What was learnt by some looks, and what that foretells of examples left out."""

    lens: Lens
    lengths: Doubles
    near: Near | None = None
    guard: Guard | None = None
    left_out: LeftOut | None = None
    groups: tuple[Apart, ...] = ()

    @classmethod
    def of(cls, table: _Table, looks: list[Looks]) -> _Tried:
        """From all prompts; too few of them, or one model, tell of nothing but means."""
        lens = Lens.of(looks)
        lengths = np.array([float(each.signs[0]) for each in looks])
        if len(looks) < _FEWEST_NEAR or len(table.evidence.models) < 2:
            return cls(lens, lengths)
        features = lens.features(looks)
        near, left_out = Near.fit(features, table.outputs, table.evidence.tasks, table.costs)
        groups = _apart(table, looks, features)
        tasks = len(set(table.evidence.tasks) - {None})
        guard = measure(table.outputs, table.base, left_out, groups, table.costs, tasks) if groups else None
        return cls(lens, lengths, near, guard or unmeasured(left_out), left_out, tuple(groups))

    def predictor(
        self, table: _Table, embedding: Embedding | None = None, without: Predictor | None = None
    ) -> Predictor:
        """To choose by."""
        evidence, count = table.evidence, len(self.lengths)
        foretold = self.left_out.outputs if self.left_out else np.tile(table.base, (count, 1))
        expected, found = scores_of(foretold), scores_of(table.outputs)
        arrays = {
            "base": table.base,
            "noise": ((found - expected) ** 2).mean(0),
            "signal": expected.var(0) + 0.25 / (count + PRIOR_EXAMPLES),
            "counts": table.counts,
            "costs": table.costs,
            "seconds": means(evidence.seconds),
            "growth": np.array([growth(evidence.costs, self.lengths), growth(evidence.seconds, self.lengths)]),
        }
        about: dict[str, Any] = {
            "examples": count,
            "mean_log_length": float(self.lengths.mean()),
            "thresholds": _thresholds(evidence),
            **({"embedding_tried": embedding.name} if embedding else {}),
        }
        return Predictor(evidence.models, about, arrays, self.lens, self.near, self.guard, embedding, without)

    def is_better(self, other: _Tried, table: _Table) -> bool:
        """Whether this is closer to examples left out than the other by more than one standard error, and choices
        turned out surely worse neither on these nor on groups left out.

        Closeness decides, since choices tell too little: they differ by less than chance does.
        """
        if self.left_out is None or other.left_out is None:
            return False
        closer, error = mean_and_error(other.left_out.misses - self.left_out.misses)
        gains = [one - rest for one, rest in zip(self._worths(table), other._worths(table), strict=True)]
        return closer > error and not _surely_lost(gains[0]) and not _surely_lost(np.concatenate([[], *gains[1:]]))

    def _worths(self, table: _Table) -> list[Doubles]:
        """What choices add, an example each: on examples left out, and on each group left out."""
        assert self.left_out is not None
        alone = Apart(table.outputs, self.left_out.outputs, table.base, self.left_out.signs)
        return [Worth(each.outputs, table.costs).of(self._trusted(each)) for each in (alone, *self.groups)]

    def _trusted(self, seen: Apart) -> Doubles:
        """Of what was foretold, as much as counts."""
        assert self.guard is not None
        trust = np.array([self.guard.trust(each)[1] for each in seen.signs.tolist()])
        return np.asarray(seen.base + trust[:, None] * (seen.near - seen.base))


def _surely_lost(gains: Doubles) -> bool:
    """Whether their mean is two standard errors below none."""
    if not len(gains):
        return False
    gain, error = mean_and_error(gains)
    return gain < -_SURE * error


def _apart(table: _Table, looks: Sequence[Looks], features: Floats) -> list[Apart]:
    """What carries over to prompts unlike these: tasks or clusters that are left out, by the others."""
    evidence = table.evidence
    chosen = np.sort(np.random.default_rng(_SEED).permutation(len(looks))[:_MOST_FOR_SHIFT])
    some, seen = evidence.rows(chosen), [looks[at] for at in chosen]
    outputs = table.outputs[chosen]
    groups = []
    of = _groups(some.tasks, features[chosen][:, :LEXICAL])
    for group in sorted(set(of.tolist()) - {-1}):
        own, others = np.flatnonzero(of == group), np.flatnonzero(of != group)
        if len(others) < _FEWEST_NEAR or not some.weights[others].any():
            continue
        groups.append(_left_out(some, seen, outputs, own, others))
    return groups


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
