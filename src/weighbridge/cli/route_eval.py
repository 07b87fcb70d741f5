"""`weigh route eval`: a router on outcomes that it has not learnt from, beside simpler ways to choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weighbridge.errors import BadSetting
from weighbridge.routing.embedding import Embedding
from weighbridge.routing.evidence import Evidence, read_evidence
from weighbridge.routing.learning import learn
from weighbridge.routing.measuring import Curve, Interval, Pair, calibration_error, choices, interval, weak_and_strong

Doubles = NDArray[np.float64]

_SEED = 5
# So many examples of the mean are added to each task's own in the lookup.
_LOOKUP_PRIOR = 3.0


@dataclass(frozen=True, slots=True)
class Row:
    """One way to choose."""

    router: str
    quality: Interval
    """Mean score where cost does not matter."""
    cost: float
    """Mean cost then."""
    area: Interval
    """Under the cost-quality curve."""
    oracle_gap: Interval
    """Quality that an oracle, which knows the scores, has more."""
    apgr: Interval | None
    """Between the weak and the strong model; None where there is no such pair."""
    cpt: Interval | None
    """Least share of calls to the strong model that recovers half of the gap."""


@dataclass(frozen=True, slots=True)
class Measured:
    """All ways, on the same prompts."""

    prompts: int
    models: int
    folds: int
    pair: tuple[str, str] | None
    """The cheapest and the best model: what APGR and CPT(50 %) are between."""
    rows: tuple[Row, ...]
    error: float
    """Of the expected quality: mean distance from what was found, by bins."""


def by_task(evidence: Evidence, tasks: Sequence[str | None]) -> Doubles:
    """The lookup: each model's mean on the prompt's task, as the evidence has it."""
    scores, weights = np.nan_to_num(evidence.scores), evidence.weights
    mean = (scores * weights).sum(0) / np.maximum(weights.sum(0), 1e-9)
    own = np.array(evidence.tasks, dtype=object)
    table = {}
    for task in set(tasks):
        rows = own == task
        total = weights[rows].sum(0)
        table[task] = ((scores * weights)[rows].sum(0) + _LOOKUP_PRIOR * mean) / (total + _LOOKUP_PRIOR)
    return np.array([table[task] for task in tasks])


def out_of_fold(
    evidence: Evidence, fold: NDArray[np.intp], tell: Callable[[str], None], embedding: Embedding | None = None
) -> tuple[dict[str, Doubles], Doubles]:
    """What each way expects of prompts in a fold, having seen the others; and mean costs likewise."""
    shape = evidence.scores.shape
    found = {name: np.zeros(shape) for name in ("single", "lookup", "router", "told")}
    costs = np.ones(shape)
    for each in sorted(set(fold.tolist())):
        rest, own = np.flatnonzero(fold != each), np.flatnonzero(fold == each)
        seen = evidence.rows(rest)
        prompts, tasks = [evidence.prompts[at] for at in own], [evidence.tasks[at] for at in own]
        predictor = learn(seen, embedding)
        found["router"][own] = predictor.predict_all(prompts)[0]
        found["told"][own] = predictor.predict_all(prompts, tasks)[0]
        found["lookup"][own] = by_task(seen, tasks)
        found["single"][own] = by_task(seen, ["\0"] * len(own))
        known = ~np.isnan(seen.costs)
        if known.any():
            costs[own] = np.nan_to_num(seen.costs).sum(0) / np.maximum(known.sum(0), 1)
        unused = "" if predictor.embedding is embedding else ": the embedding was of no use"
        tell(f"fold {each + 1} of {fold.max() + 1}{unused}")
    return found, costs


def measure(path: Path, folds: int, tell: Callable[[str], None], embedding: Embedding | None = None) -> Measured:
    """In folds by chance; the router may look at an embedding.

    BadSetting where there is too little to leave anything out, or outcomes are missing.
    """
    evidence = read_evidence(path)
    whole = np.flatnonzero(~np.isnan(evidence.scores).any(1))
    if not 2 <= folds <= 20:
        raise BadSetting(f"--folds is {folds}", hint="2 to 20")
    if len(whole) < 10 * folds or len(evidence.models) < 2:
        raise BadSetting(
            f"{path}: {len(whole)} prompts that all of {len(evidence.models)} models answered",
            hint=f"to compare, at least {10 * folds} prompts and two models are needed",
        )
    evidence = evidence.rows(whole)
    fold = np.random.default_rng(_SEED).permutation(len(evidence)) % folds
    expected, costs = out_of_fold(evidence, fold, tell, embedding)
    true = np.where(np.isnan(evidence.costs), costs, evidence.costs)
    scores = evidence.scores
    columns = weak_and_strong(scores, true)
    best = scores.max(1)
    rows = []
    for name, what in (
        ("single", "best single model"), ("lookup", "lookup by task, told the task"),
        ("router", "router, told nothing"), ("told", "router, told the task"), ("oracle", "oracle"),
    ):  # fmt: skip
        known = (scores, true) if name == "oracle" else (expected[name], costs)
        pair = Pair.of(columns, known[0], scores, fold) if columns else None
        rows.append(_row(what, choices(*known), scores, true, best, pair))
    return Measured(
        len(evidence),
        len(evidence.models),
        folds,
        (evidence.models[columns[0]], evidence.models[columns[1]]) if columns else None,
        tuple(rows),
        calibration_error(expected["router"], scores),
    )


def _row(
    name: str, chosen: list[NDArray[np.intp]], scores: Doubles, costs: Doubles, best: Doubles, pair: Pair | None
) -> Row:
    count = len(scores)
    every, first = np.arange(count), chosen[0]
    own = scores[every, first]
    return Row(
        name,
        interval(lambda rows: float(own[rows].mean()), count),
        float(costs[every, first].mean()),
        interval(Curve(chosen, scores, costs).area, count),
        interval(lambda rows: float((best - own)[rows].mean()), count),
        interval(pair.apgr, count) if pair else None,
        interval(pair.cpt, count) if pair else None,
    )
