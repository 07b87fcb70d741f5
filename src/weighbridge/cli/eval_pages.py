"""What `weigh eval` prints: the progress line, and a report as tables for the terminal."""

from __future__ import annotations

import sys
import textwrap
import time

from weighbridge.cli import output
from weighbridge.cli.progress import duration
from weighbridge.evals import Report
from weighbridge.evals.report import Cost, Result
from weighbridge.evals.running import Progress
from weighbridge.evals.statistics import Comparison, Interval
from weighbridge.sizes import show_bytes

_OVER_SECONDS = 0.1
_LINE_SECONDS = 5.0
_BAR_COLUMNS = 24
_MOST_CLUSTERS = 30


class ProgressLine:
    """Called with each `Progress`; on a terminal one line that is written over, elsewhere a line every few seconds."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._overwrites = sys.stderr.isatty()
        self._shown_at = time.monotonic()
        self._open = False

    def __call__(self, progress: Progress) -> None:
        """Show it, if it is time."""
        now = time.monotonic()
        if now - self._shown_at < (_OVER_SECONDS if self._overwrites else _LINE_SECONDS):
            return
        self._shown_at = now
        text = progress_line(self._model, progress)
        if self._overwrites:
            room = output.width() - 1
            sys.stderr.write(f"\r{output.printable(text)[:room]:<{room}}")
            sys.stderr.flush()
            self._open = True
        else:
            output.tell(text)

    def end(self) -> None:
        """Go to the next line."""
        if self._open:
            sys.stderr.write("\n")
            sys.stderr.flush()


def progress_line(model: str, progress: Progress) -> str:
    """`sums: 45 %  90 of 200  31/s  4 s left  score 0.97 [0.91, 0.99]  2 unscored  8 at once`."""
    parts = [f"{progress.done:,}" + ("" if progress.total is None else f" of {progress.total:,}")]
    if progress.total:
        parts.insert(0, f"{progress.done / progress.total:.0%}")
    parts.append(f"{progress.per_second:.3g}/s")
    if progress.seconds_left is not None:
        parts.append(f"{duration(progress.seconds_left)} left")
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
    parts = [textwrap.fill(f"task {report.task}: {report.verdict}", output.width() - 1), "", _scores(report)]
    for result in report.results:
        if result.unscored:
            parts.append(unscored(result))
    parts += [
        f"{result.model}: the judge says the same in both orders of {result.agreement:.0%} of the answers"
        for result in report.results
        if result.agreement is not None
    ]
    if report.comparisons:
        parts += ["", _comparisons(report.comparisons)]
        if report.chance_gain is not None and report.detectable is not None:
            parts.append(textwrap.fill(chance(report), output.width() - 1))
    parts += _clusters(report)
    costs = _costs(report)
    if costs:
        parts += ["", costs]
    parts += [f"nothing beats in both score and {cost}: {', '.join(models)}" for cost, models in report.fronts.items()]
    return "\n".join(parts)


def _clusters(report: Report) -> list[str]:
    """A row a cluster, a column a model: score and n; nothing where there are too many to read."""
    names = list(dict.fromkeys(row.cluster or "" for row in report.by_cluster))
    if not 2 <= len(names) <= _MOST_CLUSTERS:
        return []
    found = {(row.cluster, row.model): f"{row.score:.2f} of {row.n}" for row in report.by_cluster}
    models = [result.model for result in report.results]
    rows = [(name, *(found.get((name, model), "-") for model in models)) for name in names]
    return ["", output.table(("cluster", *models), rows, right=range(1, len(models) + 1))]


def chance(report: Report) -> str:
    """What a lead must be above to mean something."""
    return (
        f"by chance alone the best of {len(report.results)} equal models would lead by "
        f"{100 * (report.chance_gain or 0):.1f} points; differences from {100 * (report.detectable or 0):.1f} points "
        "on are seen in four of five such runs"
    )


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
    return output.table(("model", "score", "95 %", "n", "clusters", "place", ""), rows, right=(1, 3, 4))


def unscored(result: Result) -> str:
    """How many answers have no score, why, and what they could make of the score."""
    counts = [f"{count} {state}" for state, count in result.counts.items() if count and state != "scored"]
    bounds = "" if result.bounds is None else f"; over all {result.samples:,}: {bracketed(result.bounds)}"
    return f"{result.model}: {result.unscored} unscored ({', '.join(counts)}){bounds} if they were all wrong, or right"


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
    return output.table(head, rows, right=(1, 3, 4))


def shown_p(value: float) -> str:
    """A p-value as it is read: 0.032, or <0.0001."""
    return "<0.0001" if value < 0.0001 else f"{value:.2g}"


def _costs(report: Report) -> str:
    rows = [(result.model, *cost_cells(result.cost)) for result in report.results]
    if not any(any(cell != "-" for cell in row[1:]) for row in rows):
        return ""
    head = ("model", "tokens out", "s/answer", "first token", "tok/s alone", "tok/s knee", "memory")
    refused = [
        f"{result.model}: no speed is told: {result.cost.speed_refused}"
        for result in report.results
        if result.cost.speed_refused
    ]
    return "\n".join([output.table(head, rows, right=range(1, 7)), *refused])


def cost_cells(cost: Cost) -> tuple[str, ...]:
    """Tokens, seconds, first token, both speeds, memory; `-` for what is not known."""
    knee = "-" if cost.tokens_per_second_knee is None else f"{cost.tokens_per_second_knee:,.0f} at {cost.knee}"
    return (
        "-" if cost.completion_tokens is None else f"{cost.completion_tokens:,}",
        "-" if cost.seconds_median is None else f"{cost.seconds_median:.3g}",
        "-" if cost.first_token_seconds_median is None else f"{cost.first_token_seconds_median:.3g}",
        "-" if cost.tokens_per_second_alone is None else f"{cost.tokens_per_second_alone:,.0f}",
        knee,
        "-" if cost.memory_bytes is None else show_bytes(cost.memory_bytes),
    )
