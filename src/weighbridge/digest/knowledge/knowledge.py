"""`Knowledge`: what is known of models, by whom a name means and by field; read as it is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from weighbridge.catalogue import Catalogue, Variant, load
from weighbridge.figures import Basis

from .fact import Fact, Row, Served, Subject
from .matching import (
    TUNED,
    added_words,
    alike,
    common_name,
    fits,
    of_kind,
    only_sizes,
    plainest,
    same_weights,
    with_zero,
)
from .names import is_dated, sizes_in, versions_in, words_of_name
from .rows import Rows, served_of
from .tables import DATE, HUB_DATE, rows_of

HUB = "Hugging Face hub, as listed by llmfit 1.1.17"
_MOST_NAME = 120
_SAME_SIZE = 0.03
_UNTOLD = frozenset({"preview", "latest"})
_EARLY = frozenset("exp experimental beta alpha early preview rc max plus pro turbo large".split())
_ADJECTIVES = frozenset("nano micro tiny mini small medium large xl xxl lite air flash pro max plus ultra".split())


class Knowledge:
    """The catalogue, the tables that ship beside it, and what was read from files here."""

    date = DATE
    """The day as of which it was collected."""
    hub_date = HUB_DATE

    def __init__(
        self, catalogue: Catalogue | None = None, own: Iterable[Fact] = (), folder: Path | None = None
    ) -> None:
        self._catalogue = catalogue
        self._folder = folder
        self._own = tuple(own)
        self._meant: dict[str, Subject] = {}
        self._by_maker: dict[str, tuple[Row, ...]] = {}

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue, read when it is first asked for."""
        if self._catalogue is None:
            self._catalogue = load(self._folder)
        return self._catalogue

    # Whom a name means

    def meant(self, name: str) -> Subject:
        """Whom a name means; `is_known` is false where nothing is known by it."""
        key = " ".join(name[:_MOST_NAME].split())
        if key not in self._meant:
            self._meant[key] = self._find(key)
        return self._meant[key]

    def _find(self, name: str) -> Subject:
        words = words_of_name(name)
        row = self.row(name)
        if row is not None or name.lower() in self._by_repository:
            return self._by_id(name, row, words)
        if not words or not any(len(word) > 1 and word.isalpha() for word in words):
            return Subject(name, words, served=self._served_as(words))
        for spelled in (words, with_zero(words)):
            variants = self._of_families(spelled, self._having(spelled))
            if variants:
                return self._of_variants(name, spelled, variants)
        rows = self._rows_having(words)
        served = self._served_as(words)
        if rows or served:
            return self._of_rows(name, words, rows, served)
        return self._of_release(name, words)

    def _by_id(self, name: str, row: Row | None, words: frozenset[str]) -> Subject:
        variant = self._by_repository.get(name.lower())
        variants = (variant,) if variant else ()
        shown = variant.name if variant else row.name if row else name
        own_words = words_of_name(shown)
        return Subject(shown, own_words, variants, (row,) if row else (), self._served_as(own_words), is_exact=True)

    def _of_variants(self, name: str, words: frozenset[str], variants: tuple[Variant, ...]) -> Subject:
        """Of those that have all words: the ones named so exactly, else the plainest release, else all."""
        plain = words - TUNED
        variants = of_kind(name, variants)
        same, is_loose = same_weights(name, words, variants)
        rows = self._rows_of(same)
        if len(plain) > 1 or not any(word in sizes_in(words) for word in words):
            rows = tuple({row.repository: row for row in (*rows, *self._rows_having(words, same))}.values())
        served = self._served_as(words)
        for each in same if len(same) <= 3 else ():
            served += tuple(one for one in self._served_as(words_of_name(each.name)) if one not in served)
        sizes = {round(each.parameters.value) for each in same if each.parameters}
        # Of what is counted from its config the hub's count, which may have shared matrices twice, tells nothing more.
        counted = {each.repository for each in same if each.shape and each.parameters}
        others = [row for row in rows if row.repository not in counted]
        is_exact = bool(sizes) and max(sizes) <= min(sizes) * (1 + _SAME_SIZE) and alike(others, min(sizes))
        shown = plainest(same, name) if is_exact else common_name(same, name)
        return Subject(shown, words, same, rows, served, is_exact and not is_loose, is_loose)

    def _of_rows(self, name: str, words: frozenset[str], rows: tuple[Row, ...], served: tuple[Served, ...]) -> Subject:
        exact = tuple(row for row in rows if words_of_name(row.name) - TUNED == words - TUNED)
        rows = exact or rows
        sizes = {row.parameters for row in rows if row.parameters}
        is_exact = len(sizes) == 1 if rows else len(served) == 1
        is_named_so = bool(served) and not rows and added_words(served[0].name, words) == 0
        shown = rows[0].name if len(rows) == 1 else served[0].name if is_named_so else name
        return Subject(shown, words, (), rows, served, is_exact)

    def _of_release(self, name: str, words: frozenset[str]) -> Subject:
        """A release that is known, with a size that fits one of its variants, or with one that none has."""
        sizes = sizes_in(words)
        rest = frozenset(words - sizes.keys())
        if sizes and rest:
            siblings = self._siblings(rest)
            fitting = tuple(each for each in siblings if all(fits(size, word, each) for word, size in sizes.items()))
            if fitting:
                found = self._of_variants(name, words_of_name(fitting[0].name) if len(fitting) == 1 else rest, fitting)
                return Subject(found.name, words, fitting, found.rows, found.served, found.is_exact, found.is_loose)
            if siblings:
                lacks = " ".join(sorted(word.upper() for word in sizes))
                return Subject(name, words, lacks=lacks, near=siblings)
        versions = versions_in(words)
        family = rest - versions
        if len(versions) == 1 and len(family) == 1 and not sizes:
            [word] = family
            kin = tuple(each for each in self.catalogue if each.family.lower() == word)
            if kin:
                return Subject(name, words, lacks=next(iter(versions)), near=kin)
        return Subject(name, words)

    def _siblings(self, rest: frozenset[str]) -> tuple[Variant, ...]:
        """The variants of the release that the words name, or that have them all and add sizes alone."""
        found = self._having(rest)
        of_release = tuple(each for each in found if words_of_name(each.release) - TUNED == rest - TUNED)
        if of_release:
            return of_release
        plain = []
        for each in found:
            if only_sizes(words_of_name(each.name) - rest - TUNED):
                plain.append(each)
        return tuple(plain)

    @cached_property
    def _by_repository(self) -> dict[str, Variant]:
        found: dict[str, Variant] = {}
        for variant in self.catalogue:
            for repository in (variant.repository, *(each.name for each in variant.repositories)):
                found.setdefault(repository.lower(), variant)
        return found

    @cached_property
    def _holders(self) -> dict[str, set[int]]:
        found: dict[str, set[int]] = {}
        for number, variant in enumerate(self.catalogue):
            for word in words_of_name(variant.name):
                found.setdefault(word, set()).add(number)
        return found

    def _having(self, words: frozenset[str]) -> tuple[Variant, ...]:
        """The variants whose names have all these words; of two that differ by `base` alone both."""
        sets = sorted((self._holders.get(word, set()) for word in words), key=len)
        if not sets or not sets[0]:
            return ()
        numbers = set.intersection(*sets)
        variants = self.catalogue.variants
        return tuple(variants[number] for number in sorted(numbers))

    def _of_families(self, words: frozenset[str], variants: tuple[Variant, ...]) -> tuple[Variant, ...]:
        """Those of the family, where the words name nothing but a family and a number: `Llama 1` is no
        DeepSeek-R1-Distill-Llama."""
        named = words - versions_in(words) - sizes_in(words).keys()
        if len(named) != 1 or not named <= self.family_words:
            return variants
        return tuple(each for each in variants if each.family.lower() in named)

    # The hub

    @cached_property
    def _rows(self) -> Rows:
        return Rows("hub")

    @cached_property
    def _others(self) -> Rows:
        return Rows("others")

    @cached_property
    def makers(self) -> dict[str, int]:
        """Makers in the catalogue, in small letters, and how many repositories of each are listed."""
        known = {variant.maker.lower() for variant in self.catalogue}
        counts = dict.fromkeys(known, 0)
        for key in self._rows.names:
            maker = key.partition("/")[0]
            if maker in counts:
                counts[maker] += 1
        return counts

    def row(self, repository: str) -> Row | None:
        """A repository as the hub's list has it."""
        key = repository.lower()
        if "/" not in key:
            return None
        return self._rows.get(key) or (self._others.get(key) if key.partition("/")[0] not in self.makers else None)

    def rows_of_maker(self, maker: str) -> tuple[Row, ...]:
        """All that is listed of a maker, or of anybody."""
        key = maker.lower()
        if key not in self._by_maker:
            rows = self._rows if key in self.makers else self._others
            self._by_maker[key] = tuple(rows[name] for name in rows.names if name.startswith(f"{key}/"))
        return self._by_maker[key]

    @cached_property
    def family_words(self) -> frozenset[str]:
        """Names of families in small letters."""
        return frozenset(variant.family.lower() for variant in self.catalogue)

    def _rows_of(self, variants: Iterable[Variant]) -> tuple[Row, ...]:
        found = (self._rows.get(variant.repository.lower()) for variant in variants)
        return tuple(row for row in found if row)

    def _rows_having(self, words: frozenset[str], like: Sequence[Variant] = ()) -> tuple[Row, ...]:
        """Makers' own repositories whose names have all these words, packed copies aside."""
        makers = {each.maker.lower() for each in like}
        letters = [word for word in words if word.isalpha()]
        found = []
        for maker, short in self._names_of_makers:
            if all(word in short for word in letters) and (not like or maker in makers):
                row = self._rows[f"{maker}/{short}"]
                its = words_of_name(row.name)
                if words <= its and only_sizes(its - words - TUNED):
                    found.append(row)
        return tuple(found)

    def relatives(self, subject: Subject) -> tuple[Row, ...]:
        """Makers' repositories whose names add what tells small from large: gpt2-xl is called GPT-2 too."""
        makers = {variant.maker.lower() for variant in subject.variants}
        letters = [word for word in subject.words if word.isalpha()]
        found = []
        for maker, short in self._names_of_makers:
            if maker in makers and all(word in short for word in letters):
                row = self._rows[f"{maker}/{short}"]
                added = words_of_name(row.name) - subject.words - TUNED
                if added & _ADJECTIVES and subject.words <= words_of_name(row.name) and only_sizes(added - _ADJECTIVES):
                    found.append(row)
        return tuple(found)

    def first_of_kin(self, subject: Subject) -> str | None:
        """The first day of what comes before or beside it by nearly its name: DeepSeek-V3.2-Exp is called DeepSeek V3.2
        too. None where there is no such thing."""
        makers = {variant.maker.lower() for variant in subject.variants} | {row.maker.lower() for row in subject.rows}
        words = subject.words - TUNED
        rows = (row for maker in makers for row in self.rows_of_maker(maker) if row.created)
        days = [row.created for row in rows if words < words_of_name(row.name) <= words | _EARLY | TUNED]
        for named, lines in self._services.items():
            if words < named <= words | _EARLY | TUNED:
                days += [day for line in lines for day, _ in served_of(line).days if day]
        return min(days, default=None)

    @cached_property
    def _names_of_makers(self) -> tuple[tuple[str, str], ...]:
        """Repositories of the catalogue's makers, packed copies aside, in small letters."""
        found = []
        for key in self._rows.names:
            maker, _, short = key.partition("/")
            if maker in self.makers and not is_packed(short):
                found.append((maker, short))
        return tuple(found)

    # Services

    @cached_property
    def _services(self) -> dict[frozenset[str], list[list[str]]]:
        """Lines of the table by the words of the names; what they hold is read when it is asked for."""
        found: dict[frozenset[str], list[list[str]]] = {}
        for row in rows_of("services"):
            found.setdefault(frozenset(row[0].split()) - _UNTOLD, []).append(row)
        return found

    def _served_as(self, words: frozenset[str]) -> tuple[Served, ...]:
        """What services say of it, the one that calls it most plainly first."""
        plain = words - _UNTOLD
        rows = self._services.get(plain, ()) or self._services.get(plain - TUNED, ())
        return tuple(
            sorted(map(served_of, rows), key=lambda each: (added_words(each.name, plain), len(each.name), each.name))
        )

    # Facts

    @cached_property
    def _reports(self) -> dict[frozenset[str], tuple[Fact, ...]]:
        found: dict[frozenset[str], tuple[Fact, ...]] = {}
        for subject, field, value, _unit, note, source, key, date in rows_of("reports"):
            fact = Fact(subject, field, _typed(field, value), Basis.STATED, source, key, date, note)
            words = words_of_name(subject)
            found[words] = (*found.get(words, ()), fact)
        for model, benchmark, value, source in rows_of("scores"):
            fact = Fact(model, f"benchmark:{benchmark}", float(value), Basis.STATED, source, benchmark)
            words = words_of_name(re.sub(r"\(.*?\)", "", model.replace("Inst.", "Instruct")))
            for undated in {words, frozenset(word for word in words if not is_dated(word))}:
                found[undated] = (*found.get(undated, ()), fact)
        for fact in self._own:
            words = words_of_name(fact.of)
            found[words] = (*found.get(words, ()), fact)
        return found

    def reports(self, subject: Subject, field: str = "") -> tuple[Fact, ...]:
        """What publications report and files told of a subject, of one field or of all."""
        keys = {subject.words - TUNED, subject.words}
        for variant in subject.variants if subject.is_exact else ():
            words = words_of_name(variant.name)
            keys |= {words, words - TUNED}
        if len(subject.variants) > 1:
            releases = {variant.release for variant in subject.variants}
            keys |= {words_of_name(release) for release in releases if len(releases) == 1}
        found = [fact for key in keys for fact in self._reports.get(key, ())]
        unique = list(dict.fromkeys(found))
        return tuple(fact for fact in unique if not field or fact.field == field)

    def reports_of(self, name: str, field: str) -> tuple[Fact, ...]:
        """What publications report of a thing by its very name: a leaderboard, a definition."""
        return tuple(fact for fact in self._reports.get(words_of_name(name), ()) if fact.field == field)

    def all_of(self, field: str) -> Iterator[Fact]:
        """All that is reported of one field, of whomever."""
        for facts in self._reports.values():
            yield from (fact for fact in facts if fact.field == field)

    @cached_property
    def all_scores(self) -> tuple[Fact, ...]:
        """All reported scores, of whomever."""
        return tuple(fact for facts in self._reports.values() for fact in facts if fact.field.startswith("benchmark:"))

    @cached_property
    def _mentions(self) -> dict[frozenset[str], str]:
        found: dict[frozenset[str], str] = {}
        for words, _name, first in rows_of("mentions"):
            key = frozenset(words.split())
            found[key] = min(first, found.get(key, first))
        return found

    def first_mention(self, words: frozenset[str]) -> str | None:
        """The day on which the name first stood in the index of a daily digest; a rumour may be one."""
        return self._mentions.get(words) or self._mentions.get(words - TUNED)

    def copies_made(self, variant: Variant) -> str | None:
        """The day on which the first packed copy by another was made: the weights were out by then."""
        rows = (self._rows.get(each.name.lower()) for each in variant.repositories)
        days = [row.created for row in rows if row and row.created and row.maker.lower() != variant.maker.lower()]
        return min(days, default=None)


def is_packed(name: str) -> bool:
    """Whether a repository's name says that its weights are packed: a copy of another's."""
    return bool(_PACKED.search(name.lower()))


_PACKED = re.compile(
    r"(?:^|[-_.])(?:gguf|awq|gptq|fp8|int[48]|nvfp4|mxfp[48]|\d?bit|bnb|mlx|onnx|qat|w\da\d+|exl\d|unquantized)"
)


def _typed(field: str, value: str) -> float | str:
    numeric = field.startswith(("rank:", "benchmark:", "parameters")) or field in ("downloads", "likes", "stars")
    return float(value) if numeric else value
