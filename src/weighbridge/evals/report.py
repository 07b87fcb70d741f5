"""`Report`: what the logs of one task say of the models, how sure that is, and what each model's quality costs."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from weighbridge.errors import BadTask

from .advice import Advice, advise
from .cost import AXES, Cost, Price, cost_of, fronts_of, points_of
from .log import EvalLog, Outcomes
from .running import Pace
from .score import State
from .scorers.judge import DISAGREE
from .statistics import (
    Comparison,
    Estimate,
    Interval,
    Place,
    best_of_gain,
    detectable_difference,
    estimate,
    leaders_of,
    places_of,
    rank,
)

_MOST_SAID = 200


@dataclass(frozen=True, slots=True)
class Result:
    """One model on one task."""

    model: str
    task: str
    samples: int
    """With an outcome of any kind."""
    estimate: Estimate | None
    """Over those that are scored; None where none is."""
    counts: Mapping[str, int]
    """Samples by state: scored, truncated, empty, refused, error."""
    bounds: Interval | None
    """The score over all samples if every unscored answer were wrong, and if it were right."""
    cost: Cost = field(default_factory=Cost)
    source: str = "weighbridge"
    agreement: float | None = None
    """Of a judge: the share of answers on which its verdicts in both orders agree; None without a judge."""
    commonest_error: str = ""
    """What was said of most of the samples that ended in an error."""

    @property
    def unscored(self) -> int:
        """Samples without a score."""
        return self.samples - self.counts[State.SCORED]


@dataclass(frozen=True, slots=True)
class TableRow:
    """A score as a router takes it."""

    model: str
    task: str
    cluster: str | None
    """None: of the whole task."""
    score: float
    n: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Report:
    """All models on one task."""

    task: str
    results: tuple[Result, ...]
    """By the score, which is no ranking."""
    comparisons: tuple[Comparison, ...]
    places: tuple[Place, ...]
    """What the comparisons leave open."""
    verdict: str
    advice: Advice
    """Which model to use."""
    compared: int
    """Of how many models `chance_gain` and `detectable` speak: those that the data do not tell apart, or all."""
    chance_gain: float | None
    """How far the best of so many equally good models would stand out by chance; None for fewer than two, or where no
    two of them differ on any sample."""
    detectable: float | None
    """The smallest difference that so many samples show with 80 % power; None where `chance_gain` is."""
    fronts: Mapping[str, tuple[str, ...]]
    """The models that nothing beats in both quality and a cost, by the cost (`cost.AXES`)."""
    by_cluster: tuple[TableRow, ...] = ()
    """Each model's score on each cluster."""


def report(
    logs: Sequence[EvalLog],
    paces: Mapping[str, Pace] | None = None,
    prices: Mapping[str, Price] | None = None,
    raced: Mapping[frozenset[str], float] | None = None,
) -> list[Report]:
    """A report for each task among the logs. BadTask where two are of one task and model, or share no sample.

    `paces` and `prices` go by the models' names. `raced` holds the p-values of a race, which take the place of those
    that suppose a number of samples fixed before.
    """
    tasks: dict[str, list[EvalLog]] = {}
    for log in logs:
        same = tasks.setdefault(log.head.task, [])
        if any(other.head.model == log.head.model for other in same):
            raise BadTask(
                f"two logs of {log.head.model} on {log.head.task} are given",
                hint="leave one away, or name it otherwise",
            )
        same.append(log)
    return [_report(name, same, paces or {}, prices or {}, raced) for name, same in tasks.items()]


