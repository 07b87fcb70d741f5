"""`github:OWNER/REPOSITORY`: the releases of a program, with their notes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from weighbridge.digest.cleaning import clean_line
from weighbridge.digest.dates import day_of
from weighbridge.digest.found import Listing, Step
from weighbridge.digest.page import Page
from weighbridge.digest.reading import page_of
from weighbridge.errors import BadPage, BadSetting, SourceUnreachable

from .reader import Reader

HINT = "github:OWNER/REPOSITORY"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}")
_MOST_PAGES = 3


def check(what: str) -> None:
    """Owner and repository."""
    if not _NAME.fullmatch(what) or what.endswith(("/.", "/..")):
        raise BadSetting(f"github:{what[:100]} names no repository", hint=HINT)


def read(what: str, reader: Reader, cursor: str | None) -> Iterator[Step]:
    """A step a page of releases, the newest first, until they are older than what is asked for."""
    endpoint = reader.endpoints.github.rstrip("/")
    first = f"{endpoint}/repos/{what}/releases?per_page={min(reader.most, 100)}"
    address: str | None = cursor or first
    headers = {"X-GitHub-Api-Version": "2022-11-28"}
    if reader.endpoints.github_token:
        headers["Authorization"] = f"Bearer {reader.endpoints.github_token}"
    for _ in range(_MOST_PAGES):
        if address is None or not address.startswith(f"{endpoint}/"):
            return
        answer = reader.fetcher.get(address, accept="application/vnd.github+json", headers=headers)
        if answer is None:
            yield Step()
            return
        try:
            entries = json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            raise SourceUnreachable(f"github:{what}: the answer is no JSON", hint="try later") from error
        releases = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
        items: list[Listing | Page] = []
        days = []
        for entry in releases[: reader.most]:
            day = day_of(entry.get("published_at"))
            if day is None or entry.get("draft"):
                continue
            days.append(day)
            if not reader.since or day >= reader.since:
                items += _release(what, entry, day, reader)
        is_past = bool(days) and bool(reader.since) and min(days) < reader.since
        address = None if is_past or not reader.since else answer.links.get("next")
        yield Step(tuple(items), address)


def _release(what: str, entry: dict[str, object], day: str, reader: Reader) -> list[Listing | Page]:
    tag, address = clean_line(entry.get("tag_name"), 100), clean_line(entry.get("html_url"), 500)
    if not tag or not address.startswith(("https://", "http://")):
        return []
    title = clean_line(entry.get("name")) or tag
    told = {"version": tag, "title": title, "status": "pre-release" if entry.get("prerelease") else "released"}
    found: list[Listing | Page] = [
        Listing(f"{what} {tag}", "software", address, day, f"github:{what}", told, reader.day)
    ]
    body = entry.get("body")
    if isinstance(body, str) and body.strip():
        try:
            page = page_of(body, address, "markdown", fetched=reader.day)
        except BadPage:
            return found
        found.append(Page(address, page.text, f"{what}: {title}", day, reader.day, page.links))
    return found
