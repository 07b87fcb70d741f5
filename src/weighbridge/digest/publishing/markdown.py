"""An edition as Markdown, each figure with a footnote that tells where it is from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from weighbridge.digest import tracing
from weighbridge.digest.edition import Card, Edition, Entry, Finding, Line, Trace
from weighbridge.digest.verdict import Ruling
from weighbridge.digest.wording import RULING_WORDS, cut

# Letters that Markdown would take for marks, where strangers' words are written.
# Two in a row begin a remark in Obsidian; of three, each but the first is escaped.
_PERCENTS = re.compile(r"(?<=%)%")
_MARKS = re.compile(r"([\\`*_\[\]<>|#$^~])")
_MOST_QUOTE = 240
_TYPED = re.compile(r"[\w ./:+-]+")
SIGNS = {
    Ruling.SUPPORTED: "✓", Ruling.REFUTED: "✗", Ruling.EXPIRED: "↻", Ruling.PREDICTION: "◇", Ruling.UNVERIFIABLE: "?",
}  # fmt: skip


def markdown(edition: Edition) -> str:
    """The whole edition. Raises Untraceable."""
    writing = Writing(is_numbered=True)
    parts = [f"# {escape(edition.title)}: {writing.line(edition.head, hidden=True)}", *_sections(edition, writing)]
    text = "\n\n".join(parts) + "\n\n" + writing.footnotes(edition) + "\n"
    return checked(text, edition)


def checked(text: str, edition: Edition) -> str:
    """The text, if all its figures are recorded. Raises Untraceable."""
    if found := tracing.of_markdown(text, edition.traces):
        raise tracing.Untraceable(found)
    return text


def escape(text: str) -> str:
    """A stranger's words as Markdown that shows just these; in one line."""
    # Two percent signs would begin or end a comment of Obsidian's, such as the marks of our own region.
    return _PERCENTS.sub(r"\\%", _MARKS.sub(r"\\\1", " ".join(text.split())))


