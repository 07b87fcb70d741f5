"""Rows of the tables as what they tell, each made when it is asked for."""

from __future__ import annotations

from .fact import Row, Served
from .tables import rows_of


class Rows:
    """A table of repositories by their names in small letters; a row is read when it is asked for, as few are."""

    def __init__(self, table: str) -> None:
        self.names = {cells[0].lower(): cells for cells in rows_of(table)}
        self._made: dict[str, Row] = {}

    def __getitem__(self, name: str) -> Row:
        if name not in self._made:
            self._made[name] = _row(self.names[name])
        return self._made[name]

    def get(self, name: str) -> Row | None:
        """The row of that name; None where there is none."""
        return self[name] if name in self.names else None


def served_of(cells: list[str]) -> Served:
    """What services say of a name, from a line of their table."""
    _, name, days, contexts, prices, votes, inputs, sources = cells
    opened, _, closed = votes.partition(":")
    return Served(
        name,
        tuple((day, int(times)) for day, _, times in (each.partition("*") for each in days.split())),
        tuple(map(int, contexts.split())),
        tuple(_priced(each) for each in prices.split()),
        int(opened), int(closed), tuple(inputs.split()), sources,
    )  # fmt: skip


def _row(cells: list[str]) -> Row:
    repository, parameters, context, licence, created, downloads, likes, task = cells
    return Row(
        repository,
        int(parameters or 0),
        int(context or 0),
        licence,
        created,
        int(downloads or 0),
        int(likes or 0),
        task,
    )


def _priced(text: str) -> tuple[float, float, int]:
    prices, _, times = text.partition("*")
    given, _, taken = prices.partition(":")
    return float(given), float(taken), int(times)
