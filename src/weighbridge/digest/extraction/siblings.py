"""Names known by their place: headings and list items among others that name models, cells of a column of models.

`### Lynx`, between `### Qwen-7B` and `### LeoLM`, is a model too; so is `Nomic Embed` under `Best model`. Nothing is
taken where fewer than half of its neighbours are known.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from .labels import is_section
from .lexicon import MAKERS, NO_MODELS, SUFFIXES, families, makers
from .words import SIZE

_ENTRY = re.compile(
    r"^[ \t]{0,8}(?P<mark>#{1,6}|[-*+•]|\d{1,3}[.)])[ \t]+(?:\[[ xX]\][ \t]+)?(?P<open>\*\*|\[\[?)?"
    r"(?P<name>[A-Za-z][^\n:(*\[\]|—–]{1,44}?)(?P<close>\*\*|\]\]?)?(?=[ \t]*$|[ \t]?[:(]|[ \t][—–-][ \t])",
    re.MULTILINE,
)
NAME = re.compile(r"[A-Z][\w.+-]{1,30}(?: (?:[A-Z][\w.+-]{0,30}|\d[\w.]{0,8})){0,3}")
_CELL_NAME = re.compile(r"[A-Za-z][\w.+-]{1,40}(?: [A-Z\d][\w.+-]{0,30}){0,4}")
_MODELS = re.compile(
    r"(?:best |top |base |recommended |suggested |local |open |ai |language |llm |vlm )*(?:models?|llms?)(?: names?"
    r"| family)?"
)
_RULE = re.compile(r"(?=[^-]*--)[ \t|:-]+")
_ASIDE = re.compile(r"\s*\([^()]{0,60}\)$")
_STEM = re.compile(r"[a-z+.]{2,}?(?=[\d\s.-]|$)")
_GENERIC = frozenset(
    "any other others your our same various none average baseline human overall total mean model models small "
    "medium large "
    "dense moe llm llms cloud local hosted custom specs best worst default proprietary open closed mine ours random "
    "budget free paid new old vs api apis gpu cpu mixture hybrid sparse developer description parameters strengths "
    "weaknesses".split()
)
# What a section tells of a model.
_ASPECTS = frozenset(
    "model models capabilities benefits features improvements highlights availability limitations results impact "
    "upgrades advantages requirements details rumored rumoured specs specifications".split()
)
# What else a list among models' names may tell of.
_OTHER_THING = re.compile(
    r"(?i)\b(?:frameworks?|movement|toolkits?|librar(?:y|ies)|tools?|engines?|editors?|plugins?|papers?|datasets?"
    r"|benchmarks?|apps?"
    r"|platforms?|protocols?|methods?|techniques?|algorithms?|courses?|compan(?:y|ies)|startups?|labs?|services?"
    r"|hackathon"
    r"|agents?|api|apis|glasses|hardware|chips?|gpus?)\b"
)
_MODEL = re.compile(r"(?i)\b(?:models?|llms?|vlms?|\d+(?:\.\d+)?b)\b")
_FARTHEST = 900
_MOST_ENTRIES = 600
_MOST_ROWS = 400


def siblings(text: str, plain: Collection[str]) -> set[str]:
    """Names that head an entry among entries of known models. `plain`: words that the page has in small letters."""
    groups: dict[tuple[str, int], list[str]] = {}
    others: set[str] = set()
    run = last = 0
    for number, match in enumerate(_ENTRY.finditer(text)):
        if number >= _MOST_ENTRIES:
            break
        mark = match["mark"] if match["mark"][0] == "#" else "-"
        if mark != "-" or match.start() - last > _FARTHEST:
            run += 1
        last = match.end()
        name = match["name"].strip()
        groups.setdefault((mark, 0 if mark != "-" else run), []).append(name)
        line = text[match.end() : match.end() + 80].partition("\n")[0]
        if _OTHER_THING.search(line) and not _MODEL.search(line):
            others.add(name)
    found: set[str] = set()
    for (mark, _), names in groups.items():
        known = sum(map(_is_known, names))
        # A list's items are more often of several kinds than headings of one level.
        if known >= 2 and known * (2.0 if mark != "-" else 1.5) >= len(names):
            found.update(name for name in names if _may_be(name, () if _is_known(name) else plain))
    # A known family's name with a number needs no neighbours.
    return {name for name in found - others if name.isalpha() or not _is_known(name)}


def columns(text: str, plain: Collection[str]) -> Iterator[str]:
    """Names by their form in cells of columns headed `Model`, those that need no neighbours left out."""
    if "|" not in text:
        return
    lines: list[tuple[int, int]] = []
    at = 0
    for line in text.split("\n"):
        lines.append((at, at + len(line)))
        at += len(line) + 1
    number = 0
    while number + 1 < len(lines):
        head = text[slice(*lines[number])]
        if "|" not in head or not _RULE.fullmatch(text[slice(*lines[number + 1])]):
            number += 1
            continue
        column = next(
            (at for at, cell in enumerate(_cells(head)) if _MODELS.fullmatch(cell.strip(" *_`").lower())), None
        )
        number += 2
        rows = 0
        while number < len(lines) and "|" in text[slice(*lines[number])] and rows < _MOST_ROWS:
            if column is not None:
                yield from _named(text[slice(*lines[number])], column, plain)
            number, rows = number + 1, rows + 1


def _cells(line: str) -> list[str]:
    return line.strip().strip("|").split("|")


def _named(row: str, column: int, plain: Collection[str]) -> Iterator[str]:
    cells = _cells(row)
    name = _ASIDE.sub("", cells[column].strip(" *_`[]")) if column < len(cells) else ""
    is_new = bool(name) and (name.isalpha() or not _is_known(name))
    if is_new and _CELL_NAME.fullmatch(name) and (name[0].isupper() or "-" in name) and _may_be(name, plain):
        yield name


def _is_known(name: str) -> bool:
    """Whether a name is of a known family, or tells a size."""
    words = name.lower().replace("-", " ").split()
    stems = [match[0] for word in words[:3] if (match := _STEM.match(word))]
    return any(stem in families() for stem in stems) or any(
        SIZE.match(word) and word[-1] in "bB" for word in re.split(r"[ -]", name)
    )


def _may_be(name: str, plain: Collection[str]) -> bool:
    """Whether an unknown name may be a model's by its form: no maker's, no section's, no everyday word."""
    low = name.lower()
    words = low.split()
    if is_section(low) or low in makers() or words[0] in _GENERIC or words[-1] in _ASPECTS:
        return False
    if any(word in NO_MODELS for word in words) or all(word in SUFFIXES | MAKERS for word in words):
        return False
    return not (len(words) == 1 and (low in plain or len(low) < 3)) and not all(word in plain for word in words)
