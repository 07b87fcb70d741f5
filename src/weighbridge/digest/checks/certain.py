"""Whether it is certain whom the words are about: only then do they refute.

The name stands in the very words, as what the sentence or the row is about, and beside the value; or it is the heading
of the list of properties that the value stands in. What any other heading, the sentence before or a table's corner
tells of whom, what stands behind a preposition or another name, a copy, a relative or a setting of it: all this may be
meant otherwise, and is left open with what is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from weighbridge.catalogue import Variant
from weighbridge.figures import Basis

from ..knowledge import sizes_in, words_of_name
from ..verdict import Proof
from .attribution import names_in, places_of_value
from .case import Case, Finding, days_between, open_question
from .heading import column_of, header_of, is_listed_under_it

MONTHS_SHORT = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_PARTS = re.compile(r"[\s_:/–-]+")
_GAP = r"[\s_:/‑–-]{0,2}"
# What goes on behind a name makes it another's: `Qwen3-Coder-Next`, `Llama-based`.
_ENDS = r"(?![\w]|[-_‑]\w|\.\d|@)"
_IN_BRACKETS = re.compile(r"[(\[].*?[)\]]")
_MOST_BESIDE_NAME, _LEAST_LETTERS, _MOST_DIGITS_BEFORE, _LEAST_WORDS = 24, 5, 3, 2
_FAR_CHARACTERS, _BEFORE_CHARACTERS = 140, 40
# Behind these a name is not what the sentence is about, unless they belong to the value: `the licence of X`.
_OBLIQUE = re.compile(
    r"\b(?:of|on|than|as|like|from|with|for|us(?:e|es|ed|ing)|in|by|to|into|via|vs\.?|versus|against|and|or|beats?|over"
    r"|upon|behind|unlike|outperform\w*|match\w*|rival\w*|surpass\w*|clone|fork|alternative)"
    r"(?:\s+(?:the|a|an|its|their|our|meta(?:\s+ai)?'s|[a-z]+'s|original|official|new|open|big|small|larger|smaller"
    r"|older|newer|standard|vanilla|base))*\s*$"
)
_OF_VALUE = re.compile(
    r"\b(?:context|window|length|size|count|parameters?|weights|licen[sc]e|release|launch|version|price|input|output"
    r"|date)(?:\s\w+)?\s+(?:of|for)\s+(?:the\s+)?$"
)
_DERIVED = re.compile(
    r"^\W{0,2}(?:architect\w*|deriv\w*|fine-?tun\w*|distill?\w*|variants?|quant\w*|gguf|clone|style|compatib\w*|tokeni[sz]er|backbone|repro\w*|lora|adapters?|merge\w*|checkpoints?|drafts?|drafter|encoder"
    r"|decoder|embedding|paper|report|api|app|code|repo\w*|dataset|benchmark|based|inspired|like|lite|mini"
    r"|next|plus)\b"
)
_GROUP = re.compile(
    r"^\W{0,4}(?:(?:is|are|was|were)\s)?(?:(?:a|an|the|new)\s)*(?:famil(?:y|ies)|series|models|line-?up|collection|suite"
    r"|range|group|set)\b"
)
# What may stand before the name that a sentence is about: who made it, and what kind of thing it is.
_LEAD_IN = frozenset(
    "the a an its their our new newer latest original official open open-source open-weight flagship model models meta"
    " google alibaba mistral microsoft nvidia openai deepseek cohere ibm xai apple zhipu moonshot tencent baidu"
    " databricks hugging face z.ai zai ai tii lg ai2 allen team lab labs qwen llama introducing released announced meet"
    " today yesterday also now then and but with in for example about facebook first large small big compact currently"
    " while both only even still since its run running".split()
)
_MOST_LEAD_IN = 6
# Directly before a name: what makes it another's.
_OTHERS_HEAD = re.compile(r"(?:^|[\s(*`\[])(?=[\w.-]*\d|[A-Z]{2,}[\s-])(?!20\d\d)[A-Za-z][\w.-]*[\s-]$")
# The label of a log's entry.
_ENTRY = re.compile(r"^20\d\d-\d\d(?:-\d\d)?[\w-]*\s*[—–:|]\s+")
# What many names end with: alone it is nobody's.
_COMMON_ENDS = frozenset(
    "instruct chat base coder code codec large small medium mini nano micro tiny flash turbo lite plus preview vision"
    " thinking reasoning distill dense sparse super ultra embedding reranker audio omni guard math prover dev"
    " experimental speculative model models image video edit agent world open community".split()
)
# Between a name and a value: that of something else, or in some setting.
_TURNS = re.compile(
    r"\b(?:than|versus|vs|against|compar\w+|like|unlike|whereas|while|instead|quanti[sz]\w*|distill?\w*|fine-?tun\w*"
    r"|merg\w+|drafts?|drafter|adapters?|lora|gguf|awq|gptq|limited|capped|truncated|per|each|not|without|none|never"
    r"|combined|together|previous\w*|predecessor|successor|original\w*|formerly|would|could|might|should|if|fork\w*"
    r"|embedder|encoder|tokeni[sz]er|judge|teacher|student|sibling|variants?|dataset|architect\w+|repro\w*|same|behind"
    r"|outperform\w*|beats?|surpass\w*|rivals?|match\w*|competitors?|versions?|our|we|another|other|code|repository"
    r"|trained on|up from|down from)\b|[;•。！？]|(?<=[a-z)])\.\s+[A-Z]"
)
_OF_FIELD = {
    "licence": re.compile(r"\b(?:code|data|dataset|repo\w*|docs?|documentation|tool|app|fork\w*|paper|script|ui)\b"),
    "release_date": re.compile(
        r"\b(?:updat\w+|paper|tested|support\w*|added|as of|cut-?off|deprecat\w+|benchmark\w*|integrat\w+|retir\w+|api"
        r"|available (?:on|in|via|through)|on (?:groq|bedrock|azure|ollama|together)|arxiv|accessed|trained|until)\b"
    ),
    "context_length": re.compile(
        r"\b(?:output|generat\w+|prompts?|test\w*|train\w+|ruler|needle|\w*ctx|t/s|tps|max[-_]model[-_]len|default"
        r"|limit\w*|on \d+ ?gb|ollama|kv|cache|batch|concurren\w+|free tier|api|vram|rate)\b"
    ),
    "memory_needed": re.compile(
        r"\||\bkv\b|\b(?:per|each|layers?|cache|spill\w*|partial\w*|split|across)\b|\d ?[x×] ?\w"
    ),
    "parameters_total": re.compile(
        r"\b(?:than|from|vocab\w*|embedding|draft|mtp|lora|trainable|adapter|range|sizes?)\b"
    ),
    "parameters_active": re.compile(r"\b(?:than|from|draft|lora|trainable|adapter|range|sizes?)\b"),
}
_SPARSE_WORDS = re.compile(r"\b(?:moe|mixture|experts?|sparse|a\d+b)\b")
_DENSE_WORDS = re.compile(r"\bdense\b")
_RANGE = re.compile(r"\d\s?[bkm]?\s?(?:[-–—~/]|to)\s?\d", re.I)
_DATED = re.compile(r"\b20\d\d-\d\d(?:-\d\d)?\b")
_RANGE_ON = re.compile(r"(?:[-–—~/]\s?|\sto\s)\d")
_MONTH_OF = re.compile(
    r"\b(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?,?\s(20\d\d)\b|\b(20\d\d)-(\d\d)\b", re.I
)
_EARLIER_DAYS = 45
_SETTLED_APART = ("exists", "rank", "rule")
# The grammar is English's: of a sentence in another language it reads names and numbers, not what is said of them.
_ENGLISH = re.compile(
    r"\b(?:the|is|are|was|were|has|have|had|with|and|of|for|at|by|to|from|under|its|that|this|which|it|than|not|will|can"
    r"|released|parameters|licen[sc]e|context)\b"
)
_LEAST_SENTENCE, _WORDS_TO_ONE, _ROUNDED = 8, 12, 0.08
_SIZE_BETWEEN = re.compile(r"(?<![\w.-])(\d+(?:\.\d+)?)\s?-?[bt]\b")
# In a table these are days and prices of other things as often: when it was checked or retired, what is cached.
_BY_HEADING = ("release_date", "price_input", "price_output", "downloads", "status")
_ACTIVE_NAME = re.compile(r"\d[bt]?-a\d+(?:\.\d+)?b")
_DENIAL = re.compile(r"\b(?:not(?! only)|never|no|none|nor|neither|without|cannot|lacks?|missing)\b|n[’']t\b")
_LIMITED = re.compile(r"\b(?:limited|weak|poor|partial|no|not|lacks?|via|through|with)\b")
_RELEASES = re.compile(r"^(?:released?|release (?:date|day|month|year)|date of release|launch(?:ed)?|launch date)$")
_COUNTED = ("parameters_total", "parameters_active", "context_length", "downloads", "likes", "memory_needed")
_SIZED = ("parameters_total", "parameters_active", "context_length")


def left_open(case: Case, found: Finding) -> Finding:
    """What would be refuted, where it is not certain that it is said of the one that is known: with the reasons, and
    that they speak against it."""
    text = f"this does not agree with what is said here, if it is said of {case.subject.name}, which is not certain"
    return open_question(*found.evidence, Proof("name", text, Basis.ASSUMED))


def is_certain(case: Case) -> bool:
    """Whether the words are about the claim's subject and the value is its own."""
    family = case.claim.field.partition(":")[0]
    if family in _SETTLED_APART:
        return True
    is_bare = len(case.subject.words) < _LEAST_WORDS
    if case.has_rivals or (is_bare and (family in _COUNTED or not case.knowledge.reports(case.subject))):
        # A bare family's name is everybody's.
        return False
    quote = case.claim.quote
    places, values = list(_places(case)), places_of_value(case.claim)
    upto = max([end for _, end in places[:1]] + values[:1], default=0)
    if _is_setting(case, family) or not _is_english(quote) or _is_denied(family, quote, upto):
        return False
    if not places:
        return is_listed_under_it(case)
    if "|" in quote:
        if family in _BY_HEADING and not (family == "release_date" and _is_of_release(case)):
            return False
        return any(
            _heads_its_cell(quote, start, end) and (not values or any(value > start for value in values))
            for start, end in places
        )
    if family != "release_date" and any(_GROUP.match(quote[end:].lower()) for _, end in places):
        return False
    if any(_RANGE_ON.match(quote[end:]) for _, end in places) or _tells_another_day(case, family):
        return False
    return any(_is_topic(quote, start, end) and _has_value(case, start, end, values) for start, end in places)


