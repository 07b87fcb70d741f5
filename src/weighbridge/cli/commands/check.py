"""Which claims of a post hold: each against recorded facts, arithmetic and other claims, with the file and key.

SOURCE is a page (HTML, Markdown or text: a file, a folder or vault of them, a URL, - for stdin) or a sentence in
quotes. Each claim is supported, refuted, expired (it was true then), a prediction, or unverifiable: what is known does
not settle it, and nothing is guessed. Several sources are set against each other too. Without a network for all but a
URL; --json prints the claims as a list. The exit code is 0 whatever the claims are worth, with --strict 1 where one is
refuted.

example:
  weigh check "DeepSeek V3 has 400B parameters with 50B active"
"""

from __future__ import annotations

import argparse
import datetime
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from weighbridge.cli import output
from weighbridge.digest import Page, Proof, Ruling, Verdict, page_of, read_file
from weighbridge.digest.checks import check
from weighbridge.digest.contradictions import Contradiction, contradictions
from weighbridge.digest.knowledge import Knowledge
from weighbridge.digest.knowledge.own import recall
from weighbridge.digest.record import Record
from weighbridge.digest.told import told_by
from weighbridge.digest.wording import field_words, show_value, statement
from weighbridge.errors import BadPage, BadSetting, StateDamaged
from weighbridge.settings import load
from weighbridge.store import FILE_NAME, Store

_ORDER = (Ruling.REFUTED, Ruling.EXPIRED, Ruling.PREDICTION, Ruling.SUPPORTED, Ruling.UNVERIFIABLE)
_MOST_STDIN = 8 << 20
_NAME_ONE = 'name a page, or give a sentence in quotes: "Qwen3 has 72B parameters"'
_MOST_QUOTE, _MOST_QUOTES = 300, 3
_MOST_PROOFS = 3
_MOST_TITLES = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument(
        "sources", nargs="+", metavar="SOURCE", help='a file, a folder, a URL, - for stdin, or "a sentence"'
    )
    parser.add_argument("--published", metavar="DAY", help="when it was published, where the page does not tell (ISO)")
    parser.add_argument("--strict", action="store_true", help="exit 1 where a claim is refuted")
    parser.add_argument("--all", action="store_true", help="give the reasons of what holds and of what is open, too")
    parser.add_argument("--json", action="store_true", help="print the claims with their verdicts as a JSON list")


def run(arguments: argparse.Namespace) -> int:
    """Print the verdicts."""
    today = datetime.date.today().isoformat()  # noqa: DTZ011 - the day where the user is
    published = _day(arguments.published)
    pages = [
        replace(page, published=published) if published else page
        for source in arguments.sources
        for page in _pages(source, today)
    ]
    claims = [claim for page in pages for claim in told_by(page)]
    verdicts = check(claims, _knowledge(), {page.address: page.text for page in pages})
    if arguments.json:
        print(output.to_json([_entry(verdict) for verdict in verdicts]))
    else:
        print("\n".join(_report(pages, verdicts, contradictions(verdicts, pages), everything=arguments.all)))
    refuted = any(verdict.ruling is Ruling.REFUTED for verdict in verdicts)
    return 1 if arguments.strict and refuted else 0


