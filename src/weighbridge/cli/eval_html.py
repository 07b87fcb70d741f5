"""A report as one HTML page that needs no other file: tables, intervals drawn, and quality against cost."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from weighbridge.cli import drawing, eval_pages, eval_plots
from weighbridge.evals import Report

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --soft: #666; --line: #ccc; --mark: #0b62c4; --back: #fff }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --soft: #a0a0a0; --line: #444; --mark: #6cb0ff; --back: #16181a }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back); max-width: 68rem;
  margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
th:first-child, td:first-child, td.words, th.words { text-align: left; white-space: normal }
td.words { min-width: 8rem }
th { font-weight: 600; color: var(--soft) } .verdict { font-size: 1.2rem } .soft { color: var(--soft) }
figure { margin: 0; overflow-x: auto } svg { width: 100%; min-width: 36rem; height: auto; margin: .5rem 0 }
svg text { font: 13px system-ui, sans-serif }
"""


def html_page(reports: Sequence[Report]) -> str:
    """The page."""
    title = "weigh eval: " + ", ".join(report.task for report in reports)
    body = "\n".join([_lanes(reports), *(_section(report) for report in reports)])
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{_STYLE}</style></head>\n'
        f"<body>\n<h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def _lanes(reports: Sequence[Report]) -> str:
    """Which model to use for which task; nothing where there is one task alone."""
    if len(reports) < 2:
        return ""
    head, rows = eval_pages.lane_rows(reports)
    return "<h2>Which model for which task</h2>" + _table(head, rows, words=(1, 3))


def _section(report: Report) -> str:
    parts = [
        f"<section><h2>{escape(report.task)}</h2>",
        f'<p class="verdict">{escape(report.verdict)}</p>',
        "" if report.advice.is_sure else f"<p>{escape(eval_pages.use(report))}</p>",
        _figure(eval_plots.intervals(report.task, report.results)),
        _scores(report),
    ]
    for result in report.results:
        if result.unscored:
            parts.append(f"<p>{escape(eval_pages.unscored(result))}</p>")
    parts += [f"<p>{escape(line)}</p>" for line in eval_pages.agreements(report)]
    if report.comparisons:
        parts.append(_comparisons(report))
    head, rows = eval_pages.cluster_rows(report)
    if rows:
        parts.append(_table(head, rows))
    parts.append(_costs(report))
    parts += [f"<p>{escape(line)}</p>" for line in eval_pages.fronts(report)]
    parts += [_figure(each) for each in eval_plots.drawings(report)[1:]]
    return "\n".join(part for part in parts if part) + "</section>"


def _figure(drawn: drawing.Drawing) -> str:
    return f"<figure>{drawing.svg(drawn, in_page=True)}</figure>"


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
    head = ["model", "score", "95 %", "n", "clusters", "place"]
    kept = [at for at, name in enumerate(head) if name != "clusters" or any(row[at] for row in rows)]
    return _table([head[at] for at in kept], [[row[at] for at in kept] for row in rows])


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
    head, rows = eval_pages.cost_rows(report)
    notes = "".join(f'<p class="soft">{escape(note)}</p>' for note in eval_pages.cost_notes(report))
    return (_table(head, rows) if rows else "") + notes
