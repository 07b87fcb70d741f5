"""`rule_claims()`: what a page says of rules that bear on models: the EU's AI Act, the Open Source AI Definition,
leaderboards that were closed, versions of engines. Their field is `rule:NAME`, their subject the rule's own name.

Each is a pattern of the language that such statements are made in; what holds is read from recorded rules
(`checks/rules.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from .claim import Claim
from .page import Page

AI_ACT, OPEN_SOURCE_AI = "EU AI Act", "Open Source AI Definition"
_MOST_CHARACTERS = 1_000_000
_MOST_QUOTE = 320
_NEAR = 700

_ACT = re.compile(r"\bAI Act\b|\bGPAI\b|general-purpose AI", re.IGNORECASE)
_SIZE = r"(?P<number>\d{1,4}(?:\.\d+)?)\s?(?P<unit>b|billion|m|million|t|trillion)\b[\s-]*(?:params?|parameters?)?"
_THRESHOLD = re.compile(
    r"\b(?:models?|systems?|those|weights)\b[^.;|]{0,40}?\b(?P<side>under|below|less than|fewer than|smaller than|up to"
    rf"|above|over|more than|exceeding|larger than)\s(?:the )?{_SIZE}[^.;|]{{0,160}}?"
    r"\b(?:exempt\w*|lighter|obligation|compliance|must|required?|threshold|fall)\b"
    r"|\bunder the (?P<number2>\d{1,4})(?P<unit2>B|M|T) threshold",
    re.IGNORECASE,
)
_EXEMPT = re.compile(
    r"\bexempt(?:ed|ion)?\b[^.;]{0,160}?\b(?:including|also|incl\.|as well as|and)\b[^.;]{0,40}?"
    r"(?P<what>training[- ]data (?:transparency|summar\w+|disclosure)|copyright polic\w+"
    r"|summary of (?:the )?training (?:data|content))",
    re.IGNORECASE,
)
_CARDS = re.compile(
    r"\babove\b[^.;]{0,120}?\bopen[- ]source\b[^.;]{0,80}?\bmust (?:provide|publish|supply)\b[^.;]{0,20}?"
    r"(?P<what>model cards?|technical documentation|documentation)",
    re.IGNORECASE,
)
_DEFINITION = re.compile(
    r"\bopen[- ]source\b[^.]{0,60}?\b(?:OSI|Open Source Initiative|OSAID)\b[^.]{0,30}?"
    r"\brequires? (?P<what>both|(?:the )?(?:full )?training data)",
    re.IGNORECASE,
)
_BOARD = re.compile(r"(?P<board>(?:hugging ?face |hf )?open llm leaderboard)", re.IGNORECASE)
_PLACED = re.compile(r"\b(?:joins?|tops?|top tier|ranks?|ranked|climbs?|leads?|#\d+|first|enters?)\b", re.IGNORECASE)
_VERSION = re.compile(
    r"\b(?P<tool>vLLM|SGLang|TensorRT-LLM|Transformers)\s(?P<version>v?\d{1,2}\.\d{1,3}(?:\.\d{1,3})?)"
    r"\s(?P<what>release|launch|is (?:due|coming|expected)|will)"
)
_COMING = re.compile(r"expected|due|will|\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\w* \d{1,2}\+|soon|next")
# A log's entry begins with its day.
_LEAD_DAY = re.compile(r"\A\W{0,6}(20\d\d-\d\d-\d\d)")
# The end of a sentence, of a line, or of a table's row on a line with others.
_SENTENCE_END = re.compile(r"[.!?](?=\s)|\n|\| (?=\|)")


class _Found(NamedTuple):
    subject: str
    field: str
    value: float | str
    unit: str
    match: re.Match[str]
    qualifier: str = ""


def rule_claims(page: Page, told: str | None = None) -> tuple[Claim, ...]:
    """What the page says of rules, in the order of its words. `told`: the day as of which it speaks, where the page
    does not tell one."""
    text = page.text[:_MOST_CHARACTERS]
    found = []
    for each in (*_of_law(text), *_of_definition(text), *_of_boards(text), *_of_tools(text)):
        start, end = _sentence(text, each.match)
        line = text[text.rfind("\n", 0, start) + 1 : end]
        day = next((match[1] for match in _LEAD_DAY.finditer(line)), told)
        found.append(
            Claim(
                each.subject, each.field, each.value, text[start:end], start, end, each.unit, each.qualifier,
                page.address, day, page.published, page.fetched,
            )
        )  # fmt: skip
    return tuple(sorted(found, key=lambda claim: (claim.start, claim.field)))


def _of_law(text: str) -> Iterator[_Found]:
    places = [match.start() for match in _ACT.finditer(text)]

    def is_near(match: re.Match[str]) -> bool:
        return any(-_NEAR < match.start() - place < 2 * _NEAR for place in places)

    if not places:
        return
    for match in _THRESHOLD.finditer(text):
        number, unit = match["number"] or match["number2"], (match["unit"] or match["unit2"]).lower()
        scale = {"m": 1e6, "b": 1e9, "t": 1e12}[unit[0]]
        if is_near(match):
            side = match["side"] or "under"
            yield _Found(AI_ACT, "rule:threshold", float(number) * scale, "parameters", match, side.lower())
    for match in _EXEMPT.finditer(text):
        if is_near(match):
            yield _Found(AI_ACT, "rule:exemption", match["what"].lower(), "", match)
    for match in _CARDS.finditer(text):
        if is_near(match):
            yield _Found(AI_ACT, "rule:documentation", match["what"].lower(), "", match, "open source")


def _of_definition(text: str) -> Iterator[_Found]:
    for match in _DEFINITION.finditer(text):
        before = text[max(0, match.start() - 260) : match.start()].lower()
        what = match["what"].lower()
        if "training data" in what or ("both" in what and "training data" in before):
            yield _Found(OPEN_SOURCE_AI, "rule:requirement", "training data", "", match)


def _of_boards(text: str) -> Iterator[_Found]:
    for match in _BOARD.finditer(text):
        start, end = _sentence(text, match)
        if _PLACED.search(text[start:end]):
            yield _Found("Open LLM Leaderboard", "rule:leaderboard", "active", "", match)


def _of_tools(text: str) -> Iterator[_Found]:
    for match in _VERSION.finditer(text):
        line = text[text.rfind("\n", 0, match.start()) + 1 : match.end() + 120].partition("\n")[0]
        if _COMING.search(line.lower()):
            version = match["version"].lstrip("v")
            yield _Found(f"{match['tool']} {version}", "rule:version", "expected", "", match, "expected")


def _sentence(text: str, match: re.Match[str]) -> tuple[int, int]:
    """The sentence, or the line, that holds a match; cut where it is long."""
    start = max(
        [0, *(end.end() for end in _SENTENCE_END.finditer(text, max(0, match.start() - _MOST_QUOTE), match.start()))]
    )
    start = max(start, match.start() - _MOST_QUOTE // 2)
    after = _SENTENCE_END.search(text, match.end(), match.end() + _MOST_QUOTE)
    end = min(after.start() + 1 if after else len(text), max(match.end(), start + _MOST_QUOTE))
    while start < end and text[start].isspace():
        start += 1
    return start, end