def _report(
    task: str,
    logs: list[EvalLog],
    paces: Mapping[str, Pace],
    prices: Mapping[str, Price],
    raced: Mapping[frozenset[str], float] | None,
) -> Report:
    results = [_result(log, paces.get(log.head.model), prices.get(log.head.model)) for log in logs]
    results.sort(key=lambda result: -result.estimate.value if result.estimate else 1.0)
    comparisons: list[Comparison] = []
    places = [Place(result.model, 1, 1) for result in results]
    if len(logs) > 1:
        scores, clusters = aligned(logs)
        ordered = {result.model: scores[result.model] for result in results}
        comparisons, places = rank(ordered, clusters)
        if raced is not None:
            comparisons = [_as_raced(each, raced) for each in comparisons]
            places = places_of(list(ordered), comparisons)
    leaders = leaders_of(places, comparisons)
    # What is told apart already says nothing of those that are not.
    among = [each for each in comparisons if len(leaders) < 2 or {each.first, each.second} <= set(leaders)]
    compared = len({model for each in among for model in (each.first, each.second)})
    return Report(
        task,
        tuple(results),
        tuple(comparisons),
        tuple(places),
        verdict(results, comparisons, places),
        advise({each.model: each.estimate for each in results}, comparisons, places, _costs(results)),
        compared,
        _chance(compared, among),
        _detectable(among),
        fronts_of(_with_quality(results)),
        tuple(row for row in table([log for log in logs if log.outcomes.names]) if row.cluster is not None),
    )


def _with_quality(results: Sequence[Result]) -> list[tuple[str, float | None, Cost]]:
    return [(each.model, each.estimate.value if each.estimate else None, each.cost) for each in results]


def _costs(results: Sequence[Result]) -> dict[str, dict[str, float]]:
    """Each cost by model."""
    found = _with_quality(results)
    return {axis: {model: cost for model, (_, cost) in points_of(found, axis).items()} for axis in AXES}


def _as_raced(comparison: Comparison, raced: Mapping[frozenset[str], float]) -> Comparison:
    """The comparison with the race's p-value, whose bets took unscored answers at their worst."""
    p_value = raced.get(frozenset((comparison.first, comparison.second)), 1.0)
    difference = dataclasses.replace(comparison.difference, p_value=p_value, test="betting, looked at any time")
    return dataclasses.replace(comparison, difference=difference, corrected_p=p_value)


def _result(log: EvalLog, pace: Pace | None, price: Price | None) -> Result:
    outcomes = log.outcomes
    scores, clusters = outcomes.scored()
    unscored, total = outcomes.n - len(scores), math.fsum(scores)
    bounds = Interval(total / outcomes.n, (total + unscored) / outcomes.n, 1.0) if outcomes.n else None
    return Result(
        log.head.model,
        log.head.task,
        outcomes.n,
        estimate(scores, clusters),
        {state.value: outcomes.count(state) for state in State},
        bounds,
        cost_of(outcomes, pace, price),
        log.head.source,
        _agreement(log),
        _commonest_error(log),
    )


def _commonest_error(log: EvalLog) -> str:
    if not log.outcomes.count(State.ERROR):
        return ""
    said = Counter(row.explanation[:_MOST_SAID] for row in log.rows() if row.state is State.ERROR)
    return said.most_common(1)[0][0] if said else ""


def _agreement(log: EvalLog) -> float | None:
    if log.head.scorer != "judge":
        return None
    agreed = [row.explanation != DISAGREE for row in log.rows() if row.score is not None]
    return sum(agreed) / len(agreed) if agreed else None


def aligned(logs: Sequence[EvalLog]) -> tuple[dict[str, list[float | None]], list[object] | None]:
    """Each model's scores in one order of samples (NaN: no score, None: not asked), and the samples' clusters.

    Logs of the same data go by place, others by their samples' ids.
    """
    if len({log.head.dataset_sha256 for log in logs}) == 1 and logs[0].head.dataset_sha256:
        sizes = [len(log.outcomes.states) for log in logs]
        places: list[dict[object, int]] = [{at: at for at in range(size)} for size in sizes]
        keys: Sequence[object] = range(max(sizes))
    else:
        places = [_by_id(log) for log in logs]
        keys = list(dict.fromkeys(key for found in places for key in found))
        if not set.intersection(*(set(found) for found in places)):
            raise BadTask(
                f"the logs of {logs[0].head.task} have no sample in common", hint="results are matched by samples' ids"
            )
    scores: dict[str, list[float | None]] = {}
    for log, found in zip(logs, places, strict=True):
        outcomes = log.outcomes
        scores[log.head.model] = [
            outcomes.scores[at] if (at := found.get(key)) is not None and outcomes.states[at] else None for key in keys
        ]
    return scores, _clusters(logs, places, keys)


