"""An edition as a feed: Atom (RFC 4287) and JSON Feed 1.1, an entry an edition; a feed that is there goes on."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from weighbridge.digest import tracing
from weighbridge.digest.edition import Edition
from weighbridge.errors import BadPage

from .html import render

MOST_ENTRIES = 30
_MOST_BYTES = 32 << 20
_ATOM = "http://www.w3.org/2005/Atom"
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _body(edition: Edition) -> str:
    """What readers show: the short form as HTML. Raises Untraceable."""
    text = render("entry.html.j2", edition)
    if found := tracing.of_html(text, edition.traces):
        raise tracing.Untraceable(found)
    return text


def _id(*parts: str) -> str:
    return f"urn:uuid:{uuid5(NAMESPACE_URL, '|'.join(('weighbridge', *parts)))}"


def _entry(edition: Edition) -> dict[str, Any]:
    return {
        "id": _id(edition.title, edition.since, edition.until),
        "title": f"{edition.title}: {edition.since} to {edition.until}",
        "date": f"{edition.until}T00:00:00Z",
        "html": _body(edition),
    }


def json_feed(edition: Edition, before: bytes = b"") -> str:
    """The feed with this edition, before those that `before` has. Raises BadPage where that is no feed of ours."""
    entry = _entry(edition)
    item = {
        "id": entry["id"], "title": entry["title"], "date_published": entry["date"], "content_html": entry["html"],
        "language": "en",
    }  # fmt: skip
    items = [item, *(each for each in _json_items(before) if each.get("id") != item["id"])]
    items.sort(key=lambda each: (str(each.get("date_published")), str(each.get("id"))), reverse=True)
    feed = {"version": "https://jsonfeed.org/version/1.1", "title": edition.title, "language": "en"}
    return json.dumps(feed | {"items": items[:MOST_ENTRIES]}, ensure_ascii=False, indent=1) + "\n"


def _json_items(before: bytes) -> list[dict[str, Any]]:
    if not before.strip():
        return []
    try:
        items = json.loads(_bounded(before))["items"]
        return [each for each in items if isinstance(each, dict)]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadPage("the feed that is there is no JSON feed", hint="name another file, or remove it") from error


def atom(edition: Edition, before: bytes = b"") -> str:
    """The feed with this edition, before those that `before` has. Raises BadPage where that is no feed of ours."""
    ElementTree.register_namespace("", _ATOM)
    entry = _entry(edition)
    feed = ElementTree.Element(f"{{{_ATOM}}}feed")
    _add(feed, "id", _id(edition.title))
    _add(feed, "title", edition.title)
    _add(_add(feed, "author"), "name", "weighbridge")
    own = ElementTree.Element(f"{{{_ATOM}}}entry")
    _add(own, "id", entry["id"])
    _add(own, "title", entry["title"])
    _add(own, "updated", entry["date"])
    _add(own, "published", entry["date"])
    _add(own, "content", entry["html"]).set("type", "html")
    entries = [own, *(each for each in _atom_entries(before) if _text(each, "id") != entry["id"])]
    entries.sort(key=lambda each: (_text(each, "updated"), _text(each, "id")), reverse=True)
    _add(feed, "updated", _text(entries[0], "updated"))
    feed.extend(entries[:MOST_ENTRIES])
    ElementTree.indent(feed, " ")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(feed, encoding="unicode") + "\n"


def _add(parent: ElementTree.Element, name: str, text: str = "") -> ElementTree.Element:
    found = ElementTree.SubElement(parent, f"{{{_ATOM}}}{name}")
    found.text = _NOT_XML.sub("", text) or None
    return found


def _text(entry: ElementTree.Element, name: str) -> str:
    return entry.findtext(f"{{{_ATOM}}}{name}") or ""


def _atom_entries(before: bytes) -> list[ElementTree.Element]:
    if not before.strip():
        return []
    # Entities could make much of little; what we write has none.
    if b"<!DOCTYPE" in before or b"<!ENTITY" in before:
        raise BadPage("the feed that is there was not written here", hint="name another file, or remove it")
    try:
        feed = ElementTree.fromstring(_bounded(before))  # noqa: S314
    except ElementTree.ParseError as error:
        raise BadPage(
            f"the feed that is there is no Atom feed: {error}", hint="name another file, or remove it"
        ) from error
    if feed.tag != f"{{{_ATOM}}}feed":
        raise BadPage("the feed that is there is no Atom feed", hint="name another file, or remove it")
    return feed.findall(f"{{{_ATOM}}}entry")


def _bounded(before: bytes) -> bytes:
    if len(before) > _MOST_BYTES:
        raise BadPage(f"the feed that is there has more than {_MOST_BYTES:,} bytes", hint="begin a new one")
    return before
