"""A report as one HTML page that needs no other file: tables, intervals drawn, and quality against cost."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from weighbridge.cli import eval_pages
from weighbridge.evals import Report
from weighbridge.evals.report import Result

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --soft: #666; --line: #ccc; --mark: #0b62c4; --back: #fff }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --soft: #a0a0a0; --line: #444; --mark: #6cb0ff; --back: #16181a }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back); max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
th:first-child, td:first-child, td.words, th.words { text-align: left }
th { font-weight: 600; color: var(--soft) } .verdict { font-size: 1.2rem } .soft { color: var(--soft) }
svg { width: 100%; height: auto } svg text { fill: var(--ink); font: 13px system-ui, sans-serif }
"""


def html_page(reports: Sequence[Report]) -> str:
    """The page."""
    title = "weigh eval: " + ", ".join(report.task for report in reports)
    body = "\n".join(_section(report) for report in reports)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{_STYLE}</style></head>\n'
        f"<body>\n<h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def _section(report: Report) -> str:
    parts = [
        f"<section><h2>{escape(report.task)}</h2>",
        f'<p class="verdict">{escape(report.verdict)}</p>',
        _intervals(report.results),
        _scores(report),
    ]
    for result in report.results:
        if result.unscored:
            parts.append(f"<p>{escape(eval_pages.unscored(result))}</p>")
    if report.comparisons:
        parts.append(_comparisons(report))
    parts.append(_costs(report))
    parts += [_scatter(report, *axis) for axis in (("seconds", "seconds an answer"), ("memory", "GiB of memory"))]
    return "\n".join(part for part in parts if part) + "</section>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[int] = ()) -> str:
    def cells(row: Sequence[str], tag: str) -> str:
        kinds = [" class='words'" if at in words else "" for at in range(len(row))]
        return "".join(f"<{tag}{kind}>{escape(cell)}</{tag}>" for kind, cell in zip(kinds, row, strict=True))

    lines = [f"<tr>{cells(row, 'td')}</tr>" for row in rows]
    return f"<table><thead><tr>{cells(head, 'th')}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _scores(report: Report) -> str:
    places = {place.model: place for place in report.places}
    rows = []
    for result in report.results:
        place, found = places[result.model], result.estimate
        rows.append(
            (
                result.model,
                "-" if found is None else f"{found.value:.3f}",
                "-" if found is None else eval_pages.bracketed(found.interval),
                "0" if found is None else f"{found.n:,}",
                "" if found is None or found.clusters is None else str(found.clusters),
                f"{place.best}" if place.best == place.worst else f"{place.best}-{place.worst}",
            )
        )
    return _table(("model", "score", "95 %", "n", "clusters", "place"), rows)


def _comparisons(report: Report) -> str:
    rows = [
        (
            f"{each.first} - {each.second}",
            f"{each.difference.value:+.3f}",
            eval_pages.bracketed(each.difference.interval),
            f"{each.difference.n:,}",
            eval_pages.shown_p(each.corrected_p),
            each.difference.test,
            "" if each.samples_to_tell is None else f"{each.samples_to_tell:,}",
            each.better or "not told apart",
        )
        for each in report.comparisons
    ]
    head = ("paired", "difference", "95 %", "n", "p (Holm)", "test", "n to tell", "better")
    note = "" if report.chance_gain is None else f'<p class="soft">{escape(eval_pages.chance(report))}</p>'
    return _table(head, rows, words=(5, 7)) + note


def _costs(report: Report) -> str:
    rows = [(result.model, *eval_pages.cost_cells(result.cost)) for result in report.results]
    head = ("model", "tokens out", "s/answer", "first token", "tok/s alone", "tok/s knee", "memory")
    refused = [
        f'<p class="soft">{escape(result.model)}: no speed is told: {escape(result.cost.speed_refused)}</p>'
        for result in report.results
        if result.cost.speed_refused
    ]
    return _table(head, rows) + "".join(refused)


def _intervals(results: Sequence[Result]) -> str:
    """A line a model, from the low to the high end of its interval, on one scale from 0 to 1."""
    marks, left, width, row = [], 220, 640, 28
    for at, result in enumerate(results):
        y = 20 + at * row
        marks.append(f'<text x="0" y="{y + 4}">{escape(result.model[:28])}</text>')
        if result.estimate is None:
            continue
        low, high = (left + width * end for end in (result.estimate.interval.low, result.estimate.interval.high))
        x = left + width * result.estimate.value
        marks.append(
            f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}" stroke="var(--mark)" stroke-width="3"/>'
            f'<circle cx="{x:.1f}" cy="{y}" r="5" fill="var(--mark)"/>'
        )
    bottom = 20 + len(results) * row
    for tick in range(0, 11, 2):
        x = left + width * tick / 10
        marks.append(
            f'<line x1="{x}" x2="{x}" y1="6" y2="{bottom - 12}" stroke="var(--line)"/>'
            f'<text x="{x - 8}" y="{bottom + 6}">{tick / 10:.1f}</text>'
        )
    return _svg(900, bottom + 14, marks, "scores with their intervals")


def _scatter(report: Report, cost: str, label: str) -> str:
    """Quality against a cost; what nothing beats is joined by a line."""
    points = []
    for result in report.results:
        value = result.cost.seconds_median if cost == "seconds" else result.cost.memory_bytes
        if result.estimate is not None and value is not None:
            points.append((result.model, result.estimate.value, value / (1 if cost == "seconds" else 1 << 30)))
    if len(points) < 2:
        return ""
    most = max(value for _, _, value in points) * 1.15 or 1.0
    place = {name: (70 + 560 * value / most, 300 - 270 * quality) for name, quality, value in points}
    marks = [
        '<line x1="70" x2="70" y1="20" y2="300" stroke="var(--line)"/>'
        '<line x1="70" x2="640" y1="300" y2="300" stroke="var(--line)"/>',
        f'<text x="300" y="330">{escape(label)}, up to {most:.3g}</text><text x="0" y="30">score 1</text>'
        '<text x="0" y="304">score 0</text>',
    ]
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in sorted(place[name] for name in report.fronts.get(cost, ())))
    marks.append(f'<polyline points="{joined}" fill="none" stroke="var(--mark)" stroke-dasharray="4"/>')
    marks += [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="var(--mark)"/>'
        f'<text x="{x + 8:.1f}" y="{y + 4:.1f}">{escape(name[:28])}</text>'
        for name, (x, y) in place.items()
    ]
    return _svg(900, 340, marks, f"quality against {label}")


def _svg(width: int, height: int, marks: Sequence[str], label: str) -> str:
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">{"".join(marks)}</svg>'