def _by_id(log: EvalLog) -> dict[object, int]:
    ids = log.ids if log.ids is not None else _ids(log)
    found: dict[object, int] = {}
    for at, key in enumerate(ids):
        if key and found.setdefault(key, at) != at:
            raise BadTask(f"{log.path}: two samples have the id {key!r}", hint="ids must differ to compare by them")
    return found


def _ids(log: EvalLog) -> list[str]:
    ids = [""] * len(log.outcomes.states)
    for row in log.rows():
        ids[row.at] = row.id
    return ids


def _clusters(
    logs: Sequence[EvalLog], places: Sequence[Mapping[object, int]], keys: Sequence[object]
) -> list[object] | None:
    if not any(log.outcomes.names for log in logs):
        return None
    names = [{number: name for name, number in log.outcomes.names.items()} for log in logs]
    clusters: list[object] = []
    for number, key in enumerate(keys):
        found: object = -1 - number
        for log, place, name in zip(logs, places, names, strict=True):
            at = place.get(key)
            if at is not None and log.outcomes.clusters[at] >= 0:
                found = name[log.outcomes.clusters[at]]
                break
        clusters.append(found)
    return clusters


def verdict(results: Sequence[Result], comparisons: Sequence[Comparison], places: Sequence[Place]) -> str:
    """What may be said, in words."""
    scored = [result for result in results if result.estimate is not None]
    if not scored:
        return "nothing could be scored"
    if len(scored) == 1 or not comparisons:
        return "one model alone: nothing to compare it with"
    leaders = leaders_of(places, comparisons)
    if len(leaders) == 1:
        return f"{leaders[0]} is the best of {len(results)}: better than each other one beyond chance"
    behind = [place.model for place in places if place.model not in leaders]
    top = [each for each in comparisons if {each.first, each.second} <= set(leaders)]
    more = [each.samples_to_tell for each in top if each.samples_to_tell is not None]
    hint = (
        f"; to tell them apart at the differences seen takes about {_span(min(more), max(more))} samples"
        if more
        else ""
    )
    told = f"; worse beyond chance: {', '.join(behind)}" if behind else ""
    return f"the data do not rank {', '.join(leaders)}{told}{hint}"


def _span(least: int, most: int) -> str:
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _chance(models: int, comparisons: Sequence[Comparison]) -> float | None:
    """By the mean error of the differences: a difference of two has sqrt(2 (1 - correlation)) times a score's error."""
    errors = [math.sqrt(variance / n / 2) for variance, n in _spreads(comparisons)]
    if not any(errors):
        return None
    return best_of_gain(models, math.fsum(errors) / len(errors))


def _detectable(comparisons: Sequence[Comparison]) -> float | None:
    found = [detectable_difference(n, variance) for variance, n in _spreads(comparisons)]
    # Where nothing varied, it is not known what would.
    return max(found, default=None) or None


def _spreads(comparisons: Sequence[Comparison]) -> list[tuple[float, int]]:
    """Of each comparison the variance of one sample's difference between equal systems, and n; where it is known."""
    found = [(each.difference.variance_if_equal, each.difference.n) for each in comparisons]
    return [(variance, n) for variance, n in found if variance is not None]


def table(logs: Sequence[EvalLog]) -> list[TableRow]:
    """The scores of each model by task and cluster, as a router takes them; unscored samples are not in them."""
    rows = []
    for log in logs:
        outcomes = log.outcomes
        kept = [at for at, score in enumerate(outcomes.scores) if not math.isnan(score)]
        groups: dict[str | None, list[float]] = {None: [outcomes.scores[at] for at in kept]}
        names = {number: name for name, number in outcomes.names.items()}
        for at in kept:
            if outcomes.clusters[at] >= 0:
                groups.setdefault(names[outcomes.clusters[at]], []).append(outcomes.scores[at])
        for cluster, scores in groups.items():
            found = _estimate_of(outcomes) if cluster is None else estimate(scores)
            if found is not None:
                interval = found.interval
                rows.append(
                    TableRow(log.head.model, log.head.task, cluster, found.value, found.n, interval.low, interval.high)
                )
    return rows


def _estimate_of(outcomes: Outcomes) -> Estimate | None:
    return estimate(*outcomes.scored())