def _is_of_release(case: Case) -> bool:
    """Whether a day stands in a table's column of releases."""
    return bool(_RELEASES.search(column_of(case, header_of(case))))


def _is_denied(family: str, quote: str, upto: int) -> bool:
    """Whether the words deny or limit it before they have told it: `has not released a Llama 4 of 8B`, `limited
    multi-modal support`."""
    told = quote[: upto or len(quote)].lower()
    return bool(family == "modality" and _LIMITED.search(quote.lower())) or (
        "|" not in quote and bool(_DENIAL.search(told))
    )


def is_named(case: Case) -> bool:
    """Whether the very words have its whole name."""
    return any(True for _ in _places(case))


def is_setting(case: Case) -> bool:
    """Whether the words tell of a setting, a range or a part, and not of the model."""
    return _is_setting(case, case.claim.field.partition(":")[0])


def _tells_another_day(case: Case, family: str) -> bool:
    """Whether the words tell of a month before any that is known by the name was made: another bore it then, as the
    first Mistral Large did."""
    made = [each.released.value for each in case.subject.variants if each.released]
    made += [row.created for row in case.subject.rows if row.created]
    if family in ("release_date", "status") or not made:
        return False
    for match in _MONTH_OF.finditer(case.claim.quote):
        month = MONTHS_SHORT.index(match[1].lower()) + 1 if match[1] else int(match[4])
        if 1 <= month <= 12 and days_between(f"{match[2] or match[3]}-{month:02}", min(made)) > _EARLIER_DAYS:
            return True
    return False


