"""Scores on benchmarks: which benchmark, which variant of it, and whose score."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise

from ..comparing import objects
from ..mention import Mention
from ..quantities import Quantity, Unit
from ..scene import Found, Scene
from ..score_lists import in_turn, listed, ranked, repeated

NEEDS_NUMBER = True
STEMS = ""
_ON = re.compile(
    r"(?:/100\b)?\s*(?:%|points?|pass@1|accuracy|score|elo|overall|percent|prozent)?"
    r"(?: (?:win |success |pass |solve )?rate)?\s*(?:on|in|of|for|at|auf|bei"
    r"|im)?\s*(?:the |its |der |dem )?(?:full |hard |official |challenging )?[\"'*_]*"
    r"|\s?(?:%|points?|percent)?\s?(?:accuracy |overall )?(?:on|in|for|at) (?:the |a |its )?(?:[a-z][\w-]* ){1,5}"
    r"(?:benchmark|test|suite|eval|evaluation|exam|dataset|leaderboard)s?,? (?:called )?[\"“'*_]*",
)
# `the MMLU score of Tern 5 has increased significantly from 48.1 to 81.2`
_MOVED = re.compile(
    r" (?:score|accuracy|result|rating|performance|pass rate)s? (?:of|for|by) [^,;:()]{2,60}?"
    r"\b(?:from|to|at|of|is|was|reach(?:es|ed)|hits?)\s[~≈]?"
    r"|(?: (?:score|accuracy|result|rating)s?)? (?:has |have |was |is |were )?(?:significantly |further |been )*"
    r"(?:improv\w+|increas\w+|ris\w+|rose|jump\w*|climb\w*|grew|went|drop\w*|fell)(?: \w+)? (?:from|to) "
)
# `up from 53`: of what came before it.
_OLD = re.compile(
    r"\b(?:(?:up|down|grew|jump\w*|improv\w+|r[io]s(?:es?|ing|e)|climb\w*|increas\w+|moved|went|drop\w*|fell|falling)"
    r"(?: \w+){0,2}? from|(?:compared (?:to|with)|versus|vs\.?|against|than) (?:the |its )?(?:previous|prior|earlier"
    r"|old|last)[\w' -]{0,30}?)\s?(?:the |a )?(?:score of )?[~≈(]?$"
)
_OF = re.compile(
    r"[\"'*_)]*(?:\s|[:=(|–—~≈,]|(?:\b(?:score[sd]?|scoring|accuracy|of|at|is|was|with|a|to|an|any|model|result[s]?"
    r"|rating|reach(?:es|ed)|hits?|pass@\d+|resolved|rate|benchmark"
    r"|benchmarks|test|performance|it"
    r"|champion|sota|leader|record|elo|rating|#\d+ \(|rank \d+"
    r"|(?:the )?table|shows?|showed|lists?|records?|recorded|posts?|posted|earns?"
    r"|gets|got|achiev(?:es|ed)|from|\d-shot|\(\d-shot\)|by|mit|von)\b)|->|→"
    r"|-(?=\s)|\(\w{1,8}(?:-\w{1,8})?\)){0,12}",
)
_NOT_SCORE_AFTER = re.compile(
    r"\s?-?(?:shots?\b|points?\b(?! on| in)|pp\b|percentage points|x\b|×|times|tokens?|tasks?|questions"
    r"|problems|languages|subjects|days|hours|weeks|months|gpus?|gb|"
    r"range\b|experts?|models?|categories|runs|samples|attempts|params?|parameters?|of the|out of|benchmarks"
    r"|others|bit"
    r"|(?:%|percent|-?points?)?[ -](?:\w+ )?(?:improvement|increase|gain|boost|lead|drop|reduction|jump|decrease|gap"
    r"|advantage|cut|discount|savings?|margin)\b"
    r"|(?:%|percent)? (?:cheaper|faster|smaller|lower|higher|more|fewer|less|better)|st\b|nd\b|rd\b|th\b)"
)
_NOT_SCORE_BEFORE = re.compile(
    r"(?:#|no\. ?|\b(?:by|top|up|down|gains?(?: of)?|drops?(?: of)?|improv\w+(?: of| by)?|another|additional"
    r"|(?:drops?|dropped|loses|lost|gains?|gained|adds|rises|falls|trails|leads) (?:only|just|about|roughly|by)"
    r"|extra|apache|licen[cs]e|gap of|within|rank\w*|in|version|since|around the|plus|minus)\s?\+?|\+|[-−]|v)$"
)
_ARTICLE = re.compile(r"\ban? $")
_SHOTS = re.compile(
    r"\b(\d{1,2}|zero|few)[- ]shot\b|pass@\d{1,3}|maj@\d{1,3}|cons@\d{1,3}|\bwith(?:out)? tools\b|\bno tools\b"
    r"|\bcot\b|\bwith thinking\b|\bnon-thinking\b|\bself-reported\b"
)
# `(73.8%, +5.8%) on SWE-bench`
_DELTA = re.compile(r"^ ?%?(?:,| or| \() ?[+−-]\d[\d.]* ?(?:%|points|pp)?(?=\))")
_ON_ARENA = re.compile(
    r"\s?(?:points? )?(?:on|in|at) (?:the )?(?:lmsys|lm ?|lmarena|text|chatbot|webdev|vision|[\s'’s]){0,6}arena\b"
)
_LEAST_RATING, _MOST_RATING = 900, 1999
_MOST_TO_NAME = 80
_WHOLES = frozenset({10, 20, 50, 100, 164, 500})
# `the 0.6% SWE-bench gap`, `SWE-bench has plateaued at 80%`
_UNNAMED = re.compile(r"\d ?%? (?:versus|vs\.?|against) (?:only |just )?[~≈]?$")
# `posts 66 vs R1's 44`, `with a composite score of 61`
_FIRM = re.compile(
    r"\bscores? of $|\(\d[\d.]* ?%? (?:vs\.?|versus) ~?$"
    r"|\b(?:vs\.?|versus|than|against|over|beats?|to) [\w .-]{1,24}['’‘]s $"
)
_GAP = re.compile(
    r" (?:gap|lead|margin|difference|gains?|improvement|delta|advantage|jump|drop|trajector(?:y|ies)|tasks?|problems?"
    r"|questions?|agents?|instances?|runs?|issues?|tests?|samples?|prompts?)\b"
)
_PLATEAU = re.compile(r"\b(?:plateau\w*|saturat\w+)")
# `K2.6 scores 54`
_SCORES = re.compile(
    r" +(?:scores?|scored|gets?|got|reaches|reached|hits?|posts?|posted|clocks(?: in at)?|lands at|manages|managed"
    r"|resolve[sd]|solve[sd]|achieve[sd]|follows (?:at|with)|comes in at|came in at) +"
)
# `it reached 75.6 and 81.3 points`, and not `it leads by 4 points`.
_COUNTED = re.compile(
    r"\b(?:with|scor\w+|at|reach\w+|hits?|achiev\w+|gets?|got|posts?|posted|earn\w+|record\w*)"
    r"(?! (?:an? )?(?:lead|gap|gain))(?:(?!\b(?:by|ahead|behind|within|up|down)\b)[^.;]|\.(?=\d)){0,40}$"
)
_VERB = re.compile(
    r"\b(?:scor\w+|achiev\w+|hit\w*|reach\w*|get(?:s|ting)?|got|post(?:s|ed)|record\w*|earn\w*|manag\w+|land\w*"
    r"|clock\w*|pull\w*|resolv\w+|notch\w*|report\w*|at|erreicht)\b[^.;]{0,40}$"
)


_OF_WHOM = re.compile(r"\s?(?:%|points?|percent)? (?:for|on|by|of|from|in|with) (?:the |its )?(?:[a-z]+ ){0,2}")


def find(scene: Scene) -> Iterator[Found]:
    """`benchmark:NAME`, as points of a hundred where it is a percentage."""
    if scene.labelled_benchmark:
        yield from _cell(scene, scene.labelled_benchmark)
        return
    yield from _rated(scene)
    if not scene.benchmarks:
        yield from _inherited(scene, _slashed(scene))
        yield from _resumed(scene)
        return
    scores = [each for each in scene.quantities if _is_score(scene, each)]
    if _PLATEAU.search(scene.words):
        return
    beside = _slashed(scene) if scene.pairs else ()
    yield from _inherited(scene, beside)
    paired = _paired(scene, scores, {each.start for each in beside})
    names = tuple(dict.fromkeys(name for _, name, _ in paired))
    if len(names) > 1:
        scene.pairs.append(names)
    firm = {name for each, name, _ in paired if each.bound not in ("at least", "at most")}
    for each, name, owner in paired:
        # `the first above 80 (80.7)`
        if each.bound in ("at least", "at most") and name in firm:
            continue
        if _is_unnamed(scene, each):
            continue
        is_old = each.low is None and _OLD.search(scene.before(each.start, 60)) is not None
        other = _named_behind(scene, each) if is_old else owner
        if other is not None or not is_old:
            yield _found(scene, each, name, other.name if other else None)


Pair = tuple[Quantity, str, Mention | None]


def _paired(scene: Scene, scores: Sequence[Quantity], known: set[int]) -> list[Pair]:
    """Each score with its benchmark: of lists, of what stands beside it, of what the sentence is about."""
    named = [name for start, _, name in scene.benchmarks if scores and start < scores[0].start]
    turns = in_turn(scene, scores, named) if len(scene.benchmarks) == 1 else []
    if turns and all(_in_range(each, name) for each, name, _ in turns):
        return list(turns)
    paired = listed(scene, scores) or ranked(scene, scores)
    matched = known | {each.start for each, _ in paired}
    first_is_name = bool(scores) and scene.benchmarks[0][0] < scores[0].start
    taken: set[int] = set()
    for each in scores:
        place = None if each.start in matched else _partner(scene, each, first_is_name=first_is_name)
        if place is not None:
            taken.add(place)
            paired.append((each, scene.benchmarks[place][2]))
    paired.sort(key=lambda pair: pair[0].start)
    matched |= {each.start for each, _ in paired}
    names = tuple(dict.fromkeys(name for _, name in paired))
    others = repeated(scene, [each for each in scores if each.start not in matched], names)
    matched |= {each.start for each, _, _ in others}
    for each in scores:
        if each.start not in matched:
            name = _remote(scene, each, paired, taken)
            if name is not None:
                paired.append((each, name))
    found: list[Pair] = [*((each, name, None) for each, name in paired), *others]
    return sorted(found, key=lambda pair: pair[0].start)


def _is_unnamed(scene: Scene, each: Quantity) -> bool:
    """`at 80.0% versus 76.8%`: somebody else's, and nobody tells whose."""
    if not _UNNAMED.search(scene.before(each.start, 24)) or _named_behind(scene, each) is not None:
        return False
    compared = objects(scene)
    return not any(mention.is_specific and number in compared for number, mention in enumerate(scene.mentions))


