"""`feed:ADDRESS`: an RSS or Atom feed; where it gives only beginnings, the articles themselves are read."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

from weighbridge.digest.cleaning import clean_line
from weighbridge.digest.dates import day_of
from weighbridge.digest.found import Step
from weighbridge.digest.page import Page
from weighbridge.digest.reading import page_of
from weighbridge.errors import BadPage, BadSetting, SourceUnreachable

from . import web
from .reader import Reader

HINT = "feed:https://..."
_ACCEPT = "application/atom+xml, application/rss+xml, application/xml;q=0.9, text/xml;q=0.9, */*;q=0.5"
_MOST_BYTES = 8 << 20
# An entry with fewer letters is only the beginning of an article.
_WHOLE = 1500
_MOST_FOLLOWED = 20


def check(what: str) -> None:
    """A web address."""
    if not what.startswith(("http://", "https://")):
        raise BadSetting(f"feed:{what[:100]} is no web address", hint=HINT)


def read(what: str, reader: Reader, cursor: str | None) -> Iterator[Step]:
    """A step for the feed with its whole entries, then one for each article that it only begins."""
    waiting: list[tuple[str, str]] = []
    if cursor:
        waiting = [(day, link) for day, _, link in (line.partition(" ") for line in cursor.splitlines())]
    else:
        answer = reader.fetcher.get(what, accept=_ACCEPT, most_bytes=_MOST_BYTES)
        if answer is None:
            yield Step()
            return
        pages, waiting = entries(answer.body, answer.url, reader)
        yield Step(tuple(pages), _cursor(waiting))
    for at, (day, link) in enumerate(waiting):
        rest = _cursor(waiting[at + 1 :])
        try:
            page = web.article(link, reader)
        except (SourceUnreachable, BadPage) as error:
            yield Step((), rest, (str(error),))
            continue
        dated = (
            Page(page.address, page.text, page.title, day or page.published, page.fetched, page.links) if page else None
        )
        yield Step((dated,) if dated else (), rest)


def _cursor(waiting: list[tuple[str, str]]) -> str | None:
    return "\n".join(f"{day} {link}" for day, link in waiting) or None


def parsed(body: bytes, address: str) -> Any:
    """The feed as feedparser reads it. Raises BadPage where it is none."""
    import feedparser

    found = feedparser.parse(io.BytesIO(body), response_headers={"content-location": address})
    if not found.get("entries") and not found.get("version"):
        raise BadPage(f"{address[:300]}: is no feed", hint="name its RSS or Atom address; web:ADDRESS reads a page")
    return found


def entries(body: bytes, address: str, reader: Reader) -> tuple[list[Page], list[tuple[str, str]]]:
    """The entries that are whole, and (day, address) of those to be followed; only what is new enough."""
    pages: list[Page] = []
    waiting: list[tuple[str, str]] = []
    for entry in parsed(body, address).entries[: reader.most]:
        link = urljoin(address, clean_line(entry.get("link"), 2000))
        moment = entry.get("published") or entry.get("updated") or ""
        day = day_of(_as_iso(entry)) or day_of(moment)
        if not link.startswith(("http://", "https://")) or (day and reader.since and day < reader.since):
            continue
        words = max(
            [str(content.get("value") or "") for content in entry.get("content") or ()] + [entry.get("summary") or ""],
            key=len,
        )
        page = page_of(f"<html><body><article>{words}</article></body></html>", link, "html", fetched=reader.day)
        title = clean_line(entry.get("title"))
        if len(page.text) >= _WHOLE or len(waiting) >= _MOST_FOLLOWED:
            if page.text:
                pages.append(Page(link, page.text, title, day, reader.day, page.links))
        else:
            waiting.append((day or "", link))
    return pages, waiting


def _as_iso(entry: Any) -> str:
    """feedparser's reading of the entry's time, which is UTC."""
    moment = entry.get("published_parsed") or entry.get("updated_parsed")
    return f"{moment[0]:04}-{moment[1]:02}-{moment[2]:02}" if moment else ""