def _is_english(quote: str) -> bool:
    """Whether a sentence has English words among its own; short ones and rows of a table have none to show."""
    words = re.findall(r"[^\W\d_]+", quote.lower())
    if "|" in quote or len(words) < _LEAST_SENTENCE:
        return True
    return len(_ENGLISH.findall(quote.lower())) * _WORDS_TO_ONE >= len(words)


def _places(case: Case) -> Iterator[tuple[int, int]]:
    """Where the quote has the whole name, and no longer one."""
    parts = [re.escape(part) for part in _PARTS.split(case.claim.subject) if part]
    pattern = rf"(?<![\w.-]){_GAP.join(parts)}(?:-(?:instruct|chat|base|it)\b)?{_ENDS}"
    found = list(re.finditer(pattern, case.claim.quote, re.I))
    last = _PARTS.split(case.claim.subject.strip())[-1]
    if not found and last.isalpha() and len(last) >= _LEAST_LETTERS and last.lower() not in _COMMON_ENDS:
        # `Scout`, where the page names Llama 4 Scout.
        found = list(re.finditer(rf"(?<![\w.-]){last.capitalize()}{_ENDS}", case.claim.quote))
    for match in found:
        yield match.start(), match.end()


def _heads_its_cell(quote: str, start: int, end: int) -> bool:
    """Whether a row is this model's: its name alone fills the first cell that names anybody."""
    first = quote.rfind("|", 0, start) + 1
    last = quote.find("|", end)
    cell = quote[first : last if last >= 0 else len(quote)]
    beside = f"{quote[first:start]} {quote[end : first + len(cell)]}"
    further = _IN_BRACKETS.sub(" ", quote[end : first + len(cell)])
    return (
        # `GPT-5.6 Luna` is not GPT-5.6.
        not re.search(r"\b(?!MoE|NEW|BF16|FP8|FP4|NVFP4|MXFP4|GGUF|AWQ|GPTQ|MLX)[A-Z][A-Za-z]{2,}", further)
        and len(re.sub(r"\W+", "", beside)) <= _MOST_BESIDE_NAME
        and not quote[first:start].strip(" *`[_")
        # A row that begins with a day tells of an event.
        and sum(sign.isdigit() for sign in quote[:first]) <= _MOST_DIGITS_BEFORE
        and not names_in(f"| {quote[:first]}")
        and not _DERIVED.match(quote[end : first + len(cell)].lower())
    )


