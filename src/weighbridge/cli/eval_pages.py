"""What `weigh eval` prints: the progress line, and a report as tables for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

from weighbridge.cli import eval_plots, output
from weighbridge.cli.progress_line import ProgressLine
from weighbridge.evals import Cost, Report
from weighbridge.evals.cost import AXES
from weighbridge.evals.report import Result
from weighbridge.evals.running import Progress
from weighbridge.evals.statistics import Comparison, Interval
from weighbridge.sizes import show_bytes

_OVER_SECONDS = 0.1
_BAR_COLUMNS = 24
_MOST_CLUSTERS = 30
_DRAWN, _MOST_DRAWN = ("energy", "seconds", "price", "memory"), 1
"""The cost that is drawn in the terminal is the first of these that is known; a page and `--plot` have them all."""


def shown_progress(model: str) -> ProgressLine:
    """How far a model's run is, in a line."""
    return ProgressLine(lambda progress: progress_line(model, progress), _OVER_SECONDS)


def progress_line(model: str, progress: Progress) -> str:
    """`sums: 45 %  90 of 200  31/s  4 s left  score 0.97 [0.91, 0.99]  2 unscored  8 at once`."""
    parts = [f"{progress.done:,}" + ("" if progress.total is None else f" of {progress.total:,}")]
    if progress.total:
        parts.insert(0, f"{progress.done / progress.total:.0%}")
    parts.append(f"{progress.per_second:.3g}/s")
    if progress.seconds_left is not None:
        parts.append(f"{output.duration(progress.seconds_left)} left")
    if progress.score is not None:
        parts.append(f"score {progress.score:.3f} {bracketed(progress.interval, 2)}")
    if progress.unscored:
        parts.append(f"{progress.unscored} unscored")
    return f"{model}: " + "  ".join([*parts, f"{progress.concurrency} at once"])


def bracketed(interval: Interval, digits: int = 3) -> str:
    """[0.910, 0.987]."""
    return f"[{interval.low:.{digits}f}, {interval.high:.{digits}f}]"


def page(report: Report) -> str:
    """One task's report as text."""
    parts = [textwrap.fill(f"task {report.task}: {report.verdict}", output.width() - 1)]
    if len(report.results) > 1 and report.advice.use and not report.advice.is_sure:
        parts.append(textwrap.fill(use(report), output.width() - 1))
    parts += ["", _scores(report)]
    for result in report.results:
        if result.unscored:
            parts.append(textwrap.fill(output.printable(unscored(result)), output.width() - 1))
    parts += agreements(report)
    if report.comparisons:
        parts += ["", _comparisons(report.comparisons)]
        if report.chance_gain is not None and report.detectable is not None:
            parts.append(textwrap.fill(chance(report), output.width() - 1))
    head, rows = cluster_rows(report)
    if rows:
        parts += ["", output.table(head, rows, right=range(1, len(head)))]
    costs = _costs(report)
    if costs:
        parts += ["", costs]
    parts += ["\n" + drawn for axis in _DRAWN if (drawn := eval_plots.terminal(report, axis))][:_MOST_DRAWN]
    parts += [textwrap.fill(front, output.width() - 1) for front in fronts(report)]
    return "\n".join(parts)


def agreements(report: Report) -> list[str]:
    """How often a judge contradicts itself, a line a model."""
    return [
        f"{result.model}: the judge says the same in both orders of {result.agreement:.0%} of the answers"
        for result in report.results
        if result.agreement is not None
    ]


def fronts(report: Report) -> list[str]:
    """The models on each Pareto front, a line a cost."""
    lines = []
    for axis, models in report.fronts.items():
        line = f"nothing beats in both score and {AXES[axis][1]}: {', '.join(models)}"
        known = len(eval_plots.points(report, axis))
        if known < len(report.results):
            line += f" (of the {known} of {len(report.results)} models of which both are known)"
        lines.append(line)
    return lines


def cluster_rows(report: Report) -> tuple[list[str], list[list[str]]]:
    """Head and rows: a row a cluster, a column a model: score and n; nothing where there are too many to read."""
    names = list(dict.fromkeys(row.cluster or "" for row in report.by_cluster))
    if not 2 <= len(names) <= _MOST_CLUSTERS:
        return [], []
    found = {(row.cluster, row.model): f"{row.score:.2f} of {row.n}" for row in report.by_cluster}
    models = [result.model for result in report.results]
    return ["cluster", *models], [[name, *(found.get((name, model), "-") for model in models)] for name in names]


def chance(report: Report) -> str:
    """What a lead must be above to mean something."""
    lead = (
        f"by chance alone the best of {report.compared} equal models would lead by "
        f"{100 * (report.chance_gain or 0):.1f} points; "
    )
    detectable = report.detectable or 0
    if detectable >= 1:
        return lead + "so few samples show no difference for sure"
    return lead + f"differences from {100 * detectable:.1f} points on are seen in four of five such runs"


def _scores(report: Report) -> str:
    places = {place.model: place for place in report.places}
    rows = []
    for result in report.results:
        place = places[result.model]
        where = f"{place.best}" if place.best == place.worst else f"{place.best}-{place.worst}"
        if result.estimate is None:
            rows.append((result.model, "-", "", "0", "", where, ""))
            continue
        found = result.estimate
        clusters = "" if found.clusters is None else str(found.clusters)
        rows.append(
            (
                result.model, f"{found.value:.3f}", bracketed(found.interval), f"{found.n:,}", clusters, where,
                output.bar(found.value, _BAR_COLUMNS),
            )
        )  # fmt: skip
    head = ("model", "score", "95 %", "n", "clusters", "place", "")
    return output.table(head, rows, right=(1, 3, 4), droppable=(6, 4), name=0)