def _named_behind(scene: Scene, each: Quantity) -> Mention | None:
    """`up from 88.4 on Tern 4`: whose the old score is."""
    following = next((m for m in scene.mentions if m.start >= each.end), None)
    if following is None or not _OF_WHOM.fullmatch(scene.low[each.end : following.start]):
        return None
    return following


def _cell(scene: Scene, name: str) -> Iterator[Found]:
    scores = [each for each in scene.quantities if each.unit in (Unit.NONE, Unit.PERCENT) and not each.magnitude]
    if turns := in_turn(scene, [each for each in scores if _in_range(each, name)], [name]):
        yield from (_found(scene, each, name, owner.name) for each, _, owner in turns)
        return
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
    if any(told.start <= each.start < told.end for told in scene.dates) or not scene.low[each.number_start].isdigit():
        return False
    following = scene.benchmarks[at + 1] if at + 1 < len(scene.benchmarks) else None
    if following and following[0] - each.end < 3 and _GAP.match(scene.low, following[1], scene.end):
        return False
    points = scene.after(each.end, 7) == " points" and (
        _COUNTED.search(scene.before(each.start, 60)) or scene.before(each.start, 1) in ("(", "/")
    )
    if not points and _NOT_SCORE_AFTER.match(scene.after(each.end, 24)):
        return False
    if _NOT_SCORE_BEFORE.search(scene.before(each.start, 20)):
        return False
    if each.value in _WHOLES and scene.before(each.start, 2)[-1:] == "/" and not _has_point(scene, each):
        # `70/100 on SWE-bench`
        return False
    if _ARTICLE.search(scene.before(each.start, 4)) and not _has_point(scene, each):
        return False
    return not scene.is_negated(each.start) and each.value < 5000


