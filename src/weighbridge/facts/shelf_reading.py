"""What reading any model takes: its shelf, the small files beside it, and a count of what was looked at."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from weighbridge.errors import BadModelFile

from .config import MOST_JSON_BYTES, Config, parse_json
from .licences import MOST_TEXT_BYTES, covered_by, of_text
from .model_facts import LicenceStatement, Source
from .shelves import Shelf

# Of a card on another machine only the beginning is fetched: its fields stand there.
_CARD_BYTES_REMOTE = 16 << 10
_LICENCE_BYTES = 4 << 10
_MOST_LICENCE_FILES = 8


class ShelfReading:
    """One model's files on their shelf, with notes on what was not understood."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.bytes_read = 0
        self.notes: list[str] = []
        self._names: list[str] | None = None

    @property
    def names(self) -> list[str]:
        """The shelf's files, listed once."""
        if self._names is None:
            self._names = self.shelf.names()
        return self._names

    @property
    def is_remote(self) -> bool:
        """Whether each read is a request over a network."""
        return self.shelf.place in ("hub", "url")

    def _has(self, name: str) -> bool:
        if self.shelf.place in ("file", "url"):
            try:
                return self.shelf.size(name) >= 0
            except BadModelFile:
                return False
        return name in self.names

    def _front_matter(self) -> tuple[dict[str, Any], str]:
        """The fields at the beginning of README.md."""
        if self.shelf.place in ("file", "url") or "README.md" not in self.names:
            return {}, ""
        most = _CARD_BYTES_REMOTE if self.is_remote else MOST_TEXT_BYTES
        text = self._beginning("README.md", most)
        label = self.shelf.label("README.md")
        if not text.startswith("---"):
            return {}, label
        body, closed, _ = text[3:].partition("\n---")
        if not closed:
            # Cut off: up to the last whole field.
            body = body[: max((found.start() for found in re.finditer(r"\n(?=[A-Za-z_])", body)), default=0)]
        # Only cards need it, and it costs a hundredth of a second.
        import yaml

        try:
            # Text stays text: `no` is no licence's falsehood, and a version no number.
            front = yaml.load(body, Loader=getattr(yaml, "CBaseLoader", yaml.BaseLoader))  # noqa: S506 - builds only text
        except (yaml.YAMLError, ValueError, RecursionError, AttributeError):
            self.notes.append(f"{label}: the fields at its beginning are no YAML and were left out")
            return {}, label
        return (front if isinstance(front, dict) else {}), label

    def _licences(self) -> list[LicenceStatement]:
        named = [name for name in self.names if "/" not in name and covered_by(name)]
        found = []
        for name in named[:_MOST_LICENCE_FILES]:
            statement = of_text(name, self.shelf.label(name), self._beginning(name, _LICENCE_BYTES))
            if statement:
                found.append(statement)
        return found

    def _bytes(self, name: str, most: int) -> bytes:
        raw = self.shelf.read(name, most)
        self.bytes_read += len(raw)
        return raw

    def _text(self, name: str, most: int) -> str:
        return self._bytes(name, most).decode("utf-8", errors="replace")

    def _beginning(self, name: str, most: int) -> str:
        [raw] = self.shelf.read_many([(name, 0, min(most, self.shelf.size(name)))])
        self.bytes_read += len(raw)
        return raw.decode("utf-8", errors="replace")

    def _json(self, name: str) -> Config | None:
        """A small JSON file beside the model; where it is missing or damaged, a note says so and the facts go on."""
        if name not in self.names:
            return None
        label = self.shelf.label(name)
        try:
            return Config(parse_json(self._bytes(name, MOST_JSON_BYTES), label), label)
        except BadModelFile as error:
            self.notes.append(f"left out: {error}")
            return None

    def _source(self, kind: str, labels: Sequence[str]) -> Source:
        return Source(kind, tuple(labels), self.bytes_read, self.shelf.place, self.shelf.transferred)
