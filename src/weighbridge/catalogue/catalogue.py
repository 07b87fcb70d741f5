"""`load()` and `resolve()`: the catalogue that ships with the package, or a newer one of the user's."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path

from .data import Reader
from .naming import Named, Names
from .variant import Family, Release, Variant

SHIPPED = Path(__file__).parent / "models.jsonl"
FILE_NAME = "models.jsonl"


class Catalogue:
    """What models there are. Variants are made when they are asked for."""

    def __init__(self, reader: Reader, path: Path, notes: tuple[str, ...] = ()) -> None:
        self.path = path
        self.date = reader.date
        """The day as of which it was made."""
        self.notes = notes
        """Why another file was left aside, where one was."""
        self._reader = reader
        self._made: dict[int, Variant] = {}

    def __len__(self) -> int:
        return len(self._reader.entries)

    def __iter__(self) -> Iterator[Variant]:
        return (self._variant(number) for number in range(len(self)))

    @property
    def variants(self) -> tuple[Variant, ...]:
        """All variants, in the order of the file."""
        return tuple(self)

    @cached_property
    def families(self) -> tuple[Family, ...]:
        """All families, with their releases and variants."""
        found: dict[str, dict[str, list[Variant]]] = {}
        for variant in self:
            found.setdefault(variant.family, {}).setdefault(variant.release, []).append(variant)
        return tuple(
            Family(
                family,
                next(iter(releases.values()))[0].maker,
                tuple(Release(name, family, tuple(variants)) for name, variants in releases.items()),
            )
            for family, releases in found.items()
        )

    def resolve(self, name: str) -> Variant:
        """The variant that a name means: a repository's (its maker's or a quantizer's), or words as people type them.

        Raises UnknownModel with the nearest names, or AmbiguousModel with the candidates.
        """
        return self._variant(self._names.find(name))

    @cached_property
    def _names(self) -> Names:
        return Names(
            [
                Named(
                    entry["name"],
                    entry["release"],
                    entry["repository"],
                    [repository[0] for repository in entry["repositories"]],
                    entry["downloads"][0] if "downloads" in entry else 0,
                )
                for entry in self._reader.entries
            ]
        )

    def _variant(self, number: int) -> Variant:
        if number not in self._made:
            self._made[number] = self._reader.variant(number)
        return self._made[number]


def load(folder: Path | None = None) -> Catalogue:
    """The shipped catalogue, or the one in `folder` where that is newer. One that cannot be read is left aside, and
    `Catalogue.notes` says so."""
    shipped = _shipped()
    if folder is None or not (folder / FILE_NAME).exists():
        return shipped
    path = folder / FILE_NAME
    try:
        found = Catalogue(Reader(path.read_text(encoding="utf-8")), path)
        # All of it is made now: damage shows here, where another file can take its place.
        list(found)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        note = f"{path}: cannot be read, so the catalogue of {shipped.date} that came with the package is used: {error}"
        return Catalogue(shipped._reader, SHIPPED, (note,))
    return found if found.date >= shipped.date else shipped


@lru_cache(maxsize=1)
def _shipped() -> Catalogue:
    return Catalogue(Reader(SHIPPED.read_text(encoding="utf-8")), SHIPPED)


def resolve(name: str, folder: Path | None = None) -> Variant:
    """The variant that a name means, by `load(folder)`."""
    return load(folder).resolve(name)
