"""Benchmarks and leaderboards by name, with the variant that a score belongs to: MMLU is not MMLU-Pro."""

from __future__ import annotations

import functools
import re
from bisect import bisect_right
from collections.abc import Iterator

from .alternation import any_of
from .lexicon import NO_MODELS, families, makers
from .quantities import lowered

_NAMES = (
    "MMLU",
    "HELM",
    "KMMLU",
    "TMMLU",
    "JMMLU",
    "MMMLU",
    "MMMU",
    "CMMLU",
    "GPQA",
    "SuperGPQA",
    "HumanEval",
    "MBPP",
    "MATH",
    "MATH-500",
    "GSM8K",
    "MGSM",
    "AIME",
    "HMMT",
    "AMC",
    "LiveCodeBench",
    "LiveBench",
    "SWE-bench",
    "Multi-SWE-bench",
    "SWE-Lancer",
    "Terminal-Bench",
    "BBH",
    "BIG-Bench Hard",
    "HellaSwag",
    "ARC-AGI",
    "ARC-Challenge",
    "ARC-C",
    "ARC-E",
    "IFEval",
    "IFBench",
    "MT-Bench",
    "Arena-Hard",
    "AlpacaEval",
    "BFCL",
    "τ-bench",
    "τ²-bench",
    "tau-bench",
    "tau2-bench",
    "BrowseComp",
    "Humanity's Last Exam",
    "HLE",
    "SimpleQA",
    "MathVista",
    "MathVision",
    "DocVQA",
    "ChartQA",
    "TextVQA",
    "OCRBench",
    "RULER",
    "LongBench",
    "TruthfulQA",
    "WinoGrande",
    "PIQA",
    "OpenBookQA",
    "DROP",
    "TriviaQA",
    "NaturalQuestions",
    "CommonsenseQA",
    "BoolQ",
    "AGIEval",
    "C-Eval",
    "Codeforces",
    "OSWorld",
    "WebArena",
    "WebVoyager",
    "GAIA",
    "FrontierMath",
    "Aider Polyglot",
    "Aider",
    "CRUXEval",
    "BigCodeBench",
    "EvalPlus",
    "MTEB",
    "MMTEB",
    "BEIR",
    "NIAH",
    "ZeroBench",
    "Multi-IF",
    "MultiPL-E",
    "ScreenSpot",
    "VideoMME",
    "Video-MME",
    "RealWorldQA",
    "AI2D",
    "VQAv2",
    "ToolBench",
    "Toolathlon",
    "MCP-Atlas",
    "MCP-Mark",
    "GDPval",
    "CyberGym",
    "Cybench",
    "FACTS",
    "HealthBench",
    "MedQA",
    "PubMedQA",
    "SciCode",
    "HELMET",
    "MRCR",
    "EQ-Bench",
    "ERQA",
    "OlympiadBench",
    "Omni-MATH",
    "USAMO",
    "IMO",
    "CNMO",
    "LMArena Elo",
    "Arena Elo",
    "WMT",
    "FLORES",
    "LibriSpeech",
    "ImageNet",
    "COCO",
    "Artificial Analysis Intelligence Index",
    "AA Intelligence Index",
    "AA Index",
    "AAII",
    "Intelligence Index",
    "AA-LCR",
    "Vending-Bench",
    "FinSearchComp",
    *"""
    MMStar MMVet MM-Vet MathVerse WeMath LogicVista HallusionBench POPE InfoVQA VQAv2 CharXiv BLINK MVBench MLVU LVBench
    EgoSchema CMMMU CSimpleQA MultiChallenge INCLUDE POLYMATH PolyMATH ACEBench OJBench LCB BrowseComp-ZH WideSearch
    Seal-0 FRAMES MCP-Universe PaperBench MLE-Bench AA-Omniscience GSO OmniDocBench AndroidWorld BRUMO AMO-Bench
    IMO-AnswerBench BIRD-SQL DS-1000 RepoBench LAMBADA PopQA MuSR TheoremQA XSTest CyberSecEval MMLU-ProX SuperGLUE
    CoQA StrategyQA HotpotQA MGSM-ja JMT-Bench GPQA-D LiveCodeBench-v6 ClawEval SkillsBench CursorBench WMT24++ WMT25
    MMBench MME MMMU-Pro TextVQA MM-MT-Bench SciQ QuAC ANLI XCOPA XNLI XStoryCloze Belebele FLORES-200 CoVoST2
    MMAU AIR-Bench MedMCQA LegalBench FinanceBench OpenCompass StrongREJECT HarmBench SEED-Bench RewardBench JudgeBench
    """.split(),
)
_VARIANTS = (
    "pro verified lite multilingual multimodal diamond redux plus hard challenge easy full live extended "
    "instruct v1 v2 v3 v4 v5 v6 "
    "2.0 2.1 3.0 1.0 2 3 23 24 25 26 2023 2024 2025 2026 '24 '25 '26 ’24 ’25 ’26 500 1 i ii retail airline "
    "telecom zh en text-only public"
).split()
_LEADERBOARDS = {
    "lmarena": "Arena",
    "lmsys": "Arena",
    "chatbot arena": "Arena",
    "lmsys chatbot arena": "Arena",
    "arena ai": "Arena",
    "text arena": "Arena",
    "aa": "Artificial Analysis",
    "aa index": "Artificial Analysis",
    "lmsys arena": "Arena",
    "lm arena": "Arena",
    "arena": "Arena",
    "webdev arena": "WebDev Arena",
    "vision arena": "Vision Arena",
    "code arena": "Code Arena",
    "open llm leaderboard": "Open LLM Leaderboard",
    "artificial analysis": "Artificial Analysis",
    "artificial analysis intelligence index": "Artificial Analysis",
    "openrouter": "OpenRouter",
    "trending": "Hugging Face trending",
    "bigcode leaderboard": "BigCode Leaderboard",
    "huggingface trending": "Hugging Face trending",
    "hugging face trending": "Hugging Face trending",
    "livebench": "LiveBench",
    "mteb": "MTEB",
    "aider leaderboard": "Aider",
    "design arena": "Design Arena",
    "video arena": "Video Arena",
    "bfcl": "BFCL",
}