def _is_topic(quote: str, start: int, end: int) -> bool:
    """Whether the sentence is about what is named there."""
    before, after = _ENTRY.sub("", quote[:start]), quote[end:]
    if names_in(f". {before}") or _DERIVED.match(after.lower()):
        return False
    follows = re.match(r"\s([A-Z][\w.-]+)", after)
    if follows and names_in(f"a {follows[1]}"):
        return False
    low = before.lower()
    if _OBLIQUE.search(low):
        return bool(_OF_VALUE.search(low))
    head = _OTHERS_HEAD.search(before)
    is_others = head is not None and head[0].strip(" *`[(-").lower() not in _LEAD_IN
    return not is_others and _leads_in(low)


def _leads_in(before: str) -> bool:
    """Whether nothing but who made it stands between the sentence's beginning and the name."""
    clause = re.split(r"[.!?:;|]\s|[—–•]\s?|\s-\s", before)[-1]
    if "/" in before or re.search(r"\bv\d", before):
        # Another's repository, or a version of something else, comes first.
        return False
    words = [re.sub(r"[’']s$", "", word) for word in re.findall(r"[\w’'.-]+", clause)]
    words = [word for word in words if word.strip(".-'’") and not word[0].isdigit()]
    return len(words) <= _MOST_LEAD_IN and all(word.strip(".") in _LEAD_IN for word in words)


