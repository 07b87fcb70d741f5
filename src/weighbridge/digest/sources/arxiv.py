"""`arxiv:QUERY`: papers by arXiv's API, newest first: `arxiv:cat:cs.CL AND abs:quantization`."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode, urlsplit

from weighbridge.digest.cleaning import clean, clean_line
from weighbridge.digest.dates import day_of
from weighbridge.digest.found import Listing, Step
from weighbridge.digest.page import Page
from weighbridge.errors import BadSetting

from . import feed
from .reader import Reader

HINT = "arxiv:QUERY (like arxiv:cat:cs.CL AND abs:quantization)"
# arXiv's terms of use for its API ask for three seconds between requests.
_PAUSE_SECONDS = 3.0
_MOST_PAGES = 4
_PAGE = 50


def check(what: str) -> None:
    """A query that is short enough for an address."""
    if len(what) > 1000:
        raise BadSetting(f"arxiv: the query has {len(what):,} letters", hint="at most 1,000")


def read(what: str, reader: Reader, cursor: str | None) -> Iterator[Step]:
    """A step a page of results, until they are older than what is asked for."""
    endpoint = reader.endpoints.arxiv.rstrip("/")
    pause = _PAUSE_SECONDS if (urlsplit(endpoint).hostname or "").endswith("arxiv.org") else 0.0
    start = int(cursor) if cursor and cursor.isdecimal() and len(cursor) < 6 else 0
    for _ in range(_MOST_PAGES):
        size = min(_PAGE, reader.most - start)
        if size <= 0:
            return
        query = urlencode({
            "search_query": what, "sortBy": "submittedDate", "sortOrder": "descending", "start": start,
            "max_results": size,
        })  # fmt: skip
        # The answer holds the moment of asking, so that it is never the same.
        answer = reader.fetcher.get(
            f"{endpoint}/api/query?{query}", accept="application/atom+xml", conditional=False, pause_seconds=pause
        )
        assert answer is not None
        items: list[Page | Listing] = []
        found = feed.parsed(answer.body, f"arxiv:{what}").entries[:size]
        days = []
        for entry in found:
            day = day_of(entry.get("published"))
            address = clean_line(entry.get("id"), 300)
            if day is None or not address.startswith(("http://", "https://")):
                continue
            days.append(day)
            if reader.since and day < reader.since:
                continue
            title = clean_line(entry.get("title"))
            authors = ", ".join(clean_line(author.get("name"), 80) for author in (entry.get("authors") or ())[:20])
            told = {"title": title, "authors": authors[:300], "comment": clean_line(entry.get("arxiv_comment"))}
            items += [
                Listing(
                    address.rpartition("/")[2], "paper", address, day, f"arxiv:{what}",
                    {field: value for field, value in told.items() if value}, reader.day,
                ),
                Page(address, f"{title}\n\n{clean(entry.get('summary') or '').strip()}", title, day, reader.day),
            ]  # fmt: skip
        start += size
        is_last = len(found) < size or (bool(days) and bool(reader.since) and min(days) < reader.since)
        yield Step(tuple(items), None if is_last or start >= reader.most else str(start))
        if is_last:
            return
