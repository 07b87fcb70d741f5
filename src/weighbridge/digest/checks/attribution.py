"""Whether the words may be said of somebody else: a refutation counts only where they are said of its subject.

Who is meant is read from the words by the extraction, which takes the nearest model that it knows by name. Where the
sentence names another beside the value, or one of whom the claim holds, it is left open.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from weighbridge.catalogue.naming import words_of

from ..claim import Claim
from ..dates import MONTHS
from ..verdict import Ruling
from .case import Case, Finding, is_day

# Of these, words such as `released` or `open-source` seldom go on about the model of the last sentence; numbers do.
_SAID_BY_NAME = ("status", "openness", "licence", "modality", "architecture", "release_date", "base_model")
# What begins in a capital and is no model's name.
_NO_NAMES = frozenset(
    "apache mit hugging face huggingface github arena lmarena google meta alibaba microsoft openai nvidia"
    " mistral ai anthropic zhipu moonshot deepmind deepseek xiaomi tencent baidu moe llm llms gpu gpus vram ram"
    " cpu api vlm vlms rtx hf swe bench verified pro mmlu gpqa license licence open dense total active"
    " parameters params context tokens january february march april may june july august september october"
    " november december jan feb mar apr jun jul aug sep oct nov dec monday tuesday wednesday thursday friday"
    " saturday sunday late early q1 q2 q3 q4 the a an it its with under at by for from of on in to and or but is"
    " was has terms use no not new first second yes gb tb kv fp8 bf16 fp16 int4 int8 awq gptq gguf mla gqa mxfp4"
    " nvfp4 cc nc sa eu us china chinese european commission llama.cpp vllm instruct base thinking chat"
    " reasoning community native up also now only about over all model family series".split()
)
_TOKEN = re.compile(r"(?<![\w.])[A-Za-z][\w.+-]*[\w+]")
_RELATION = re.compile(
    r"\b(?:than|versus|vs\.?|against|compet\w+|compar\w+|like|outperform\w*|surpass\w*|beat\w*|rival\w*|exceed\w*"
    r"|match\w*|built (?:on|upon)|based on|alongside|since|after|over|behind|unlike|whereas|while)\b"
)
_SPECULATIVE = re.compile(
    r"\b(?:might|may be|could be|would be|hop(?:e|es|ing)|rumou?r\w*|speculat(?:ions?|ed|es|ing)|anticipat\w+|implies"
    r"|wish\w*|if|hints?|wonder\w*|waiting for|delayed|cancel\w+|unreleased|hypothetical)\b|\?"
)
_FOR = re.compile(r"\b(?:for|with|around|to|into|on top of|inside)\b")
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
_FAR_CHARACTERS = 140
# What is said of one thing among many in a sentence stands beside it.
_NEAR_CHARACTERS = {"modality": 40, "architecture": 60, "openness": 60, "status": 60, "base_model": 60}


def is_doubtful(case: Case, others: Iterable[str], ask: Callable[[Case], Finding]) -> bool:
    """Whether the words may be said of another. `others`: names of models on the page; `ask`: the claim's check."""
    quote = case.claim.quote
    places = _places_of_subject(case)
    if not places:
        # It goes on about the model of the last sentence, unless it holds for another that is named nearby.
        is_named = case.claim.field.partition(":")[0] in _SAID_BY_NAME
        families = {word for word in case.subject.words if word.isalpha() and len(word) > 2}
        near = (name for name in others if name.lower() in case.context or families & words_of(name))
        return is_named or _is_about_another(case) or any(_holds_of(name, case, ask) for name in near)
    if any(_holds_of(name, case, ask) for name in others if name in quote and name != case.claim.subject):
        return True
    values = places_of_value(case.claim)
    far = _NEAR_CHARACTERS.get(case.claim.field, _FAR_CHARACTERS)
    if not values and case.claim.field == "release_date":
        return True
    return bool(values) and all(_is_apart(quote, value, places, far) for value in values)