def _has_value(case: Case, start: int, end: int, values: list[int]) -> bool:
    """Whether some mention of the value is beside the name and belongs to it."""
    quote = case.claim.quote
    for value in values:
        between = quote[end:value] if value >= end else quote[value:start] if value < start else ""
        most = _FAR_CHARACTERS if value >= end else _BEFORE_CHARACTERS
        if _names_a_size(case, between) or _is_in_a_name(case, value):
            continue
        if len(between) <= most and not _TURNS.search(between.lower()) and not names_in(f". {between}"):
            return True
    return not values


def _is_in_a_name(case: Case, value: int) -> bool:
    """Whether the number is part of another's name: the 3 of `2B, 9B, and 35B-A3B`."""
    quote = case.claim.quote
    start = max(quote.rfind(sign, 0, value) for sign in " |(,\n") + 1
    token = re.split(r"[ |),;\n]", quote[start:])[0].lower()
    return bool(_ACTIVE_NAME.search(token)) and token not in case.claim.subject.lower()


def _names_a_size(case: Case, between: str) -> bool:
    """Whether another network is named by its size: `not simply a smaller one of the 26B MoE`."""
    if case.claim.field.startswith("parameters"):
        # Of these each number is a value.
        return False
    own = set(sizes_in(case.subject.words).values())
    for variant in case.subject.variants:
        own |= {float(each.value) for each in (variant.parameters, variant.active_parameters) if each}
    for match in _SIZE_BETWEEN.finditer(between.lower()):
        size = float(match[1]) * (1e12 if match[0].endswith("t") else 1e9)
        if not any(abs(size - each) <= _ROUNDED * each for each in own):
            return True
    return False


def _is_setting(case: Case, family: str) -> bool:
    """Whether the words tell of a setting, a range or a part, or name both of two kinds."""
    low = case.claim.quote.lower()
    name = case.claim.subject.lower()
    rest = low.replace(name, " ")
    if family in _OF_FIELD and _OF_FIELD[family].search(rest):
        return True
    if family in ("architecture", "modality") and _SPARSE_WORDS.search(rest) and _DENSE_WORDS.search(rest):
        return True
    if family in _SIZED and (_RANGE.search(_DATED.sub(" ", rest)) or low.startswith("@")):
        return True
    return _is_of_longer_name(case, family)


def _is_of_longer_name(case: Case, family: str) -> bool:
    """Whether it is true of a network that is called by the name and more: the size of Qwen3-Coder-Next told of
    `Qwen3-Coder`, of Llama 3.1 told of `Llama 3`, images of Phi-4-multimodal told of `Phi-4`."""
    words, claimed = case.subject.words, case.number or 0.0
    later = {word for word in words if word.isdigit() and len(word) == 1}
    for variant in case.knowledge.catalogue:
        its = words_of_name(variant.name)
        is_later = any(f"{number}." in f" {' '.join(its)}" and (words - {number}) < its for number in later)
        if case.subject.is_exact and not is_later and family.startswith("parameters"):
            continue
        if not (words < its or is_later):
            continue
        if family == "modality" and variant.modalities and set(variant.modalities.value.input) - {"text"}:
            return True
        if family.startswith("parameters") and any(
            abs(size - claimed) <= 0.1 * claimed for size in _sizes_of(variant, its, family)
        ):
            return True
    return False


def _sizes_of(variant: Variant, words: frozenset[str], family: str) -> list[float]:
    """What it has, or what a token uses of it, by its count and by its name."""
    is_active = family == "parameters_active"
    known = variant.active_parameters if is_active else variant.parameters
    named = [size for word, size in sizes_in(words).items() if word.startswith("a") is is_active]
    return [float(known.value), *named] if known else named
