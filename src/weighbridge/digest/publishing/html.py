"""An edition as one page that needs nothing beside it: no script, no font, no picture from elsewhere."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import jinja2
from markupsafe import Markup

from weighbridge.digest import tracing
from weighbridge.digest.edition import Card, Edition, Line, Move, Trace
from weighbridge.digest.verdict import Ruling
from weighbridge.digest.wording import RULING_WORDS, cut

from .markdown import SIGNS

_WIDTH, _HEIGHT = 120, 28


def html(edition: Edition) -> str:
    """The page. Raises Untraceable."""
    text = render("page.html.j2", edition)
    if found := tracing.of_html(text, edition.traces):
        raise tracing.Untraceable(found)
    return text


def render(template: str, edition: Edition) -> str:
    """An edition by one of the templates beside this file; all that is not markup of ours is escaped."""
    return (
        _templates()
        .get_template(template)
        .render(
            edition=edition,
            refuted=edition.findings(Ruling.REFUTED),
            expired=edition.findings(Ruling.EXPIRED),
            holding=edition.holding(),
            unverifiable=edition.with_ruling(Ruling.UNVERIFIABLE),
            new=[card for card in edition.cards if card.is_new],
            told=[card for card in edition.cards if not card.is_new],
            licences=_licences(edition),
            bar=_bar(edition),
            facts=[trace for known, trace in sorted(edition.traces.items()) if known.startswith("f")],
        )
    )


def _licences(edition: Edition) -> list[tuple[Line, tuple[Line, ...], list[Card]]]:
    """Each licence once: its name, what it asks, and whose it is."""
    found: dict[str, tuple[Line, tuple[Line, ...], list[Card]]] = {}
    for card in edition.cards:
        if card.licence and card.asks:
            found.setdefault(card.licence[0].text, (card.licence, card.asks, []))[2].append(card)
    return [found[name] for name in sorted(found)]


def _bar(edition: Edition) -> list[tuple[str, float]]:
    """Shares of the rulings in percent, for a bar; lengths, not figures."""
    counts = {ruling: sum(len(entry.witnesses) for entry in edition.with_ruling(ruling)) for ruling in Ruling}
    total = sum(counts.values()) or 1
    return [(str(ruling), round(100 * count / total, 2)) for ruling, count in counts.items() if count]


@lru_cache(maxsize=1)
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"line": _line, "spark": _spark, "web": _web, "origin": _origin, "cut": cut}
    environment.globals |= {"signs": SIGNS, "rulings": RULING_WORDS}
    return environment


def _line(line: Line) -> Markup:
    """Spans: what holds a figure leads to its record."""
    parts = []
    for span in line:
        if span.is_code:
            parts.append(Markup('<code data-record="{}">{}</code>').format(span.record, span.text))
        elif span.record and span.href:
            parts.append(
                Markup(
                    '<a data-record="{0}" href="{1}">{2}</a><a class="to" href="#{0}" title="evidence">&#8599;</a>'
                ).format(span.record, span.href, span.text)
            )
        elif span.record:
            parts.append(
                Markup('<a class="figure" data-record="{0}" href="#{0}">{1}</a>').format(span.record, span.text)
            )
        elif span.href:
            parts.append(Markup('<a href="{}">{}</a>').format(span.href, span.text))
        else:
            parts.append(Markup("{}").format(span.text))
    return Markup("").join(parts)


def _web(address: str) -> str:
    """An address that may be linked; nothing for any other."""
    return address if address.startswith(("http://", "https://")) else ""


def _origin(trace: Trace) -> Markup:
    if _web(trace.address):
        return Markup('<a href="{}">{}</a>').format(trace.address, trace.origin)
    return Markup("{}").format(trace.origin)


def _spark(move: Move) -> Markup:
    """The likes over the days as a small curve."""
    if len(move.points) < 2:
        return Markup("")
    values = [value for _, value in move.points]
    low, high = min(values), max(values)
    step = _WIDTH / (len(values) - 1)
    points = " ".join(
        f"{at * step:.1f},{_HEIGHT - 3 - (_HEIGHT - 6) * ((value - low) / (high - low) if high > low else 0.5):.1f}"
        for at, value in enumerate(values)
    )
    return Markup(
        '<svg class="spark" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="likes over the days">'
        '<polyline points="{p}"/></svg>'
    ).format(w=_WIDTH, h=_HEIGHT, p=points)
