"""Metadata keys by their meaning: `block_count` is `llama.block_count` in a file of architecture `llama`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from weighbridge.errors import BadModelFile

from .config import MOST
from .gguf import Header, SkippedArray, Value
from .model_facts import Origin

_MOST_LAYERS = 4096
_UNPREFIXED = ("general.", "tokenizer.", "split.", "weighbridge.", "clip.")


@dataclass(frozen=True, slots=True)
class Keys:
    """The metadata of one header, asked for by name, with each answer's kind checked."""

    header: Header
    architecture: str
    supplied: dict[str, Value] = field(default_factory=dict)
    """What the family's file in `architectures/` says where the header is silent."""

    def named(self, key: str) -> str:
        """The key as it stands in the file."""
        return key if key.startswith(_UNPREFIXED) else f"{self.architecture}.{key}"

    def value(self, key: str) -> Value | SkippedArray | None:
        """What the file holds under this key, or what is supplied in its place."""
        found = self.header.metadata.get(self.named(key))
        return self.supplied.get(key) if found is None else found

    def origin(self, key: str) -> Origin | None:
        """Where the value of this key stands; None where the file has no such key."""
        place = self.header.places.get(self.named(key))
        if place is None:
            if key in self.supplied:
                return Origin(self.header.label, f"{self.named(key)}, as the architecture {self.architecture} has it")
            return None
        return Origin(self.header.label, self.named(key), *place)

    def wrong(self, key: str, found: object, expected: str) -> BadModelFile:
        """The error that names file, key, what was found and what was expected."""
        shown = repr(found[:20] if isinstance(found, list) else found[:80] if isinstance(found, str) else found)
        return BadModelFile(
            f"{self.header.label}: {self.named(key)[:200]} is {shown}, expected {expected}",
            hint="the header is damaged or was written by a faulty converter: fetch or convert the model again",
        )

    def number(self, key: str) -> int | None:
        """A whole number that is not negative, or None where the key is missing."""
        value = self.value(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST:
            raise self.wrong(key, value, "a whole number")
        return value

    def whole(self, key: str, *, least: int = 1, most: int = MOST) -> int:
        """A whole number that must be there and lie in these bounds."""
        value = self.number(key)
        if value is None or not least <= value <= most:
            raise self.wrong(key, value, f"a whole number from {least:,} to {most:,}")
        return value

    def largest(self, key: str) -> int | None:
        """A whole number, or the largest of a list with one a layer."""
        if isinstance(self.value(key), list):
            return max(self.numbers(key) or [0])
        return self.number(key)

    def real(self, key: str) -> float | None:
        """A number that is not infinite, or None."""
        value = self.value(key)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return float(value) if is_number and math.isfinite(value) else None  # type: ignore[arg-type]

    def flag(self, key: str) -> bool | None:
        """Yes, no, or None where the key is missing."""
        value = self.value(key)
        return value if isinstance(value, bool) else None

    def numbers(self, key: str) -> list[int] | None:
        """A list of whole numbers that are not negative; None where the key is missing or holds no list."""
        value = self.value(key)
        if not isinstance(value, list):
            return None
        found = [int(entry) for entry in value if isinstance(entry, int) and 0 <= entry <= MOST]
        if len(found) != len(value):
            raise self.wrong(key, value, "whole numbers")
        return found

    def per_layer(self, key: str, layers: int) -> tuple[int, ...] | None:
        """One whole number a layer, whether the file lists them or gives one for all; None where the key is missing."""
        value = self.value(key)
        if value is None:
            return None
        values = value if isinstance(value, list) else [value] * layers
        if len(values) != layers or not all(isinstance(entry, int) and 0 <= entry <= MOST for entry in values):
            raise self.wrong(key, value, f"a whole number, or {layers} of them")
        return tuple(int(entry) for entry in values if isinstance(entry, int))

    def dimensions(self) -> dict[str, int | tuple[int, ...]]:
        """All whole numbers that this architecture's own keys hold, and lists of them, by their names."""
        prefix = f"{self.architecture}."
        own = {key[len(prefix) :]: value for key, value in self.header.metadata.items() if key.startswith(prefix)}
        found: dict[str, int | tuple[int, ...]] = {}
        for key, value in {**self.supplied, **own}.items():
            if type(value) is int and 0 <= value <= MOST:
                found[key] = value
            elif isinstance(value, list) and len(value) <= _MOST_LAYERS and all(type(entry) is int for entry in value):
                found[key] = tuple(int(entry) for entry in value if isinstance(entry, int) and 0 <= entry <= MOST)
        return found

    def text(self, key: str) -> str | None:
        """A string, or None where the key is missing or is something else."""
        value = self.value(key)
        return value if isinstance(value, str) and value else None

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings, empty where the key is missing."""
        value = self.value(key)
        return tuple(entry for entry in value if isinstance(entry, str)) if isinstance(value, list) else ()

    def length(self, key: str) -> int | None:
        """How long an array is, whether it was kept or passed over."""
        value = self.value(key)
        if isinstance(value, SkippedArray):
            return value.length
        return len(value) if isinstance(value, list) else None