class Writing:
    """Lines as Markdown, and the ids that they named. Footnotes are called by their ids, which go together with those
    of other editions in one note; or by numbers, which crowd a text less."""

    def __init__(self, *, is_numbered: bool = False) -> None:
        self.named: dict[str, int] = {}
        self._is_numbered = is_numbered

    def line(self, line: Line, *, hidden: bool = False, is_marked: bool = True) -> str:
        """Spans with their footnotes; `hidden`: with comments, for headings and tables of contents; not `is_marked`:
        without, where another cell of the row has the same."""
        parts = []
        for at, span in enumerate(line):
            text = escape(span.text)
            if span.is_code and _TYPED.fullmatch(span.text):
                text = f"`{span.text}`"
            if span.href.startswith(("http://", "https://")) and "(" not in span.href and ")" not in span.href:
                text = f"[{text}]({span.href})"
            elif text.strip() and text != text.strip():
                text = text
            lead = " " if span.text.startswith(" ") and at else ""
            tail = " " if span.text.endswith(" ") else ""
            parts.append(f"{lead}{text}{tail}")
            if is_marked and span.record and (at + 1 == len(line) or line[at + 1].record != span.record):
                parts.append(self.mark(span.record, hidden=hidden))
        return "".join(parts)

    def mark(self, record: str, *, hidden: bool = False) -> str:
        """What names a record."""
        if hidden:
            return f"<!-- {record} -->"
        number = self.named.setdefault(record, len(self.named) + 1)
        return f"[^{number if self._is_numbered else record}]"

    def table(self, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
        """A table of cells that are Markdown already."""
        lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
        return "\n".join(lines + [f"| {' | '.join(cell or ' ' for cell in row)} |" for row in rows])

    def footnotes(self, edition: Edition) -> str:
        """What stands behind the ids, in the order of their naming."""
        return "\n".join(
            f"[^{number}]: `{known}` {footnote(edition.traces[known])}"
            if self._is_numbered
            else f"[^{known}]: {footnote(edition.traces[known])}"
            for known, number in self.named.items()
            if known in edition.traces
        )


def footnote(trace: Trace) -> str:
    """A record, where that is from, and what of a claim's proofs."""
    where = (
        f"[{escape(trace.origin)}]({trace.address})"
        if trace.address and "(" not in trace.address
        else escape(trace.origin)
    )
    by = f"; by {escape(trace.evidence)}" if trace.evidence else ""
    return f"{escape(trace.text)} - {where}{by}"


def _sections(edition: Edition, writing: Writing) -> list[str]:
    found: list[str] = []

    def section(title: str, *parts: str) -> None:
        body = "\n\n".join(part for part in parts if part)
        if body:
            found.append(f"## {title}\n\n{body}")

    if edition.prose:
        found.append("\n\n".join(writing.line(line) for line in edition.prose))
    tiles = " · ".join(f"**{figure}** {name}{writing.mark(record)}" for figure, name, record, _ in edition.tiles)
    section("The week at a glance", tiles, glance(edition, writing))
    section("What it means for the models that you run", bullets(edition.mine, writing))
    section("What you can try here", bullets(edition.tries, writing))
    section("What does not hold", findings(edition.findings(Ruling.REFUTED), writing))
    section("What was true then", findings(edition.findings(Ruling.EXPIRED), writing))
    section("Released", cards([card for card in edition.cards if card.is_new], writing))
    section("What the models in the news are", cards([card for card in edition.cards if not card.is_new], writing))
    section("What their licences ask", licences(edition.cards, writing))
    section("Movers", writing.line(edition.moves_head), moves(edition, writing))
    section("Sources contradict each other", contradictions(edition, writing))
    section("To watch", bullets(_watched(edition), writing))
    section("What changed", bullets(edition.changes, writing))
    names, told = edition.holding()
    section("What holds", brief(told, writing), named(names, writing))
    section("What cannot be checked", brief(edition.with_ruling(Ruling.UNVERIFIABLE), writing))
    section(
        "Read for this",
        bullets(edition.pages, writing),
        bullets(edition.notes, writing),
    )
    return found


def _watched(edition: Edition) -> list[Line]:
    return [line for _, line in edition.watch]


def glance(edition: Edition, writing: Writing) -> str:
    """The table at a glance."""
    if not edition.glance:
        return ""
    head = ("model", "what it is", "runs here", "hold", "refuted", "neither")
    # The counts are told by one record.
    rows = [
        [writing.line(cell, is_marked=not 2 < at < len(row) - 1) for at, cell in enumerate(row)]
        for row in edition.glance
    ]
    return writing.table(head, rows)


def bullets(lines: Iterable[Line], writing: Writing) -> str:
    """A list."""
    return "\n".join(f"- {writing.line(line)}" for line in lines if line)


def findings(found: Iterable[Finding], writing: Writing) -> str:
    """Claims with their quotes, who said it, and why they stand so."""
    parts = []
    for finding in found:
        said = "; ".join(f"{escape(says)}{writing.mark(entries[0].id)}" for says, entries in finding.said)
        first = finding.entries[0].id
        lines = [f"{SIGNS[finding.ruling]} **{escape(finding.subject)}**: {said} - {RULING_WORDS[finding.ruling]}"]
        for reason in finding.reasons:
            lines.append(f"  - {escape(reason.text)}{writing.mark(first)}")
        for witness in finding.telling:
            source = (
                f"[{escape(witness.title)}]({witness.address})" if _is_plain(witness.address) else escape(witness.title)
            )
            lines.append(f"  - “{escape(cut(witness.quote, _MOST_QUOTE))}” - {source}{writing.mark(witness.claim)}")
        parts.append("- " + "\n".join(lines))
    return "\n".join(parts)


def _is_plain(address: str) -> bool:
    return address.startswith(("http://", "https://")) and not re.search(r"[()\s]", address)


def brief(found: Iterable[Entry], writing: Writing) -> str:
    """Claims in a line each, with the first reason."""
    lines = []
    for entry in found:
        why = f" - {escape(entry.why)}" if entry.reasons else ""
        lines.append(
            f"- {SIGNS[entry.ruling]} {escape(entry.subject)}: {escape(entry.says)}{why}{writing.mark(entry.id)}"
        )
    return "\n".join(lines)


def named(found: Sequence[Entry], writing: Writing) -> str:
    """Names that there are, in one paragraph."""
    names = ", ".join(f"{escape(entry.subject)}{writing.mark(entry.id)}" for entry in found)
    return f"There are, by these names: {names}" if names else ""


def cards(found: Sequence[Card], writing: Writing) -> str:
    """Models and programs, a row each."""
    rows = []
    for card in found:
        facts = ", ".join(writing.line(line) for line in card.facts)
        rows.append(
            (
                writing.line(card.head, is_marked=not card.facts),
                facts,
                writing.line(card.licence) or ("not known" if card.kind == "model" else ""),
                "<br>".join(map(writing.line, card.fits)) or ("not known" if card.kind == "model" else ""),
            )
        )
    if not rows:
        return ""
    if any(row[3] or row[2] for row in rows):
        return writing.table(("name", "verified facts", "licence", "runs on"), rows)
    return writing.table(("name", "facts"), [row[:2] for row in rows])


def licences(found: Sequence[Card], writing: Writing) -> str:
    """Each licence once, with what it asks."""
    seen: dict[str, Card] = {}
    for card in found:
        if card.licence and card.asks:
            seen.setdefault(card.licence[0].text, card)
    return "\n".join(
        f"- **{writing.line(card.licence)}**: {'; '.join(map(writing.line, card.asks))}"
        for _, card in sorted(seen.items())
    )


def moves(edition: Edition, writing: Writing) -> str:
    """The table of movers."""
    rows = []
    for move in edition.moves:
        mark = writing.mark(move.record)
        name = escape(move.model) + (" (new)" if move.is_new else "")
        rows.append((name + mark, escape(move.likes), escape(move.downloads)))
    return writing.table(("model", "likes", "downloads a month"), rows) if rows else ""


def contradictions(edition: Edition, writing: Writing) -> str:
    """What is told differently, and by whom."""
    parts = []
    for head, *sides in edition.contradictions:
        parts += [f"- **{writing.line(head)}**", *(f"  - {writing.line(side)}" for side in sides)]
    return "\n".join(parts)