def is_speculation(case: Case) -> bool:
    """Whether the sentence wonders, hopes or hears of it."""
    quote = case.claim.quote
    # Of a bare name, the sentence that it stands in.
    text = (
        quote
        if len(quote) > 60
        else next((part for part in re.split(r"(?<=[.!?;])\s", case.line) if quote.lower() in part), quote)
    )
    return bool(_SPECULATIVE.search(text.lower()))


def _holds_of(name: str, case: Case, ask: Callable[[Case], Finding]) -> bool:
    subject = case.knowledge.meant(name)
    if not subject.is_known or subject.name == case.subject.name or name in case.claim.subject:
        return False
    other = Case(case.claim, subject, case.knowledge, case.context, case.page_day, case.page_since)
    return ask(other).ruling is Ruling.SUPPORTED


def _places_of_subject(case: Case) -> list[tuple[int, int]]:
    """Where the quote names the subject: in full, or by a word of it that tells."""
    low = case.claim.quote.lower()
    name = case.claim.subject.lower()
    found = [(match.start(), match.end()) for match in re.finditer(re.escape(name), low)]
    words = [word for word in case.subject.words if word.isalpha() and len(word) > 2]
    for word in words if not found else ():
        # `Scout` for Llama 4 Scout; the family with the version behind it.
        found += [(match.start(), match.end()) for match in re.finditer(rf"{re.escape(word)}[\w .+-]{{0,6}}?\d?", low)]
    return found


def places_of_value(claim: Claim) -> list[int]:
    """Where the quote has the value."""
    value = claim.value
    if isinstance(value, bool):
        return []
    if isinstance(value, int | float):
        found = []
        for match in _NUMBER.finditer(claim.quote):
            number = float(match[0].replace(",", ""))
            if number and any(abs(value / number / power - 1) < 1e-3 for power in (1, 1e3, 1e6, 1e9, 1e12, 1e-3)):
                found.append(match.start())
        return found
    if is_day(value):
        month = MONTHS[int(value[5:7]) - 1][:3] if len(value) > 4 else value
        return [match.start() for match in re.finditer(rf"{value}|\b{month}|{value[:7]}", claim.quote.lower())]
    word = re.split(r"[\W_]+", str(value).lower())[0]
    return (
        [match.start() for match in re.finditer(rf"\b{re.escape(word)}", claim.quote.lower())] if len(word) > 2 else []
    )


def _is_apart(quote: str, value: int, places: list[tuple[int, int]], far: int) -> bool:
    """Whether another name, or a comparison, stands between every mention of the subject and the value."""
    is_near = far == _NEAR_CHARACTERS["modality"]
    for start, end in places:
        if end <= value:
            between = quote[end:value]
            if is_near and "," in between:
                continue
            if len(between) <= far and not names_in(between) and not _RELATION.search(between.lower()):
                return False
        elif start > value:
            between = quote[value:start]
            relation = _RELATION.search(between.lower()) or _FOR.search(between.lower())
            if len(between) <= far // 2 and not relation and not names_in(between.partition(" ")[2]):
                return False
        else:
            return False
    return True


def _is_about_another(case: Case) -> bool:
    """Whether a quote that does not name the subject names somebody else."""
    quote = case.claim.quote
    return bool(names_in(quote)) or bool(words_of(quote[:400]) & case.knowledge.family_words)


def names_in(text: str) -> list[str]:
    """Words that are written as names are: with a capital, or with letters and digits joined."""
    found = []
    for match in _TOKEN.finditer(text):
        token = match[0]
        before = text[: match.start()].rstrip()
        if token.lower().strip(".") in _NO_NAMES or all(part in _NO_NAMES for part in re.split(r"[-.]", token.lower())):
            continue
        is_capital = token[0].isupper() and before and not before.endswith((".", ":", "!", "?", "|", "—"))
        is_joined = any(letter.isupper() for letter in token[1:]) and any(letter.islower() for letter in token)
        is_versioned = bool(re.search(r"[a-z]{2,}-?\d", token.lower())) and not re.fullmatch(
            r"[a-z]?\d+\w{0,3}", token.lower()
        )
        if is_capital or is_joined or is_versioned:
            found.append(token)
    return found