def _fold(name: str) -> str:
    return re.sub(r"[\s\-_'’.]", "", name.lower()).replace("tau", "τ").replace("²", "2")


def _pattern(name: str) -> str:
    return re.sub(r"(?:\\-|\\ |-| )", r"[-\\s_]?", re.escape(name))


def _beginnings(name: str) -> Iterator[str]:
    """The first word of a name, in lower case, or where that is short all of it, however its words are joined."""
    parts = re.split(r"[-\s_]", name.lower())
    if len(parts[0]) > 3 or len(parts) == 1:
        yield parts[0]
    else:
        yield from (sign.join(parts) for sign in ("-", " ", "_", ""))


_CANON = {_fold(name): name for name in _NAMES} | {
    "τ2bench": "τ²-bench",
    "τbench": "τ-bench",
    "τ2": "τ²-bench",
    "swebench": "SWE-bench",
    "humanityslastexam": "Humanity's Last Exam",
    "hle": "Humanity's Last Exam",
    "arcc": "ARC-Challenge",
    "aaintelligenceindex": "Artificial Analysis Intelligence Index",
    "intelligenceindex": "Artificial Analysis Intelligence Index",
    "gpqad": "GPQA Diamond",
    "lcb": "LiveCodeBench",
    "aaindex": "Artificial Analysis Intelligence Index",
    "aaii": "Artificial Analysis Intelligence Index",
    "arenaelo": "Arena Elo",
    "lmarenaelo": "Arena Elo",
    "math500": "MATH-500",
    "videomme": "Video-MME",
    "bigbenchhard": "BBH",
}
_VARIANT = "|".join(re.escape(word) for word in sorted(_VARIANTS, key=len, reverse=True))
_WHERE = re.compile(
    r"(?<![\w.-])(?:(?P<known>"
    + "|".join(_pattern(name) for name in sorted(_NAMES, key=len, reverse=True))
    + r")(?P<plus>\+)?(?P<variant>(?:[\s\-_(]{1,2}(?:"
    + _VARIANT
    + r")(?![\w%]|\.\d)|(?:['’]|(?<=aime|hmmt))(?:20)?2[3-6](?!\w))*)"
    r"|(?P<form>[A-Z][A-Za-z0-9τ²]{1,30}(?:-[A-Z][A-Za-z0-9]{1,20}){0,2}?-?(?:Bench|bench|Eval|QA"
    r"|Arena)(?P<formplus>\+)?(?:[- ](?:Pro|Hard|Verified|Lite|Plus|v\d)(?!\w))?))(?![\w])",
    re.IGNORECASE,
)
_FORM = re.compile(r"[A-Z]")
# Where one may be, by the first signs of a name or the last of a form, so that the grammar above is tried there only.
_HINT = re.compile(
    rf"\b(?:{any_of(begin for name in _NAMES for begin in _beginnings(name))})|bench\b|bench-|eval\b|eval\+|qa\b"
)
# With the hyphen gone these are words.
_HYPHENED = frozenset({"MultiPL-E", "ARC-E", "ARC-C"})
_WORDS = frozenset(
    "drop facts math arena gaia ruler aime amc imo hle aider piqa coco helmet helm pope include blink frames mme gso "
    "polymath".split()
)
# `the perception benchmark MMStar`, `the CharXiv benchmark`: a name by its form, of capitals inside a word.
_TOLD_BEHIND = re.compile(
    r"benchmarks? (?:called |named )?(?P<name>[A-Z][a-z]*[A-Z0-9][\w+]*(?:-[A-Z0-9]\w*)?)(?![\w-])"
)
_TOLD_BEFORE = re.compile(r"(?<![\w-])(?P<name>[A-Z]\w*[a-z]\w*[A-Z]\w*\+{0,2}) $")
_MOST_NAME = 40
_RATING = re.compile(r"(?:Elo|ELO)(?: (?:rating|score))?\b")
_BOARD = re.compile(
    r"\b(?:(?P<named>"
    + "|".join(re.escape(name) for name in sorted(_LEADERBOARDS, key=len, reverse=True))
    + r")|hugging ?face(?:['’‘]s)? trending(?: models| list| page)?)\b"
)
_BOARD_FORM = re.compile(r"(?P<form>(?:[\w.-]{2,24} ){1,3}?)(?P<kind>leaderboard|rankings?|index|arena)\b")


