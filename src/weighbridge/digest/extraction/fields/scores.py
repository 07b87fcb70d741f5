"""Scores on benchmarks: which benchmark, which variant of it, and whose score."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise

from ..quantities import Quantity, Unit
from ..scene import Found, Scene

NEEDS_NUMBER = True
STEMS = ""
_ON = re.compile(
    r"\s*(?:%|points?|pass@1|accuracy|score|elo|overall|percent|prozent)?\s*(?:on|in|of|for|at|auf|bei"
    r"|im)?\s*(?:the |its |der |dem )?(?:full |hard |official |challenging )?[\"'*_]*",
)
_OF = re.compile(
    r"[\"'*_)]*(?:\s|[:=(|–—~≈,]|(?:\b(?:score[sd]?|scoring|accuracy|of|at|is|was|with|a|to|an|result[s]?"
    r"|rating|reach(?:es|ed)|hits?|pass@\d+|resolved|rate|benchmark"
    r"|benchmarks|test|performance|it"
    r"|(?:the )?table|shows?|showed|lists?|records?|recorded|posts?|posted|earns?"
    r"|gets|got|achiev(?:es|ed)|from|\d-shot|\(\d-shot\)|by|mit|von)\b)|->|→"
    r"|-(?=\s)|\(\w{1,8}(?:-\w{1,8})?\)){0,12}",
)
_NOT_SCORE_AFTER = re.compile(
    r"\s?-?(?:shots?\b|points?\b(?! on| in)|pp\b|percentage points|x\b|×|times|tokens?|tasks?|questions"
    r"|problems|languages|subjects|days|hours|weeks|months|gpus?|gb|"
    r"range\b|experts?|models?|categories|runs|samples|attempts|params?|parameters?|of the|out of|benchmarks"
    r"|others|bit"
    r"|(?:%|percent)? (?:cheaper|faster|smaller|lower|higher|more|fewer|less|better)|st\b|nd\b|rd\b|th\b)"
)
_NOT_SCORE_BEFORE = re.compile(
    r"(?:#|no\. ?|\b(?:by|top|up|down|gains?(?: of)?|drops?(?: of)?|improv\w+(?: of| by)?|another|additional"
    r"|extra|apache|licen[cs]e|a|an|gap of|within|rank\w*|in|version|since|around the|plus|minus)\s?\+?|\+|[-−]|v)$"
)
_SHOTS = re.compile(
    r"\b(\d{1,2}|zero|few)[- ]shot\b|pass@\d{1,3}|maj@\d{1,3}|cons@\d{1,3}|\bwith(?:out)? tools\b|\bno tools\b"
    r"|\bcot\b|\bwith thinking\b|\bnon-thinking\b|\bself-reported\b"
)
# `(73.8%, +5.8%) on SWE-bench`
_DELTA = re.compile(r"^ ?%?(?:,| or| \() ?[+−-]\d[\d.]* ?(?:%|points|pp)?(?=\))")
# `K2.6 scores 54`
_SCORES = re.compile(r" (?:scores?|scored|gets?|got|reaches|reached|hits?|posts?|posted) ")
_WITH = re.compile(r"\b(?:with|scor\w+|at|reach\w+|hits?) $")
_VERB = re.compile(
    r"\b(?:scor\w+|achiev\w+|hit\w*|reach\w*|get(?:s|ting)?|got|post(?:s|ed)|record\w*|earn\w*|manag\w+|land\w*"
    r"|clock\w*|pull\w*|resolv\w+|notch\w*|report\w*|at|erreicht)\b[^.;]{0,40}$"
)


def find(scene: Scene) -> Iterator[Found]:
    """`benchmark:NAME`, as points of a hundred where it is a percentage."""
    if scene.labelled_benchmark:
        yield from _cell(scene, scene.labelled_benchmark)
        return
    if not scene.benchmarks:
        yield from _inherited(scene, _slashed(scene))
        yield from _resumed(scene)
        return
    paired: list[tuple[Quantity, str]] = []
    taken: set[int] = set()
    scores = [each for each in scene.quantities if _is_score(scene, each)]
    first_is_name = bool(scores) and scene.benchmarks[0][0] < scores[0].start
    for each in scores:
        place = _partner(scene, each, first_is_name=first_is_name)
        if place is not None:
            taken.add(place)
            paired.append((each, scene.benchmarks[place][2]))
    beside = _slashed(scene) if scene.pairs else ()
    yield from _inherited(scene, beside)
    matched = {each.start for each, _ in paired} | {each.start for each in beside}
    for each in scores:
        if each.start not in matched:
            name = _remote(scene, each, paired, taken)
            if name is not None:
                paired.append((each, name))
    if len({name for _, name in paired}) > 1:
        scene.pairs.append(tuple(name for _, name in sorted(paired, key=lambda pair: pair[0].start)))
    firm = {name for each, name in paired if each.bound not in ("at least", "at most")}
    for each, name in paired:
        # `the first above 80 (80.7)`
        if each.bound not in ("at least", "at most") or name not in firm:
            yield _found(scene, each, name)


def _cell(scene: Scene, name: str) -> Iterator[Found]:
    for number, each in enumerate(scene.quantities):
        if number and scene.in_brackets_behind(each.start) is None:
            # `MMLU: Kestrel leads (79.8%), then Tern (74.3%)`: of more than one number, those in names' brackets.
            continue
        if each.unit in (Unit.NONE, Unit.PERCENT) and not each.magnitude and _in_range(each, name):
            yield _found(scene, each, name)


def _in_range(each: Quantity, name: str) -> bool:
    if each.unit is Unit.PERCENT or each.value <= 100:
        return 0 <= each.value <= 100
    return each.value < 5000 and bool(
        re.search(r"elo|arena|codeforces|mt-bench|index|ocrbench|mme|gdpval|vending", name.lower())
    )


def _is_score(scene: Scene, each: Quantity) -> bool:
    if each.unit not in (Unit.NONE, Unit.PERCENT) or each.magnitude or each.currency:
        return False
    at = bisect_right(scene.benchmarks, each.start, key=lambda mark: mark[0]) - 1
    if at >= 0 and each.start < scene.benchmarks[at][1]:
        return False
    if any(told.start <= each.start < told.end for told in scene.dates):
        return False
    if not scene.low[each.number_start].isdigit():
        return False
    points = scene.after(each.end, 7) == " points" and _WITH.search(scene.before(each.start, 12))
    if not points and _NOT_SCORE_AFTER.match(scene.after(each.end, 24)):
        return False
    if _NOT_SCORE_BEFORE.search(scene.before(each.start, 20)):
        return False
    return not scene.is_negated(each.start) and each.value < 5000


def _partner(scene: Scene, each: Quantity, *, first_is_name: bool) -> int | None:
    """The benchmark right beside a score."""
    behind: int | None = None
    ahead: int | None = None
    first = bisect_right(scene.benchmarks, each.start - 120, key=lambda mark: mark[0])
    for number in range(first, len(scene.benchmarks)):
        start, end, name = scene.benchmarks[number]
        if start > each.end + 40:
            break
        if not _in_range(each, name):
            continue
        if end <= each.start and each.start - end < 60 and _OF.fullmatch(scene.low[end : each.start]):
            ahead = number
        elif (
            start >= each.end
            and start - each.end < 40
            and behind is None
            and _ON.fullmatch(_DELTA.sub("", scene.low[each.end : start]).lstrip(")"))
        ):
            behind = number
    if ahead is not None and behind is not None:
        gap = scene.low[each.end : scene.benchmarks[behind][0]]
        return behind if re.search(r"\b(?:on|in|for)\b", gap) or not first_is_name else ahead
    return behind if ahead is None else ahead


def _remote(scene: Scene, each: Quantity, paired: list[tuple[Quantity, str]], taken: set[int]) -> str | None:
    """The benchmark of a score that stands apart: `ahead of B (88.7)`, `scores 71.2, up from 60, on X`."""
    has_point = "." in scene.text[each.number_start : each.end] or each.unit is Unit.PERCENT
    scored = any(_SCORES.fullmatch(scene.low[m.end : each.start]) for m in scene.mentions if m.end <= each.start)
    if scored and len(scene.benchmarks) == 1:
        name = scene.benchmarks[0][2]
        return name if _in_range(each, name) else None
    if not has_point:
        return None
    before = scene.before(each.start, 30)
    compares = re.search(
        r"(?:\(|\bvs\.?|versus|than|against|['’‘]s|\bat|\bwith|/|to|from|for|and)\s*(?:[\w.\- ]{0,24}(?:['’‘]s|\(|at"
        r"|:)?\s*)?$",
        before,
    )
    begin = max((pair[0].end for pair in paired if pair[0].end <= each.start), default=scene.start)
    other = any(begin <= m.start < each.start for m in scene.mentions)
    named = re.match(r"\s?%? (?:for|by|from) ", scene.after(each.end, 8))
    if paired and (compares or named or (other and len({name for _, name in paired}) == 1)):
        name = min(paired, key=lambda pair: abs(pair[0].start - each.start))[1]
        return name if _in_range(each, name) else None
    if _VERB.search(scene.before(each.start, 60)) or compares:
        nearest = min(scene.benchmarks, key=lambda mark: abs(mark[0] - each.start))
        return nearest[2] if _in_range(each, nearest[2]) and abs(nearest[0] - each.start) < 200 else None
    return None


def _slashed(scene: Scene) -> tuple[Quantity, ...]:
    """Two percentages with a bar between them and no benchmark beside them."""
    percents = [each for each in scene.quantities if each.unit is Unit.PERCENT]
    for first, second in pairwise(percents):
        touched = any(start < second.end + 12 and end > first.start - 12 for start, end, _ in scene.benchmarks)
        if scene.low[first.end : second.start].strip() == "/" and not touched:
            return first, second
    return ()


def _inherited(scene: Scene, beside: Sequence[Quantity]) -> Iterator[Found]:
    """`87.6% / 64.3%`: scores side by side, on the benchmarks that the page named side by side before."""
    if scene.pairs and len(scene.pairs[-1]) == 2:
        for each, name in zip(beside, scene.pairs[-1], strict=False):
            yield _found(scene, each, name)


_SAME_TEST = re.compile(r"\b(?:the same|that|this) (?:test|benchmark|eval\w*|suite|measure|set)\b|\bthere\b")
_BRACKETED = re.compile(r"[\])*_]*\s?\(\s?$")


def _resumed(scene: Scene) -> Iterator[Found]:
    """`It loses to GLM-4.6 (83.2)`: a score in a name's bracket, on the benchmark of the sentence before."""
    if not scene.recent_benchmark:
        return
    same = _SAME_TEST.search(scene.words)
    for each in scene.quantities:
        has_point = "." in scene.text[each.number_start : each.end] or each.unit is Unit.PERCENT
        if has_point and _is_score(scene, each) and _in_range(each, scene.recent_benchmark):
            if same:
                yield _found(scene, each, scene.recent_benchmark)
                continue
            held = [m for m in scene.mentions if m.end <= each.start]
            closes = scene.after(each.end, 2).startswith(")")
            if held and closes and _BRACKETED.fullmatch(scene.low[held[-1].end : each.start]):
                yield _found(scene, each, scene.recent_benchmark)


def _found(scene: Scene, each: Quantity, name: str) -> Found:
    qualifiers = [each.bound] if each.bound in ("about", "at least", "at most") else []
    shots = _SHOTS.search(scene.words) or _SHOTS.search(scene.label)
    if shots:
        qualifiers.append(shots[0])
    unit = "percent" if each.value <= 100 else "points"
    return Found(f"benchmark:{name}", each.value, each.start, each.end, unit, tuple(qualifiers))
