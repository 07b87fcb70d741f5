"""A table's rows as scenes' outlines: whose each cell is, and which words label it.

Three layouts: a row a model (`| Model | Params | MMLU |`), a column a model (`| Benchmark | A | B |`), and a row a
property (`| Licence | MIT |`); else the cells are sentences, and the row's name holds for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .layout import Table
from .mention import Mention

_MOST_CELLS = 20_000


@dataclass(slots=True)
class Cell:
    """A cell, its labels, and whom it is about where that does not depend on its own words."""

    start: int
    end: int
    label: tuple[int, int] | None
    row_label: tuple[int, int] | None
    subject: Mention | None
    row: tuple[int, int]
    is_event: bool = False
    """Whether its row is about what happened, not about a model as such: its name stands in a sentence."""
    is_strange: bool = False
    """Whether its row is of something that is no known model: then it is of nobody."""
    also: tuple[str, ...] = ()
    """The other models of a row of several: `Mistral Large 3 / Small 4`."""
    variant: tuple[int, int] | None = None
    """The cell of its row that tells which variant of the row's model it is of."""


Within = Callable[[int, int], Sequence[Mention]]
Listed = Callable[[Sequence[Mention], tuple[int, int]], bool]
"""Whether a cell is a list of names, each with a bracket behind it perhaps, and nothing else."""


def cells(
    table: Table, mentions: Within, are_listed: Listed, *, model_at: int = -1, variant_at: int = -1, name_at: int = -1
) -> Iterator[Cell]:
    """The table's cells in their order, the header's left out where it only labels. `model_at`, `variant_at`: which
    columns are headed as those of models and of their variants, `name_at`: which row (0: the header) of a table of
    properties gives the name; -1: none is."""
    header = [list(mentions(*span)) for span in table.header]
    first = [list(mentions(*row[0])) if row else [] for row in table.rows]
    named = sum(bool(each) for each in header[1:])
    if named and named >= (len(header) - 1) / 2 and sum(map(bool, first)) <= len(first) / 2:
        yield from _by_column(table, header)
    elif len(table.header) == 2 and model_at != 0 and not any(first) and not any(header):
        yield from _properties(table, mentions, name_at)
    else:
        found = _by_row(table, mentions, are_listed, is_headed=not any(header), model_at=model_at)
        for cell, row in found:
            if _is_filled(row, variant_at) and cell.start != row[variant_at][0]:
                cell.variant = row[variant_at]
            yield cell


def _span(row: list[tuple[int, int]]) -> tuple[int, int]:
    filled = [cell for cell in row if cell[0] < cell[1]] or row
    return filled[0][0], filled[-1][1]


def _by_column(table: Table, header: list[list[Mention]]) -> Iterator[Cell]:
    for row in table.rows[: _MOST_CELLS // max(1, len(header))]:
        for number, (start, end) in enumerate(row[: len(header)]):
            if number and header[number] and start < end:
                yield Cell(start, end, row[0], None, header[number][0], _span(row))
    for start, end in table.header[1:]:
        yield Cell(start, end, None, None, None, (start, end))


def _properties(table: Table, mentions: Within, name_at: int) -> Iterator[Cell]:
    """A property a row; one of them may tell whose they are: `| Model | Tern 5 |`."""
    rows = [table.header, *table.rows[:500]]
    named = mentions(*rows[name_at][1]) if name_at >= 0 and len(rows[name_at]) > 1 else ()
    subject = named[0] if named else None
    for number, row in enumerate(rows):
        if len(row) >= 2 and row[1][0] < row[1][1] and (subject is None or number != name_at):
            yield Cell(*row[1], row[0], None, subject, _span(row))


def _by_row(
    table: Table,
    mentions: Within,
    are_listed: Listed,
    *,
    is_headed: bool,
    model_at: int,
) -> Iterator[tuple[Cell, list[tuple[int, int]]]]:
    """Each cell with its row."""
    rows = table.rows if is_headed else [table.header, *table.rows]
    above: list[Mention] = []
    for row in rows[: _MOST_CELLS // max(1, len(table.header))]:
        spans = [(number, cell) for number, cell in enumerate(row) if cell[0] < cell[1]]
        owner_at, named = _owners(row, spans, mentions, model_at)
        if not named and above and spans and 0 <= model_at < len(row) and not _is_filled(row, model_at):
            # An empty cell goes on with the model of the row above.
            owner_at, named = model_at, above
        above = named
        owner = named[0] if named else None
        names_length = sum(mention.end - mention.start for mention in named)
        first = row[owner_at] if owner is not None else (0, 1)
        is_event = owner is None or (owner.end - owner.start) * 5 < (first[1] - first[0]) * 3
        # `Tern 24B (Small 3)` is one by two names, `Tern 5 / Heron 2` are two.
        is_list = len(named) > 1 and are_listed(named, first)
        also = tuple(dict.fromkeys(mention.name for mention in named[1:])) if is_list else ()
        if len(named) > 1 and first[1] - first[0] - names_length <= 5 * (len(named) - 1):
            is_event = False
        for number, (start, end) in spans:
            label = table.header[number] if is_headed and number < len(table.header) else None
            row_label = row[max(model_at, 0)] if number and owner_at != 0 and owner is None else None
            subject = None if number == owner_at else owner
            is_strange = owner is None and _is_filled(row, model_at) and number != model_at
            is_told = is_event and not is_list
            yield Cell(start, end, label, row_label, subject, _span(row), is_told, is_strange, also), row


def _owners(
    row: Sequence[tuple[int, int]], spans: Sequence[tuple[int, tuple[int, int]]], mentions: Within, model_at: int
) -> tuple[int, list[Mention]]:
    """The names of a row's models and their column: that of models where there is one, else the first with a name."""
    if _is_filled(row, model_at):
        named = list(mentions(*row[model_at]))
        return (model_at, named) if named else (-1, [])
    return next(((number, found) for number, cell in spans[:3] if (found := list(mentions(*cell)))), (-1, []))


def _is_filled(row: Sequence[tuple[int, int]], number: int) -> bool:
    return 0 <= number < len(row) and row[number][0] < row[number][1]
