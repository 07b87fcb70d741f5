"""`Config`: a config.json asked for by key, with each answer's kind checked. The file is a stranger."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from weighbridge.errors import BadModelFile

# No length or count in any model comes near this; what lies beyond is damage, and would only make sums absurd.
MOST = 1 << 40
_Numbers = list[int]
# The largest real one (a quantization that lists each tensor) has 1 MB, the largest tokenizer_config some 3 MB.
MOST_JSON_BYTES = 4 << 20
# An index lists each tensor: 140,000 of the largest mixtures take 12 MB.
MOST_INDEX_BYTES = 64 << 20
_WHITESPACE, _COLON, _COMMA = (re.compile(rf"[ \t\n\r]*{sign}[ \t\n\r]*") for sign in ("", ":", ",?"))


def parse_json(raw: bytes, label: str, most: int = MOST_JSON_BYTES) -> dict[str, Any]:
    """The JSON object in `raw`; BadModelFile names the file and the place of what is wrong."""
    if len(raw) > most:
        raise BadModelFile(
            f"{label}: has {len(raw):,} bytes, expected at most {most:,}",
            hint="this is no model's config: fetch the file again",
        )
    try:
        found = json.loads(raw, object_pairs_hook=unique_pairs)
    except json.JSONDecodeError as error:
        raise BadModelFile(
            f"{label}: line {error.lineno}, column {error.colno}: {error.msg}",
            hint="the file is damaged or was cut off: fetch it again",
        ) from error
    except (ValueError, RecursionError) as error:
        why = "is nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
        raise BadModelFile(f"{label}: {why}", hint="the file is damaged: fetch it again") from error
    if not isinstance(found, dict):
        raise BadModelFile(f"{label}: holds a {type(found).__name__}, expected an object", hint="fetch it again")
    return found


def unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs as a mapping; ValueError where a key occurs twice, since readers differ on which one counts."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"key {twice[:80]!r} occurs twice, expected once")
    return found


@dataclass(frozen=True, slots=True)
class Config:
    """A JSON object by key. Where several names are given, the first that is there (and not null) counts."""

    data: dict[str, Any]
    label: str
    """What to call the file in messages."""
    prefix: str = ""
    """The path of this object inside the file: `text_config.`."""

    def wrong(self, key: str, found: object, expected: str) -> BadModelFile:
        """The error that names file, key, what was found and what was expected."""
        return BadModelFile(
            f"{self.label}: {self.prefix}{key} is {repr(found)[:80]}, expected {expected}",
            hint="the config is damaged, or of a kind that is not known here: fetch it again",
        )

    def find(self, *names: str) -> tuple[str, Any]:
        """The first of these keys that is there, with its value; the last name and None where none is."""
        for name in names:
            value = self.data.get(name)
            if value is not None:
                return name, value
        return names[-1], None

    def has(self, *names: str) -> bool:
        """Whether one of the keys is there, and not null."""
        return self.find(*names)[1] is not None

    def number(self, *names: str, default: int | None = None) -> int | None:
        """A whole number that is not negative; `default` where none of the keys is there."""
        name, value = self.find(*names)
        if value is None:
            return default
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST:
            raise self.wrong(name, value, "a whole number")
        return value

    def whole(self, *names: str, default: int | None = None, least: int = 0, most: int = MOST) -> int:
        """A whole number in these bounds, which must be there unless there is a default."""
        value = self.number(*names, default=default)
        if value is None or not least <= value <= most:
            raise self.wrong(self.find(*names)[0], value, f"a whole number from {least:,} to {most:,}")
        return value

    def flag(self, *names: str, default: bool = False) -> bool:
        """Yes or no."""
        name, value = self.find(*names)
        if value is None:
            return default
        if not isinstance(value, bool | int):
            raise self.wrong(name, value, "true or false")
        return bool(value)

    def real(self, *names: str) -> float | None:
        """A number above zero and not infinite, or None where there is none of these keys."""
        name, value = self.find(*names)
        if value is None:
            return None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0 < value < float(1 << 62) or not math.isfinite(value):
            raise self.wrong(name, value, "a number above zero")
        return float(value)

    def text(self, *names: str) -> str | None:
        """A string, or None."""
        value = self.find(*names)[1]
        return value if isinstance(value, str) and value else None

    def list(self, *names: str, most: int = 1 << 16) -> list[Any] | None:
        """A list of at most so many entries, or None where there is none."""
        name, value = self.find(*names)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) > most:
            raise self.wrong(name, value, f"a list of at most {most:,} entries")
        return value

    def numbers(self, *names: str) -> _Numbers | None:
        """A list of whole numbers that are not negative, or None."""
        value = self.list(*names)
        if value is not None and not all(type(entry) is int and 0 <= entry <= MOST for entry in value):
            raise self.wrong(self.find(*names)[0], value, "whole numbers")
        return value

    def section(self, *names: str) -> Config:
        """The object under a key; an empty one where there is none."""
        name, value = self.find(*names)
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise self.wrong(name, value, "an object")
        return Config(value, self.label, f"{self.prefix}{name}.")

    def replace(self, **values: Any) -> Config:
        """The same object with these keys set anew."""
        return Config(self.data | values, self.label, self.prefix)


class Places:
    """Where the entries of a JSON file stand, in bytes; each object is gone through once, when it is asked for."""

    def __init__(self, raw: bytes) -> None:
        self._text = raw.decode("utf-8", errors="surrogateescape")
        self._known: dict[str, dict[str, tuple[int, int, int]]] = {}

    def find(self, path: str) -> tuple[int, int] | None:
        """First and end byte of the entry (key and value) at a path like `text_config.head_dim`, if it is there."""
        section, _, name = path.rpartition(".")
        found = self._entries(section).get(name)
        return (self._byte(found[0]), self._byte(found[2])) if found else None

    def _byte(self, place: int) -> int:
        if self._text.isascii():
            return place
        return len(self._text[:place].encode("utf-8", errors="surrogateescape"))

    def _entries(self, section: str) -> dict[str, tuple[int, int, int]]:
        """For each key of the object at this path where the key begins, where its value begins and ends."""
        if section not in self._known:
            if section:
                outer, _, name = section.rpartition(".")
                at = self._entries(outer).get(name, (0, len(self._text), 0))[1]
            else:
                at = 1 if self._text.startswith("\ufeff") else 0
            self._known[section] = dict(self._scan(at))
        return self._known[section]

    def _scan(self, at: int) -> Iterator[tuple[str, tuple[int, int, int]]]:
        text, decoder = self._text, json.JSONDecoder()
        at = _after(_WHITESPACE, text, at)
        if text[at : at + 1] != "{":
            return
        at = _after(_WHITESPACE, text, at + 1)
        while text[at : at + 1] == '"':
            first = at
            name, at = decoder.raw_decode(text, at)
            value = _after(_COLON, text, at)
            end = decoder.raw_decode(text, value)[1]
            yield name, (first, value, end)
            at = _after(_COMMA, text, end)


def _after(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at
