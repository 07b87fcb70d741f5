"""What the files say of licences, each statement with its place; nothing is judged here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .model_facts import LicenceStatement

# Files that hold a licence or a policy, by what they speak of.
_FILES = (
    (re.compile(r"(?i)(.*/)?(licen[cs]e|copying)([-_. ]code)(\.(txt|md))?"), "code"),
    (re.compile(r"(?i)(.*/)?((acceptable|prohibited)[-_ ]?)?us(e|age)[-_ ]?policy(\.\w+)?"),
     "use"),
    (re.compile(r"(?i)(.*/)?((model[-_ ]?)?licen[cs]e([-_. ]?\w{1,24})?|copying|notice|third[-_]party[-_]notices?)"
                r"(\.(txt|md|rst|pdf))?"),
     "weights"),
)  # fmt: skip
MOST_TEXT_BYTES = 64 << 10


def covered_by(name: str) -> str | None:
    """What a file of that name speaks of: `code`, `use` or `weights`; None where it is no licence."""
    return next((covers for pattern, covers in _FILES if pattern.fullmatch(name)), None)


def of_text(name: str, label: str, text: str) -> LicenceStatement | None:
    """The first line with words of a licence file: its title."""
    for number, line in enumerate(text.splitlines()[:60], start=1):
        title = line.strip().strip("#*=-_ \t").strip()
        if len(re.findall(r"[A-Za-z]{2,}", title)) >= 1 and not title.startswith("<"):
            is_policy = bool(re.search(r"(?i)\b(acceptable|prohibited) use\b", title))
            covers = "use" if is_policy else covered_by(name) or "weights"
            return LicenceStatement(covers, title[:200], label, f"line {number}")
    return None


def of_front_matter(front: dict[str, Any], label: str) -> Iterator[LicenceStatement]:
    """The fields of a model card's front matter, as the hub knows them."""
    for key in ("license", "license_name", "license_link"):
        value = front.get(key)
        for entry in value if isinstance(value, list) else [value]:
            if isinstance(entry, str) and entry:
                yield LicenceStatement("weights", entry[:300], label, key)


def chosen(statements: list[LicenceStatement]) -> str | None:
    """The licence of the weights by its identifier: the card's `license`, or its `license_name` where that says only
    `other`; failing a card, the header's key; failing both, nothing: a title is no identifier."""
    by_place = {statement.place: statement.text for statement in reversed(statements) if statement.covers == "weights"}
    for key in ("general.license", "license"):
        found = by_place.get(key)
        if found and found.lower() in ("other", "unknown"):
            found = (
                by_place.get(key.replace("license", "license_name")) or by_place.get("general.license.name") or found
            )
        if found:
            return found
    return by_place.get("license_name")