def unscored(result: Result) -> str:
    """How many answers have no score, why, and what they could make of the score."""
    counts = [f"{count} {state}" for state, count in result.counts.items() if count and state != "scored"]
    bounds = "" if result.bounds is None else f"; over all {result.samples:,}: {bracketed(result.bounds)}"
    why = f"; most errors: {result.commonest_error}" if result.commonest_error else ""
    told = f"{result.model}: {result.unscored} unscored ({', '.join(counts)}){bounds} if they were all wrong, or right"
    return told + why


def _comparisons(comparisons: tuple[Comparison, ...]) -> str:
    rows = []
    for each in comparisons:
        found = each.difference
        more = "" if each.samples_to_tell is None else f"{each.samples_to_tell:,}"
        rows.append(
            (
                f"{each.first} - {each.second}", f"{found.value:+.3f}", bracketed(found.interval, 2),
                shown_p(each.corrected_p), more, each.better or "not told",
            )
        )  # fmt: skip
    head = ("paired", "differ by", "95 %", "p (Holm)", "n to tell", "better")
    return output.table(head, rows, right=(1, 3, 4), droppable=(4,), name=0)


def shown_p(value: float) -> str:
    """A p-value as it is read: 0.032, or <0.0001."""
    return "<0.0001" if value < 0.0001 else f"{value:.2g}"


def _costs(report: Report) -> str:
    head, rows = cost_rows(report)
    shown = [output.table(head, rows, right=range(1, len(head)), droppable=(1,), name=0)] if rows else []
    notes = [textwrap.fill(note, output.width() - 1) for note in cost_notes(report)]
    return "\n".join([*shown, *notes])


_COSTS: tuple[tuple[str, Callable[[Cost], str]], ...] = (
    ("tokens out", lambda cost: _shown(cost.completion_tokens, ",d")),
    ("tok/answer", lambda cost: _shown(cost.tokens_per_answer, ".3g")),
    ("s/answer", lambda cost: _shown(cost.seconds_median, ".3g")),
    ("first tok", lambda cost: _shown(cost.first_token_seconds_median, ".3g")),
    ("ms/tok", lambda cost: _shown(cost.token_seconds_median, ".3g", 1000)),
    ("tok/s 1", lambda cost: _shown(cost.tokens_per_second_alone, ",.0f")),
    (
        "tok/s knee",
        lambda cost: _shown(cost.tokens_per_second_knee, ",.0f") + ("" if cost.knee is None else f" at {cost.knee}"),
    ),
    ("memory", lambda cost: "-" if cost.memory_bytes is None else show_bytes(cost.memory_bytes)),
    ("J/answer", lambda cost: _shown(cost.joules_per_answer, ".3g")),
    ("$/1,000", lambda cost: _shown(cost.dollars_per_answer, ".3g", 1000)),
)


def _shown(value: float | None, form: str, times: float = 1) -> str:
    if value is None:
        return "-"
    return format(value if form.endswith("d") else value * times, form)


def cost_rows(report: Report) -> tuple[list[str], list[list[str]]]:
    """Head and rows of what is known of the models' costs: columns of which nothing is known are left away."""
    costs = [result.cost for result in report.results]
    told = [(name, show) for name, show in _COSTS if any(show(cost) != "-" for cost in costs)]
    if not told:
        return [], []
    rows = [[result.model, *(show(result.cost) for _, show in told)] for result in report.results]
    return ["model", *(name for name, _ in told)], rows


def cost_notes(report: Report) -> list[str]:
    """What is refused or unknown, and why; and by which counters energy is told."""
    notes = [
        f"{result.model}: not told: {result.cost.speed_refused}"
        for result in report.results
        if result.cost.speed_refused
    ]
    for result in report.results:
        cost = result.cost
        if cost.watts is not None:
            idle = "not measured" if cost.idle_watts is None else f"{cost.idle_watts:.1f} W"
            notes.append(f"{result.model}: {cost.watts:.1f} W, idle {idle}, by {', '.join(cost.energy_counters)}")
    unknown: dict[str, list[str]] = {}
    for result in report.results:
        if result.cost.energy_unknown:
            unknown.setdefault(result.cost.energy_unknown, []).append(result.model)
    return notes + [f"energy of {', '.join(models)}: unknown, {why}" for why, models in unknown.items()]


def use(report: Report) -> str:
    """`use a: ...` in a line."""
    advice = report.advice
    return f"use {' or '.join(advice.use)}: {advice.sure}" if advice.use else advice.sure


def lane_rows(reports: Sequence[Report]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of which model to use for which task, and how sure that is."""
    rows = []
    for report in reports:
        scores = {result.model: result.estimate for result in report.results}
        first = scores[report.advice.use[0]] if report.advice.use else None
        score = "-" if first is None else f"{first.value:.3f} {bracketed(first.interval, 2)}"
        rows.append([report.task, " or ".join(report.advice.use) or "-", score, report.advice.sure])
    return ["task", "use", "score", "how sure"], rows


def lanes(reports: Sequence[Report]) -> str:
    """Which model for which task, in the terminal."""
    head, rows = lane_rows(reports)
    table = output.table(head[:3], [row[:3] for row in rows])
    why = [textwrap.fill(f"{row[0]}: {row[3]}", output.width() - 1, subsequent_indent="  ") for row in rows]
    return "\n".join(["which model for which task", table, *why])
