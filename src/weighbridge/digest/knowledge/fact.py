"""`Fact` and `Subject`: one known value with its source, and whom a name means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from weighbridge.catalogue import Variant
from weighbridge.figures import Basis


@dataclass(frozen=True, slots=True)
class Fact:
    """A value that is known of a model, with where it is from."""

    of: str
    """The model, as the source or the catalogue names it."""
    field: str
    value: float | str
    basis: Basis
    source: str
    key: str = ""
    date: str = ""
    note: str = ""
    """What limits it: `among open models`, `code`, `effective`, `from its name`."""


class Row(NamedTuple):
    """A repository of the hub's list; 0 and empty are unknown."""

    repository: str
    parameters: int
    context: int
    licence: str
    created: str
    downloads: int
    likes: int
    task: str

    @property
    def maker(self) -> str:
        """Whose it is."""
        return self.repository.partition("/")[0]

    @property
    def name(self) -> str:
        """Its name without its maker."""
        return self.repository.partition("/")[2]


@dataclass(frozen=True, slots=True)
class Served:
    """What services and lists of prices say of one name."""

    name: str
    days: tuple[tuple[str, int], ...]
    """Days of release, and how many tell each."""
    contexts: tuple[int, ...]
    prices: tuple[tuple[float, float, int], ...]
    """Dollars a million tokens in and out, and how many ask that."""
    open_votes: int
    closed_votes: int
    inputs: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a name means: one set of weights, several that came out together, a closed model, or nothing known."""

    name: str
    """As it is known here; the claim's own words where it is not."""
    words: frozenset[str]
    """What tells it from others, by `words_of_name`."""
    variants: tuple[Variant, ...] = ()
    rows: tuple[Row, ...] = ()
    """Repositories of makers that may be meant, those of `variants` included."""
    served: tuple[Served, ...] = ()
    is_exact: bool = False
    """Whether the name means one network: what is not true of it is not true of what is meant."""
    is_loose: bool = False
    """Whether the name leaves open which release is meant, or tells a part of a longer name alone."""
    lacks: str = ""
    """A size, version or part of the name that is not known of a release that is: `72B`."""
    near: tuple[Variant, ...] = ()
    """Where `lacks` says something: what is known of that release."""

    @property
    def is_known(self) -> bool:
        """Whether anything by that name is known."""
        return bool(self.variants or self.rows or self.served)
