"""Names without a number that head an entry of their own: `## OLMoE`, `[[Apertus]]`, `- North Mini Code: 80 % on ...`.

By its form alone such a word is no model's name. It is one where it has capitals inside, is a known family's or a
linked note's, or ends as variants do, and where the words behind it tell what only models have.
"""

from __future__ import annotations

import re
from itertools import islice

from .labels import is_section
from .lexicon import MAKERS, NO_MODELS, PACKINGS, SUFFIXES, families, makers

_HEAD = re.compile(
    r"^[ \t]{0,8}(?:#{1,6}[ \t]+|[-*+•][ \t]+(?:\[[ xX]\][ \t]+)?|\d{1,3}[.)][ \t]+)?(?P<open>\*\*|\[\[)?"
    r"(?P<name>[A-Z][\w.+-]{1,30}(?: [A-Z][\w.+-]{0,30}){0,3})(?P<close>\*\*|\]\])?"
    r"(?P<then>[ \t]*$|[ \t]?[:(]|[ \t][—–-][ \t])",
    re.MULTILINE,
)
# `dots.ocr by rednote-hilab: ...`, in a list of such entries.
_SIGNED = re.compile(
    r"^[ \t]{0,8}(?:[-*+•][ \t]+)?[*_`\[]{0,3}(?P<name>(?=[\w.+-]*[\d.-])[A-Za-z][\w.+-]{2,40})[*_`\]]{0,3}"
    r" by [\w.-]{2,30}:[ \t]",
    re.MULTILINE,
)
_FACT = re.compile(
    r"\b\d{1,4}(?:\.\d{1,2})?[BT]\b|\b(?:billion|million|trillion)[ -]param|\b\d{1,4}(?:\.\d)?M param"
    r"|\bparam(?:s|eters)\b|\bApache[- ]2|\bMIT\b|\d[KM][- ](?:tokens?|context)\b|\b\d{2}(?:\.\d)?%? (?:on "
    r")?[A-Z][\w-]*[Bb]ench"
)
_SIZED = re.compile(r"\s?~?\d{1,4}(?:\.\d{1,2})?[BM] ?(?:param|dense|MoE|[,.;)])")
_INNER = re.compile(r"[a-z][A-Z]|[A-Z]{2,}[a-z]")
_REACH = 240
_MOST_HEADS = 400
# Whole lines of models, and makers that are called as their models are: alone they name none.
_LINES = frozenset(
    "qwen llama gemma gemini gpt chatgpt claude opus sonnet haiku mistral ministral deepseek glm kimi minimax "
    "phi falcon "
    "granite command nemotron hunyuan ernie grok exaone jamba olmo smollm mimo lfm2 yi internlm baichuan vllm".split()
)


def heads(text: str) -> set[str]:
    """The names that head an entry, as the page writes them."""
    signed = [match["name"] for match in islice(_SIGNED.finditer(text), _MOST_HEADS)]
    found: set[str] = set(signed if len(signed) > 2 else ())
    for match in _HEAD.finditer(text):
        name = match["name"].rstrip(".-")
        while " " in name and name.split(" ")[0].lower() in MAKERS:
            name = name.partition(" ")[2]
        if name not in found and len(found) < _MOST_HEADS and _is_name(match, name):
            line = text.find("\n", match.end())
            is_line = bool(match["then"].strip())
            until = line if is_line and line >= 0 else match.end() + _REACH
            if _FACT.search(text, match.end(), min(until, match.end() + _REACH)):
                found.add(name)
    return found


def _is_name(match: re.Match[str], name: str) -> bool:
    words = name.lower().split()
    if all(word in SUFFIXES or word in PACKINGS for word in words):
        # `MoE (mixture of experts) models`
        return False
    if is_section(name.lower()) or any(word in NO_MODELS or word in _LINES for word in words):
        return False
    if (
        name.lower() in ("moe", "llm", "vlm")
        or any(sign.isdigit() for sign in name)
        or name.lower() in makers()
        or name.isupper()
    ):
        return False
    if len(words) == 1:
        is_linked = match["open"] == "[["
        return words[0] in families() or bool(_INNER.search(name)) or is_linked
    if match["open"] == "**" and _SIZED.match(match.string, match.end()):
        return True
    has_variant = words[-1] in SUFFIXES and not all(word in SUFFIXES for word in words)
    return has_variant and bool(match["then"].strip() or match["open"]) and words[0] not in _EVERYDAY


_EVERYDAY = frozenset("best top most key total max maximum model local native full fast tool long price code".split())