def scores_of(text: str, start: int, end: int) -> Iterator[tuple[int, int, str]]:
    """The benchmarks named in a stretch: place, and name with variant (`SWE-bench Pro`, `MMLU-Pro`, `AIME 2025`)."""
    found = list(_known(text, start, end))
    if text.find("Elo", start, end) >= 0 or text.find("ELO", start, end) >= 0:
        found = _with_ratings(text, found, start, end)
    starts = [mark[0] for mark in found]
    for first, last, name in _told(text, start, end):
        at = bisect_right(starts, first)
        is_free = (not at or found[at - 1][1] <= first) and (at == len(found) or last <= found[at][0])
        if is_free and not _is_model(name):
            found.insert(at, (first, last, name))
            starts.insert(at, first)
    yield from found


def _told(text: str, start: int, end: int) -> Iterator[tuple[int, int, str]]:
    """The names that stand beside the word `benchmark`."""
    at = text.find("benchmark", start, end)
    while at >= 0:
        found = _TOLD_BEHIND.match(text, at, end)
        if found is None:
            head = max(start, at - _MOST_NAME)
            before = _TOLD_BEFORE.search(text[head:at])
            if before is not None:
                yield head + before.start("name"), head + before.end("name"), before["name"]
        else:
            yield *found.span("name"), found["name"]
        at = text.find("benchmark", at + 9, end)


def _with_ratings(text: str, found: list[tuple[int, int, str]], start: int, end: int) -> list[tuple[int, int, str]]:
    """`1338 Elo on LMArena`: a rating of the arena that the page speaks of."""
    name = "Arena Elo" if "arena" in lowered(text) else "Elo"
    ends = {mark[1] for mark in found}
    more = [
        (match.start(), match.end(), name)
        for match in _RATING.finditer(text, start, end)
        if match.end() not in ends
        and match.start() - 1 not in ends
        and not text[match.start() - 1 : match.start()].isalnum()
    ]
    return sorted([*found, *more])


def _is_model(name: str) -> bool:
    word = re.match(r"[a-z.]*", name.lower())
    return bool(word) and (word[0] in families() or word[0] in makers() or word[0] in NO_MODELS)  # type: ignore[index]


def _known(text: str, start: int, end: int) -> Iterator[tuple[int, int, str]]:
    past = start
    for hint in _HINT.finditer(lowered(text), start, end):
        first = hint.start()
        while first > past and first > hint.start() - 40 and (text[first - 1].isalnum() or text[first - 1] == "-"):
            first -= 1
        if first and text[first - 1] == "/" and past != first - 1:
            # A path; but `MMLU/GSM8K` are two.
            continue
        match = _WHERE.match(text, first, end) if first >= past else None
        if match is None and first != hint.start() >= past:
            # A known name behind something else: `bench-MMLU`.
            match = _WHERE.match(text, hint.start(), end)
        if match is not None and (name := _named(match)):
            past = match.start() + len(match[0].rstrip())
            yield match.start(), past, name


def _named(match: re.Match[str]) -> str | None:
    form = match["form"]
    if form:
        is_name = _FORM.search(form) and not form.lower().endswith("arena") and not form.islower()
        return form if is_name else None
    word = match["known"]
    if word.lower() in _WORDS and not word.isupper() and word != "Aider":
        return None
    name = _name(word, match["plus"] or "", match["variant"] or "")
    return None if name in _HYPHENED and "-" not in word else name


@functools.lru_cache(maxsize=2048)
def _name(word: str, plus: str, variant: str) -> str:
    base = _CANON.get(_fold(word), word) + plus
    parts = [part for part in re.split(r"[\s\-_(]+", re.sub(r"['’](?=\d)", " ", variant).strip()) if part]
    shown = base
    for part in parts:
        low = part.lower().lstrip("'’")
        if low.isdigit() and len(low) == 2 and base in ("AIME", "HMMT"):
            low = f"20{low}"
        pretty = (
            low.capitalize() if low.isalpha() and low not in ("i", "ii") else low.upper() if low in ("i", "ii") else low
        )
        shown += (
            f"-{pretty}"
            if base.upper() in ("MMLU", "MMMU", "MATH") and low in ("pro", "redux", "500")
            else f" {pretty}"
        )
    return shown


_SMALL = frozenset(
    "the on of in at a an top public our its this that official new current and for among models to by".split()
)


def leaderboard(words: str) -> str | None:
    """The leaderboard that a stretch in lower case names; None where it names none."""
    match = _BOARD.search(words)
    if match:
        return _LEADERBOARDS.get(match["named"] or "", "Hugging Face trending")
    formed = _BOARD_FORM.search(words)
    if formed is None:
        return None
    parts = formed["form"].split()
    while parts and parts[0] in _SMALL:
        del parts[0]
    form = " ".join(parts)
    return f"{form} {formed['kind']}" if form else None
