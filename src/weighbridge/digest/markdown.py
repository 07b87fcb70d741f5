"""Markdown as people read it: marks are taken away, words, tables and headings stay, links are told apart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

MOST_FRONT_CHARACTERS = 16 << 10
_MOST_LINKS = 500
_FRONT = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
# Addresses and labels are bounded, so that what is never closed costs nothing.
_IMAGE = re.compile(r"!\[([^\[\]\n]{0,300})\]\([^()\s]{0,2000}(?: \"[^\"\n]{0,300}\")?\)")
_LINK = re.compile(r"\[([^\[\]\n]{0,1000})\]\(<?([^()<>\s]{1,2000})>?(?: \"[^\"\n]{0,300}\")?\)")
_EMBED = re.compile(r"!\[\[[^\[\]\n]{1,300}\]\]")
_WIKI = re.compile(r"\[\[([^\[\]|\n]{1,300})(?:\|([^\[\]\n]{1,300}))?\]\]")
_BARE = re.compile(r"https?://[^\s<>()\[\]\"'`|]{3,2000}")
_BREAK = re.compile(r"<br ?/?>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][a-zA-Z0-9-]{0,30}(?: [^<>\n]{0,1000})?/?>")
_BREAK = re.compile(r"[ \t]*<br[ \t]*/?>[ \t]*", re.IGNORECASE)
_HEADING = re.compile(r"^(#{1,6})[ \t]+(.*?)[ \t]*#*$", re.MULTILINE)
_QUOTE = re.compile(r"^[ \t]{0,3}(?:>[ \t]?)+(?:\[![a-zA-Z-]{1,20}\][+-]?[ \t]*)?", re.MULTILINE)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~).*$\n?", re.MULTILINE)
_STRONG = re.compile(r"(\*\*\*|\*\*|~~|==)(?=\S)([^*~=\n]{1,1000}?)(?<=\S)\1")
_EMPHASIS = re.compile(r"(?<![\w*])([*_])(?=\S)([^*_\n]{1,1000}?)(?<=\S)\1(?![\w*])")
_CODE = re.compile(r"(`{1,2})([^`\n]{1,1000})\1")
_ESCAPED = re.compile(r"\\([\\`*_{}\[\]()#+\-.!|~<>$])")
_FOOTNOTE = re.compile(r"\[\^[^\[\]\s]{1,60}\]:?")


def front_matter(text: str) -> tuple[Mapping[str, Any], str]:
    """The YAML table that a note begins with, and the text after it; an empty one where there is none to be read."""
    found = _FRONT.match(text[: MOST_FRONT_CHARACTERS + 16])
    if not found:
        return {}, text
    try:
        # Aliases would let a few lines stand for millions.
        table = {} if re.search(r"(?:^|[\s\[,:-])[&*]\w", found[1]) else yaml.load(found[1], _Plain)  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError):
        table = {}
    return (table if isinstance(table, dict) else {}), text[found.end() :]


class _Plain(yaml.SafeLoader):
    """Dates stay as they were written."""


_Plain.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def plain(text: str) -> tuple[str, tuple[str, ...]]:
    """The words without marks, and the web addresses that are linked. Headings keep theirs: what stands below a name
    is said of it."""
    links: dict[str, None] = {}

    def linked(found: re.Match[str]) -> str:
        if found[2].startswith(("http://", "https://")):
            links[found[2]] = None
        return found[1]

    text = _without(_without(text, "<!--", "-->"), "%%", "%%")
    text = _BREAK.sub(_broken, text) if "<br" in text.lower() else text
    text = _EMBED.sub("", _IMAGE.sub(r"\1", text))
    text = _LINK.sub(linked, text)
    for found in _BARE.finditer(text):
        links[found[0].rstrip(".,;:!?")] = None
    text = _WIKI.sub(lambda found: found[2] or found[1].partition("#")[0] or found[1], text)
    for pattern, kept in (
        (_FENCE, ""), (_BREAK, " "), (_TAG, ""), (_QUOTE, ""), (_HEADING, r"\1 \2"), (_FOOTNOTE, ""), (_STRONG, r"\2"),
        (_EMPHASIS, r"\2"), (_CODE, r"\2"), (_ESCAPED, r"\1"),
    ):  # fmt: skip
        text = pattern.sub(kept, text)
    return text, tuple(links)[:_MOST_LINKS]


def _broken(found: re.Match[str]) -> str:
    """A line's break: a new line, save in a table's cell, which stands on one."""
    line = found.string.rfind("\n", 0, found.start()) + 1
    return " · " if found.string.startswith("|", line) else "\n"


def _without(text: str, begin: str, end: str) -> str:
    """The text without what stands between these marks; one that is never closed hides nothing. (A regular expression
    would look for the end anew from each beginning.)"""
    parts, at = [], 0
    while (start := text.find(begin, at)) >= 0 and (stop := text.find(end, start + len(begin))) >= 0:
        parts.append(text[at:start])
        at = stop + len(end)
    return "".join(parts) + text[at:]


def title_of(text: str) -> str:
    """The first heading, or nothing."""
    found = _HEADING.search(text[:20000])
    return plain(found[2])[0] if found else ""
