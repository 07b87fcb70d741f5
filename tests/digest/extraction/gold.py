"""Gold claims beside pages, and how found ones are held against them.

A line is `subject | field | value`; `~` parts names of one and the same thing, `?` before it: right if found, and no
fault if not; `i`: it is from an inventory that somebody else made. `*` stands for any value, `rank:*` for any rank.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from weighbridge.digest import Claim, Page, extract
from weighbridge.digest.reading import read_file

_IGNORED = frozenset(
    "dense moe instruct it variant family original model the chat nvidia prismml mozilla google meta".split()
)
_WORD = re.compile(r"\d+(?:\.\d+)*(?:[bmtk](?![a-z]))?|[a-z]+\+?")


@dataclass(frozen=True)
class Gold:
    """A claim that the page makes."""

    names: tuple[str, ...]
    field: str
    value: str
    is_required: bool
    is_inventory: bool


@dataclass
class Counts:
    """How many were found rightly, wrongly, and not at all."""

    right: int = 0
    wrong: int = 0
    missed: int = 0
    inventory: int = 0
    inventory_right: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    @property
    def precision(self) -> float:
        return self.right / (self.right + self.wrong) if self.right + self.wrong else 1.0

    @property
    def recall(self) -> float:
        return self.right / (self.right + self.missed) if self.right + self.missed else 1.0

    @property
    def inventory_recall(self) -> float:
        return self.inventory_right / self.inventory if self.inventory else 1.0

    @property
    def f1(self) -> float:
        return _f1(self.precision, self.recall)

    @property
    def inventory_f1(self) -> float:
        return _f1(self.precision, self.inventory_recall)


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@dataclass
class Result:
    """One page's counts by field, and the lines that tell what was wrong."""

    counts: dict[str, Counts] = field(default_factory=lambda: defaultdict(Counts))
    faults: list[str] = field(default_factory=list)

    def total(self) -> Counts:
        return sum(self.counts.values(), Counts())


def read(path: Path) -> list[Gold]:
    """The gold claims of a file."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip():
            mark, rest = (line[0], line[2:]) if line[:2] in ("? ", "i ") else ("", line)
            subject, name, value = (part.strip() for part in rest.split(" | "))
            names = tuple(part.strip() for part in subject.split("~"))
            found.append(Gold(names, name, value, mark != "?", mark == "i"))
    return found


def page(path: Path) -> Page:
    """A page as `weigh check FILE` reads it; its day stands in a file beside it where its text does not tell it."""
    date = path.with_suffix(".date")
    found = read_file(path)
    return replace(found, published=date.read_text().strip()) if date.exists() else found


def pairs(folder: Path) -> list[tuple[Path, Path]]:
    """The pages of a folder with their gold claims."""
    return [(path.with_suffix(".md"), path) for path in sorted(folder.glob("*.gold"))]


def score(path: Path, gold: Path) -> Result:
    """What the grammar finds on a page, held against its gold claims."""
    return compare(extract(page(path)), read(gold))


def compare(found: Iterable[Claim], gold: Sequence[Gold]) -> Result:
    """Each claim counts once, however often the page makes it."""
    result = Result()
    matched: set[int] = set()
    wrong: set[tuple[object, ...]] = set()
    for claim in found:
        numbers = [number for number, each in enumerate(gold) if _same(claim, each)]
        family = claim.field.partition(":")[0]
        if numbers:
            matched.update(numbers)
        elif (mark := (_words(claim.subject), claim.field, claim.value)) not in wrong:
            wrong.add(mark)
            result.counts[family].wrong += 1
            result.faults.append(f"wrong  {claim.subject} | {claim.field} | {claim.value} | {claim.quote[:100]!r}")
    for number, each in enumerate(gold):
        family = each.field.partition(":")[0]
        counts = result.counts[family]
        if number in matched:
            counts.right += each.is_required
            counts.inventory_right += each.is_inventory
        elif each.is_required:
            counts.missed += 1
            result.faults.append(
                f"missed {each.names[0]} | {each.field} | {each.value}" + (" (inventory)" if each.is_inventory else "")
            )
        counts.inventory += each.is_inventory
    return result


def _words(name: str) -> frozenset[str]:
    return frozenset(_WORD.findall(name.lower())) - _IGNORED


def _same(claim: Claim, gold: Gold) -> bool:
    return (
        _same_field(claim.field, gold.field)
        and any(
            _words(claim.subject) == _words(name) and ("/" in claim.subject) == ("/" in name) for name in gold.names
        )
        and _same_value(claim.field, claim.value, gold.value)
    )


def _same_field(name: str, gold: str) -> bool:
    return name.startswith(gold[:-1]) if gold.endswith(":*") else _folded(name) == _folded(gold)


def _folded(name: str) -> str:
    return re.sub(r"[\s\-]", "", name.lower())


def _same_value(name: str, value: float | str | bool, gold: str) -> bool:
    if gold == "*":
        return True
    if isinstance(value, bool):
        return gold == "true"
    if isinstance(value, int | float):
        # 128K is written for 131,072.
        near = 0.05 if name == "context_length" else 0.005
        try:
            return abs(value - float(gold)) <= near * abs(float(gold))
        except ValueError:
            return False
    if name == "base_model":
        return _words(value.rpartition("/")[2]) == _words(gold.rpartition("/")[2])
    return value.lower() == gold.lower()
