"""`Tabulating`: what a page's tables claim: each cell is said of its row's models, or its column's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from ..claim import Claim
from .claiming import Claiming
from .comparing import JOIN
from .labels import is_label
from .layout import Table, sentences
from .lexicon import SUFFIXES
from .mention import Mention
from .quoting import MOST_QUOTE_CHARACTERS
from .tables import Cell, cells
from .words import key

_OF_MODELS = re.compile(
    r"(?:(?:ai|language|large|open|base|best|top|recommended|suggested|llm|vlm|the) )*(?:model|modell|llm|vlm|system)"
    r"(?:s|e)?(?: names?)?|(?:model )?(?:famil(?:y|ies)|series)"
)
_NAMES_ROW = re.compile(r"(?:model|full|official)? ?(?:name|model)")
_OF_VARIANTS = re.compile(r"(?:model )?(?:variant|version|size|checkpoint|edition|flavou?r)s?")
_OWN_WORDS = re.compile(
    r"~?(?P<name>\d{1,4}(?:\.\d{1,2})?[BbMT](?:-A\d{1,3}(?:\.\d)?B)?|[A-Z][A-Za-z]{1,11}(?: [A-Z][a-z]+)?)\Z"
)
# A table of what was measured: its lengths are those of the prompts.
_MEASURED = re.compile(r"tok(?:en)?s?\s?/\s?s|\bt/s\b|tps\b|ttft|latency|prefill|throughput|decode|seconds")
# One of models: its lengths are theirs, whatever was measured beside.
_DESCRIBED = re.compile(r"\bparam|\blicen[cs]e")
_OWN_BRACKET = re.compile(r"\((\d{1,2}(?:\.\d{1,2})?|[a-z][a-z.-]{1,14})\)$")
_LIST_END = re.compile(r"(?:\s*\([^()]{0,80}\))?[\s*_`]*")
# A break of a cell's line, as a readable text has it.
_LINES = re.compile(r"\s*(?:\*{4,6}|·)\s*")
_ASIDE = re.compile(r"\s*\([^()]{0,80}\)")


class Tabulating(Claiming):
    """The claims of tables."""

    def _table(self, table: Table) -> Iterator[Claim]:
        kept = self._context.subjects
        heads = [self._low[slice(*span)] for span in table.header]
        measured = any(map(_MEASURED.search, heads)) and not any(map(_DESCRIBED.search, heads))
        forecast = any(re.search(r"\b(?:expected|eta|timeline|planned|erwartet)\b", head) for head in heads)
        labels = {row[0] for row in table.rows if row} | set(table.header)
        # Where most labels are benchmarks, those that nobody knows are too.
        lenient = sum(bool(self._benchmark_in(*span)) for span in labels) * 3 >= len(labels) > 2
        model_at = next((at for at, head in enumerate(heads[:3]) if _OF_MODELS.fullmatch(head.strip(" *_`"))), -1)
        variant_at = model_at + 1 if 0 <= model_at < len(heads) - 1 else -1
        if variant_at >= 0 and not _OF_VARIANTS.fullmatch(heads[variant_at].strip(" *_`")):
            variant_at = -1
        places = {"model_at": model_at, "variant_at": variant_at, "name_at": self._name_row(table)}
        for cell in cells(table, self._names.within, self._are_listed, **places):
            yield from self._cell(cell, kept, forecast=forecast, lenient=lenient, measured=measured)

    def _cell(
        self, cell: Cell, kept: tuple[str, ...], *, forecast: bool, lenient: bool, measured: bool
    ) -> Iterator[Claim]:
        label = self._low[slice(*cell.label)].strip(" *_`") if cell.label else ""
        row_dates = self._dates.within(*cell.row)
        told = row_dates[0].value if len({each.value for each in row_dates}) == 1 else None
        self._context.told, before = told, self._context.told
        carried = (cell.subject.name, *cell.also) if cell.subject else self._of_row(cell, kept)
        carried = self._of_variant(cell, carried)
        carried = self._narrowed_by(label, carried) if label.endswith(")") else carried
        benchmark = ""
        for span in (cell.label, cell.row_label):
            if span and not benchmark:
                benchmark = self._benchmark_in(*span)
        if lenient and not benchmark and cell.label and not is_label(label) and 2 <= len(label) <= 40:
            benchmark = self._text[slice(*cell.label)].strip(" *_`")
        for start, end in sentences(self._text, cell.start, cell.end):
            scene = self._scene(start, end, label=label, is_fragment=True)
            scene.labelled_benchmark = benchmark
            scene.is_event, scene.is_forecast, scene.is_measured = cell.is_event, forecast, measured
            if not cell.is_event:
                scene.told = None
            span = cell.row if cell.row[1] - cell.row[0] <= MOST_QUOTE_CHARACTERS else (start, end)
            yield from self._read(scene, span, carried)
        self._context.told = before

    def _are_listed(self, names: Sequence[Mention], cell: tuple[int, int]) -> bool:
        """Whether a cell is a list of names, each with a bracket behind it perhaps, and nothing else."""
        low = self._low
        if low[cell[0] : names[0].start].strip(" *_`") or not _LIST_END.fullmatch(low, names[-1].end, cell[1]):
            return False
        gaps = (_ASIDE.sub("", low[one.end : other.start], count=1) for one, other in pairwise(names))
        return all(JOIN.fullmatch(gap) or _LINES.fullmatch(gap) for gap in gaps)

    def _name_row(self, table: Table) -> int:
        """Which of the first rows of a table of properties gives the model's name; -1: none does."""
        for number, row in enumerate([table.header, *table.rows[:3]]):
            if row and _NAMES_ROW.fullmatch(self._low[slice(*row[0])].strip(" *_`:")):
                return number
        return -1

    def _of_variant(self, cell: Cell, names: tuple[str, ...]) -> tuple[str, ...]:
        """`Tern 3 | 30B-A3B | ...`, where the second column is one of variants."""
        own = _OWN_WORDS.match(self._text[slice(*cell.variant)].strip(" *_`")) if cell.variant else None
        if own is None or len(names) != 1:
            return names
        is_word = own["name"][0].isalpha()
        if key(own["name"])[-1:] == key(names[0])[-1:] or (is_word and own["name"].split()[0].lower() not in SUFFIXES):
            return names
        return (f"{names[0]} {own['name']}",)

    def _narrowed_by(self, label: str, names: tuple[str, ...]) -> tuple[str, ...]:
        """`Params (3.1)` above `Llama`, `Price (Pro)` above `Tern 4`: a column of one version or variant."""
        own = _OWN_BRACKET.search(label)
        if own is None or len(names) != 1:
            return names
        full = (*key(names[0]), *key(own[1]))
        is_version = own[1][0].isdigit() and not any(sign.isdigit() for sign in names[0])
        known = self._by_key.get(full, "")
        return (known or f"{names[0]} {own[1]}",) if known or is_version else names

    def _of_row(self, cell: Cell, kept: tuple[str, ...]) -> tuple[str, ...]:
        """Whom a row without a name is about: `Nano`, below `Nemotron 3`, is a variant; else it is of nobody."""
        if not cell.is_strange:
            return kept
        word = self._text[slice(*cell.row_label)].strip(" *_`") if cell.row_label else ""
        is_variant = word.lower() in SUFFIXES and word[:1].isupper() and len(kept) == 1 and kept[0][-1:].isdigit()
        return (f"{kept[0]} {word}",) if is_variant else ()