def _has_point(scene: Scene, each: Quantity) -> bool:
    return each.unit is Unit.PERCENT or "." in scene.text[each.number_start : each.end]


def _partner(scene: Scene, each: Quantity, *, first_is_name: bool) -> int | None:
    """The benchmark right beside a score."""
    behind: int | None = None
    ahead: int | None = None
    first = bisect_right(scene.benchmarks, each.start - 120, key=lambda mark: mark[0])
    for number in range(first, len(scene.benchmarks)):
        start, end, name = scene.benchmarks[number]
        if start > each.end + _MOST_TO_NAME:
            break
        if not _in_range(each, name):
            continue
        gap = scene.low[end : each.start] if end <= each.start else ""
        if gap and ((len(gap) < 60 and _OF.fullmatch(gap)) or _MOVED.fullmatch(gap)):
            ahead = number
        elif (
            start >= each.end
            and start - each.end < _MOST_TO_NAME
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
    scored = any(_SCORES.fullmatch(scene.low[m.end : each.start]) for m in scene.mentions if m.end <= each.start)
    if scored and len(scene.benchmarks) == 1:
        name = scene.benchmarks[0][2]
        return name if _in_range(each, name) else None
    if not _has_point(scene, each) and not _FIRM.search(scene.before(each.start, 40)):
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
    if _VERB.search(scene.before(each.start, 60)) or compares or before.endswith("score of "):
        told = [mark for mark in scene.benchmarks if mark[1] <= each.start] if before.endswith("score of ") else []
        nearest = told[-1] if told else min(scene.benchmarks, key=lambda mark: abs(mark[0] - each.start))
        return nearest[2] if _in_range(each, nearest[2]) and abs(nearest[0] - each.start) < 200 else None
    return None


def _rated(scene: Scene) -> Iterator[Found]:
    """`scoring 1130 on the LMSYS Chatbot Arena`: a rating, by its size."""
    if "arena" not in scene.words:
        return
    for each in scene.quantities:
        if each.unit is Unit.NONE and not each.magnitude and _LEAST_RATING <= each.value <= _MOST_RATING:
            found = _ON_ARENA.match(scene.after(each.end, 60))
            if found:
                yield _found(scene, each, "WebDev Arena Elo" if "webdev" in found[0] else "Arena Elo")


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


_BARE = re.compile(r"(?: \([^()]{1,30}\))?[*_]{0,2}\s?[:—–-][*_]{0,2}\s?~?\d[\d.]*\s?%?\W*")
_SAME_TEST = re.compile(r"\b(?:the same|that|this) (?:test|benchmark|eval\w*|suite|measure|set)\b|\bthere\b")
_BRACKETED = re.compile(r"[\])*_]*\s?\(\s?$")


def _resumed(scene: Scene) -> Iterator[Found]:
    """`It loses to GLM-4.6 (83.2)`: a score in a name's bracket, on the benchmark of the sentence before."""
    if not scene.recent_benchmark:
        return
    same = _SAME_TEST.search(scene.words)
    for each in scene.quantities:
        if _has_point(scene, each) and _is_score(scene, each) and _in_range(each, scene.recent_benchmark):
            if same:
                yield _found(scene, each, scene.recent_benchmark)
                continue
            held = [m for m in scene.mentions if m.end <= each.start]
            if held and _SCORES.fullmatch(scene.low[held[-1].end : each.start]):
                # `R1 gets 87.5% there; V3.1 hits 88.4 with fewer tokens.`
                yield _found(scene, each, scene.recent_benchmark)
                continue
            if held and _BARE.fullmatch(scene.low[held[-1].end : scene.end]):
                # `- Tern 5: 89%`, below an item that names the benchmark.
                yield _found(scene, each, scene.recent_benchmark)
                continue
            closes = scene.after(each.end, 2).startswith(")")
            if held and closes and _BRACKETED.fullmatch(scene.low[held[-1].end : each.start]):
                yield _found(scene, each, scene.recent_benchmark)


def _found(scene: Scene, each: Quantity, name: str, subject: str | None = None) -> Found:
    qualifiers = [each.bound] if each.bound in ("about", "at least", "at most") else []
    shots = _SHOTS.search(scene.words) or _SHOTS.search(scene.label)
    if shots:
        qualifiers.append(shots[0])
    unit = "percent" if each.value <= 100 else "points"
    return Found(f"benchmark:{name}", each.value, each.start, each.end, unit, tuple(qualifiers), subject)
