"""`web:ADDRESS`: the article on a web page, where the site's robots.txt lets programs read it."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urldefrag

from weighbridge.digest.found import Step
from weighbridge.digest.page import Page
from weighbridge.digest.reading import page_of
from weighbridge.errors import BadPage, BadSetting, SourceUnreachable

from .reader import Reader

HINT = "web:https://..."
_KINDS = {
    "text/html": "html", "application/xhtml+xml": "html", "text/plain": "text", "text/markdown": "markdown",
    "text/x-markdown": "markdown",
}  # fmt: skip


def check(what: str) -> None:
    """A web address."""
    if not what.startswith(("http://", "https://")):
        raise BadSetting(f"web:{what[:100]} is no web address", hint=HINT)


def read(what: str, reader: Reader, cursor: str | None) -> Iterator[Step]:
    """One step: the page."""
    page = article(what, reader)
    yield Step((page,) if page else ())


def article(address: str, reader: Reader) -> Page | None:
    """The page's article; None where it is as it was. Raises SourceUnreachable, or BadPage for what is no text."""
    address = urldefrag(address)[0]
    if not reader.fetcher.may_read(address):
        if reason := reader.fetcher.why_no_robots(address):
            raise reason
        raise SourceUnreachable(
            f"{address[:300]}: the site's robots.txt asks programs not to read it",
            hint="save the page, and name the file",
        )
    answer = reader.fetcher.get(address, accept="text/html, text/markdown;q=0.9, text/plain;q=0.8, */*;q=0.1")
    if answer is None:
        return None
    if answer.content_type and answer.content_type not in _KINDS:
        raise BadPage(f"{address[:300]}: is {answer.content_type}, no page", hint="HTML, Markdown and text are read")
    kind = _KINDS.get(answer.content_type, "")
    return page_of(answer.body, address, kind, fetched=reader.day, charset=answer.charset)
