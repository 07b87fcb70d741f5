"""Scores in lists: `88.5, 92.1 and 71 on A, B and C`, `on A and B it reached 75.6 and 81.3`, `(75.7/80.7)`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .mention import Mention
from .quantities import Quantity
from .scene import Scene

Mark = tuple[int, int, str]

_BETWEEN_SCORES = re.compile(r"\s?(?:%|points?|percent)?[\s*_`]*(?:,|/|&|\||,? (?:and|und|then))[\s*_`]*")
_BETWEEN_NAMES = re.compile(
    r"[\"'”*_`]*(?: \([^()]{1,40}\))?[\"'”*_`]*\s?(?:,|/|&|\+|\||,? (?:and|und|as well as))[\s\"“'*_`]*"
    r"(?:the |its |on )?"
)
# `points on the text reasoning benchmarks`
_SCORES_FIRST = re.compile(
    r"\s?(?:%|points?|percent|accuracy|scores?|,? respectively,?)*[\s,]*(?:on|in|for|at|across|auf|bei)\s"
    r"(?:both |the |its )?(?:[\w-]+ ){0,5}?(?:such as |like )?[\"“'*_`]*"
)
_OWNED = re.compile(
    r"[\s*_`]*(?:\((?:at |with )?|with |at |['’]s |: ?|, which (?:scores|gets|has) "
    r"|scor\w+ |gets |got |manage[sd] |reache[sd] |post(?:s|ed) |hits |achieve[sd] )[\s*_`]*"
)
_BEHIND_NAME = re.compile(r"[\s*_`]*(?:\(|at |with |: ?|= ?|[—–-] )?[\s*_`~≈]*")
_BETWEEN_OWNED = re.compile(
    r"\s?(?:%|points?)?\)?[\s*_`]*(?:[,;/|·>]|,? (?:and|then|und)|,? followed by)[\s*_`]*(?:the )?"
)
# What parts them: `on A and B it is better than C by 3.1 and 4.2`.
_APART = re.compile(r"[;!?]|\.\s|\b(?:compared|versus|vs|than|from|by|over|gains?|improv\w+)\b")
_MOST_BETWEEN = 90
_MOST_BETWEEN_IF_RESPECTIVE = 200
_RESPECTIVELY = re.compile(r"\brespectively\b|\bbzw\b|\bjeweils\b")


def listed(scene: Scene, scores: Sequence[Quantity]) -> list[tuple[Quantity, str]]:
    """Scores of a list with the benchmarks of a list that is as long, in their order."""
    if len(scores) < 2 or len(scene.benchmarks) < 2:
        return []
    found: list[tuple[Quantity, str]] = []
    rows = _rows(scene, scores)
    for names in _lists_of_names(scene):
        for row in rows:
            if len(row) == len(names) > 1 and _belong(scene, row, names):
                found += [(each, name) for each, (_, _, name) in zip(row, names, strict=True)]
                rows.remove(row)
                break
    return found


def repeated(scene: Scene, scores: Sequence[Quantity], names: Sequence[str]) -> list[tuple[Quantity, str, Mention]]:
    """`surpassing Tern 5 (75.7/80.7)`, `ahead of Tern 5 with 75.7 and 80.7`: another's scores on the benchmarks that
    were named before."""
    found: list[tuple[Quantity, str, Mention]] = []
    for row in _rows(scene, scores) if len(names) > 1 else ():
        owner = next((each for each in reversed(scene.mentions) if each.end <= row[0].start), None)
        if len(row) == len(names) and owner and _OWNED.fullmatch(scene.low[owner.end : row[0].start]):
            found += [(each, name, owner) for each, name in zip(row, names, strict=True)]
    return found


def ranked(scene: Scene, scores: Sequence[Quantity]) -> list[tuple[Quantity, str]]:
    """`on the index lead Tern 5 (57), Wren 6 (54) and Lark 7 (53)`: whole numbers, each alone in a name's bracket."""
    if len({name for _, _, name in scene.benchmarks}) != 1 or len(scores) < 2:
        return []
    ends = {mention.end for mention in scene.mentions}
    alone = [
        each
        for each in scores
        if scene.after(each.end, 1) == ")"
        and scene.before(each.start, 1) == "("
        and (each.start - 1 in ends or each.start - 2 in ends)
    ]
    return [(each, scene.benchmarks[0][2]) for each in alone] if len(alone) > 1 else []


def in_turn(scene: Scene, scores: Sequence[Quantity], names: Sequence[str]) -> list[tuple[Quantity, str, Mention]]:
    """`MMLU-Pro: Tern 5 82.8, Wren 6 76.1`: the names of a list on one benchmark, each with its score right behind it;
    none where a score of the list has no name of its own."""
    if len(names) != 1:
        return []
    found: list[tuple[Quantity, str, Mention]] = []
    for each in scores:
        owner = next((mention for mention in reversed(scene.mentions) if mention.end <= each.start), None)
        if owner is None or not _BEHIND_NAME.fullmatch(scene.low[owner.end : each.start]):
            return []
        if found and not _BETWEEN_OWNED.fullmatch(scene.low[found[-1][0].end : owner.start]):
            return []
        found.append((each, names[0], owner))
    return found if len(found) > 1 else []


def _rows(scene: Scene, scores: Sequence[Quantity]) -> list[list[Quantity]]:
    """The scores that stand side by side."""
    rows: list[list[Quantity]] = []
    for each in scores:
        if rows and _BETWEEN_SCORES.fullmatch(scene.low[rows[-1][-1].end : each.start]):
            rows[-1].append(each)
        else:
            rows.append([each])
    return [row for row in rows if len(row) > 1]


def _lists_of_names(scene: Scene) -> list[list[Mark]]:
    lists: list[list[Mark]] = []
    for mark in scene.benchmarks:
        if lists and _BETWEEN_NAMES.fullmatch(scene.low[lists[-1][-1][1] : mark[0]]):
            lists[-1].append(mark)
        else:
            lists.append([mark])
    return [each for each in lists if len(each) > 1]


def _belong(scene: Scene, row: Sequence[Quantity], names: Sequence[Mark]) -> bool:
    """Whether words join a list of scores and one of benchmarks."""
    if row[-1].end <= names[0][0]:
        return _SCORES_FIRST.fullmatch(scene.low[row[-1].end : names[0][0]]) is not None
    if names[-1][1] > row[0].start:
        return False
    gap = scene.low[names[-1][1] : row[0].start]
    is_respective = _RESPECTIVELY.search(scene.after(row[-1].end, 40)) is not None
    most = _MOST_BETWEEN_IF_RESPECTIVE if is_respective else _MOST_BETWEEN
    return len(gap) <= most and _APART.search(gap) is None