def _day(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return datetime.date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise BadSetting(f"--published {text}: is no day", hint="write it as 2026-04-19") from error


def _pages(source: str, today: str) -> Sequence[Page]:
    """The pages that a source names; a text with blanks that is no file and no folder is a sentence."""
    if not source.strip():
        # A path of nothing would be the folder that we are in.
        raise BadPage("there is nothing to check", hint=_NAME_ONE)
    if source.startswith(("http://", "https://")):
        return [_fetched(source, today)]
    if source == "-":
        return [page_of(sys.stdin.buffer.read(_MOST_STDIN + 1), "stdin", fetched=today)]
    try:
        is_file, is_folder = Path(source).is_file(), Path(source).is_dir()
    except (OSError, ValueError):
        # Longer than a name may be: a sentence.
        is_file, is_folder = False, False
    if is_file:
        return [read_file(Path(source), today)]
    if is_folder:
        return _of_folder(Path(source), today)
    if " " in source.strip():
        return [Page("", source, fetched=today)]
    raise BadPage(f"{source}: is no file", hint=_NAME_ONE)


def _of_folder(folder: Path, today: str) -> Sequence[Page]:
    # What reads folders knows all sources, which a sentence need not wait for.
    from weighbridge.digest.sources.file import pages_in

    found, notes = pages_in(folder, today)
    for note in notes:
        output.tell(note)
    if not found:
        raise BadPage(f"{folder}: holds no page", hint="HTML, Markdown and text are read; notes of ours are left out")
    return found


def _fetched(address: str, today: str) -> Page:
    # Only here is a network needed, and what speaks to it is slow to load.
    from weighbridge.digest.fetching import Fetcher, Manners
    from weighbridge.digest.sources.reader import Reader
    from weighbridge.digest.sources.web import article

    known = load().digest
    manners = Manners(
        answer_seconds=known.timeout_seconds, private_hosts=known.private_hosts, contact=known.contact, retries=1
    )
    with Fetcher(manners) as fetcher:
        page = article(address, Reader(fetcher, today))
    if page is None:
        raise BadPage(f"{address}: has no article", hint="save the page, and name the file")
    return page


def _knowledge() -> Knowledge:
    """With what files told here, where anything is recorded."""
    folder = load().state_path
    if not (folder / FILE_NAME).exists():
        return Knowledge(folder=folder)
    try:
        with Store(folder) as store:
            return Knowledge(own=recall(Record(store)), folder=folder)
    except StateDamaged as error:
        output.tell(f"what files told here is left aside: {error}")
        return Knowledge(folder=folder)


def _entry(verdict: Verdict) -> dict[str, Any]:
    claim = verdict.claim
    return {
        "subject": claim.subject, "field": claim.field, "value": _plain(claim.value), "unit": claim.unit,
        "qualifier": claim.qualifier, "quote": claim.quote, "start": claim.start, "end": claim.end,
        "verdict": verdict.ruling.value, "evidence": [asdict(proof) for proof in verdict.evidence],
        "model": verdict.subject, "told": claim.told, "published": claim.published, "source": claim.address,
    }  # fmt: skip


def _plain(value: float | str | bool) -> float | str | bool | int:
    """A count without a point."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**63 else value


def _report(
    pages: Sequence[Page], verdicts: Sequence[Verdict], found: Sequence[Contradiction], *, everything: bool
) -> Iterator[str]:
    counts = Counter(verdict.ruling for verdict in verdicts)
    names = ", ".join(page.title or page.address or "the sentence" for page in pages)
    name = names if len(pages) <= _MOST_TITLES else f"{len(pages):,} pages"
    parts = [f"{counts[ruling]} {ruling.value}" for ruling in _ORDER if counts[ruling]]
    noun = "claim" if len(verdicts) == 1 else "claims"
    summary = f"{len(verdicts)} {noun}: {', '.join(parts)}" if verdicts else "no claim about a model was found"
    yield from _wrapped(name, "")
    yield from _wrapped(summary, "")
    for ruling in _ORDER:
        is_short = ruling in (Ruling.SUPPORTED, Ruling.UNVERIFIABLE) and not everything and len(verdicts) > 3
        if is_short and counts[ruling]:
            yield ""
        for group in _groups(verdict for verdict in verdicts if verdict.ruling is ruling):
            yield from _brief(group) if is_short else _full(group, says_where=len(pages) > 1)
    if found:
        yield ""
        yield "contradictions"
        for each in found:
            yield from _contradiction(each)


def _groups(verdicts: Iterable[Verdict]) -> list[list[Verdict]]:
    """Claims of one subject that have the same reasons stand together."""
    found: dict[tuple[str, tuple[str, ...]], list[Verdict]] = {}
    for verdict in verdicts:
        key = (verdict.claim.subject.lower(), tuple(proof.text for proof in verdict.evidence))
        found.setdefault(key, []).append(verdict)
    return list(found.values())


def _headline(group: Sequence[Verdict]) -> list[str]:
    first = group[0]
    said = dict.fromkeys(statement(verdict.claim) for verdict in group)
    return _wrapped(f"{first.ruling.value:<13}{first.claim.subject}: {'; '.join(said)}", " " * 13)


def _brief(group: Sequence[Verdict]) -> Iterator[str]:
    yield from _headline(group)


def _full(group: Sequence[Verdict], *, says_where: bool = False) -> Iterator[str]:
    yield ""
    yield from _headline(group)
    quotes = {" ".join(verdict.claim.quote.split()): verdict.claim.address for verdict in group}
    # A bare name says nothing beside a sentence that holds it.
    telling = [quote for quote in quotes if not any(quote in other and quote != other for other in quotes)]
    for quote in telling[:_MOST_QUOTES]:
        cut = f"{quote[:_MOST_QUOTE]}…" if len(quote) > _MOST_QUOTE else quote
        where = f" [{quotes[quote]}]" if says_where and quotes[quote] else ""
        yield from _wrapped(f'"{cut}"{where}', "   ", first="  ")
    if len(telling) > _MOST_QUOTES:
        yield f"  and {len(telling) - _MOST_QUOTES} more"
    for proof in group[0].evidence[:_MOST_PROOFS]:
        yield from _proof(proof)
    if not group[0].evidence:
        yield "  nothing that is known settles it"


def _proof(proof: Proof) -> Iterator[str]:
    yield from _wrapped(f"- {proof.text}", "    ", first="  ")
    places = [part for part in (proof.source, proof.key if proof.key not in proof.text else "") if part]
    when = f" ({proof.date})" if proof.date and proof.date not in proof.source else ""
    if places:
        yield from _wrapped(f"{': '.join(places)}{when}", "    ", first="    ")


def _contradiction(found: Contradiction) -> Iterator[str]:
    yield from _wrapped(f"- {found.subject}, {field_words(found.field)}", "  ")
    for side in found.sides:
        claim = side.verdicts[0].claim
        where = f" [{claim.address}]" if claim.address else ""
        quote = " ".join(claim.quote.split())[:120]
        yield from _wrapped(
            f'{show_value(side.value, claim.unit, claim.field)}: "{quote}"{where}', "      ", first="    "
        )
    if found.known:
        yield from _wrapped(f"known: {found.known.text}", "      ", first="    ")


def _wrapped(text: str, indent: str, first: str = "") -> list[str]:
    return textwrap.wrap(
        output.printable(text), output.width(), initial_indent=first, subsequent_indent=indent, break_on_hyphens=False
    ) or [""]
