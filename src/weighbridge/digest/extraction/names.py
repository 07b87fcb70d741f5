"""`Mention`: a model's name on a page, found by families that are known and by the form that names have.

A name is a head (`Qwen3`, `Zephyrion`) with versions, sizes and variants behind it (`Llama 4 Scout 17B`,
`glm-5.1-fp8`), or a repository (`org/name`). What follows it in short (`Scout`, `V4`, `the 31B`) is led back to
the name in full that the page gives elsewhere. A model that nobody has heard of is found by form: a capitalised word
with a size behind it, or with a version where the sentence speaks of models.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from .heads import heads
from .introducing import Introductions
from .lexicon import APPS, MAKERS, NO_MODELS, SUFFIXES, TOOLS, families, makers, needs_more
from .mention import MOST_MENTIONS, Kind, Mention
from .shortening import Shortener
from .siblings import NAME, columns, siblings
from .widening import PLAIN, Widener
from .words import QUANT, SIZE, Chunk, Part, adjoin, chunks, key

_CUES = re.compile(
    r"\b(?:models?|llms?|weights?|parameters?|params|checkpoints?|open-sourc\w+|releas\w+|launch\w+|licen[cs]\w+|"
    r"benchmarks?|context|fine-?tun\w+|quantiz\w+|variants?|announc\w+|ships|shipped|scor\w+|outperform\w+"
    r"|tokens?|moe|"
    r"inference|multimodal|vlm|dense|experts?|\d{1,4}(?:\.\d{1,2})?[bt])\b",
    re.IGNORECASE,
)
_TERMS = re.compile(r"[ -]Community(?: Licen[cs]e| Agreement| *\||$| *\n)")
# `a preview is live in Mistral Studio`
_SERVICE = re.compile(r"(?: AI)? (?:Studio|Console|Platform|Cloud|Playground|Code|Desktop|Notebooks?|Enterprise)\b")
# Programs, files and pages by a house's name.
_PRODUCT = re.compile(
    r" (?:CLI|SDK|API|App|Studio|Console)$|[ -]Agents?$|(?:Code|Bench|Arena|Eval|QA|Suite) \d+(?:\.\d+)?$"
    r"|^ChatGPT[ -][A-Z][a-z]+$|\.(?:md|gguf|safetensors|json"
    r"|py)\d*$|^[A-Z][a-z]+ Chat$"
    r"|^Claude (?:Pro|Max|Team|Enterprise)$|^(?:Claude|Kimi|Qwen|Gemini|Mistral|Grok) (?:Code|Desktop|Cowork|Vibe)$"
)
# `Kimi Delta Attention`: what networks are made of, or a page, by a house's name.
_TECHNIQUE = re.compile(
    r"[ -](?:(?:Linear|Sparse|Latent|Hybrid|Flash) )?(?:Attention|Optimi[sz]er|Tokenizer|Loss|Website|Homepage)\b"
)
# `Release Date2025-12-09`, `ParametersLlama 3`: a table's cells that have lost the gap between them.
_GLUED_LABEL = re.compile(
    r"(?:Specification|Quantization|Date|Licen[cs]e|Parameters?|Context|Window|Price|Size|Length|Released?|Memory|VRAM"
    r"|Version|Architecture|Modality|Provider|Developer)(?=[A-Z0-9])"
)
# Families that count themselves in trillions: `Ling 2.5 1T`.
_OF_TRILLIONS = frozenset({"ling", "ring"})
_VALUE = re.compile(r"[1-9]\d\.\d{1,3}")
_YEAR = re.compile(r"(?:19|20)\d\d(?:-|$)")
_VERSION_ALONE = re.compile(r"\d{1,2}(?:\.\d{1,2})?")
_PAIR = re.compile(r" ?/ ?[aA]?(\d{1,4}(?:\.\d{1,2})?)[bB]\b")
_SPARSE = re.compile(r"\b(?:moe|experts?|active|activated|sparse)\b", re.IGNORECASE)
_DATA = re.compile(r"\b(?:data|datasets?|corpus|corpora|mixture) \($")
# `Code Llama 70B`, `Nous Hermes 2`: words before a family's that make another family's.
_AHEAD = re.compile(r"\b(?:Code|Nous|Tiny|Open)[ -]$")
_WITH_AHEAD = ("Llama", "LLaMA", "LLama", "Hermes", "Gemma")
# `the dataset HelpSteer3`, `Stack v2, a new code dataset`: other things by a name and a number.
_THING = (
    r"(?:datasets?|corpus|benchmark|leaderboard|framework|library|engine|toolkit|paper|optimi[sz]er|algorithm"
    r"|method|technique"
    r"|protocol|platform|app|chip|gpu|card|series of articles)"
)
_THING_AHEAD = re.compile(rf"\b{_THING} $")
_THING_BEHIND = re.compile(rf"(?:,| is| was) (?:an?|the|our) (?:(?!models?\b)[\w-]+ ){{0,6}}{_THING}\b")
_LINE_BEHIND = re.compile(
    r"['’]?s?[ -](?:based|style|like|class|famil|series|models|line|team|[Cc]oalition|ecosystem|derived"
    r"|architecture|API|compatible|"
    r"tokenizer|chat|app|branch|architecture)"
)
# `GPT-5.4 nano`: a variant in small letters, right behind a version.
_SMALL_VARIANT = re.compile(
    r"[ -](?:mini|nano|flash|lite|turbo|pro|max|small|medium|large|ultra|coder)\b(?![ -]\w+ed\b)"
)
_GERUNDS = frozenset(
    "announcing introducing running using building training testing comparing serving deploying benchmarking "
    "reviewing "
    "understanding exploring trying fixing loading choosing releasing launching measuring quantizing fine-tuning "
    "add use set get keep expect pay save run download install choose pick try buy need needs takes costs "
    "meet releases launches announces introduces unveils debuts ships drops presents adds brings gets makes".split()
)


class Namer:
    """Finds the mentions of one page."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._chunks = chunks(text)
        self._plain = set(PLAIN.findall(text))
        self._accepted: set[str] = set()
        placed = {name for name in siblings(text, self._plain) if NAME.fullmatch(name)}
        self._heads = heads(text) | placed | set(columns(text, self._plain))

    def mentions(self) -> list[Mention]:
        """All mentions in their order; short ones carry the name in full."""
        found = [mention for mention in self._full() if self._is_whole(mention) and not self._is_data(mention)]
        return Shortener(self._text, self._chunks, found).all()

    def _is_whole(self, mention: Mention) -> bool:
        """Whether something is left of a name without the label that it is glued to."""
        label = _GLUED_LABEL.match(mention.name)
        if label is None:
            return True
        mention.start += label.end()
        mention.name = mention.name[label.end() :]
        return key(mention.name)[:1] != () and key(mention.name)[0] in families()

    def _is_data(self, mention: Mention) -> bool:
        """`training data (OLMoE-Mix)`, `Llama 4 Community` in a column of licences: no model's name."""
        if (
            _PRODUCT.search(mention.name)
            or (mention.kind is Kind.FAMILY and _SERVICE.match(self._text, mention.end))
            or _TERMS.match(self._text, mention.end)
            or _TECHNIQUE.match(self._text, mention.end)
        ):
            return True
        before = self._text[max(0, mention.start - 20) : mention.start].lower()
        if (
            key(mention.name)[:1]
            and key(mention.name)[0] not in families()
            and (_THING_AHEAD.search(before) or _THING_BEHIND.match(self._text, mention.end))
        ):
            return True
        return mention.kind is Kind.FULL and _DATA.search(before) is not None

    def _headed(self, found: list[Mention], introductions: Introductions) -> list[Mention]:
        """A family's name that heads an entry, or is introduced as a model's, and never has a version on the page is a
        model's own there."""
        versioned = {
            key(mention.name)[0]
            for mention in found
            if mention.kind is not Kind.FAMILY and key(mention.name) and not self._is_data(mention)
        }
        plain = [
            mention
            for mention in found
            if mention.kind is Kind.FAMILY
            and key(mention.name)[0] not in versioned
            and mention.name.lower() not in makers()
        ]
        named = self._heads | introductions.introduced(plain)
        alone = Counter(mention.name for mention in plain if not _LINE_BEHIND.match(self._text, mention.end))
        named |= {name for name, count in alone.items() if count > 1 and name.lower() not in APPS}
        for mention in found:
            is_own = mention.kind is not Kind.FAMILY or key(mention.name)[0] not in versioned
            is_called = mention.kind is Kind.FAMILY and not is_own and self._is_called(mention, introductions)
            if (mention.name in named and is_own) or is_called:
                mention.kind = Kind.FULL
                mention.is_headed = not any(sign.isdigit() for sign in mention.name)
        return found

    def _is_called(self, family: Mention, introductions: Introductions) -> bool:
        low = family.name.lower()
        return low not in APPS and low not in makers() and introductions.calls(family)

    def _full(self) -> Iterator[Mention]:
        number = 0
        weak: list[tuple[int, int]] = []
        found: list[Mention] = []
        while number < len(self._chunks) and len(found) < MOST_MENTIONS:
            chunk = self._chunks[number]
            if chunk.part is Part.REPOSITORY:
                found.append(Mention(chunk.start, chunk.end, chunk.text, Kind.REPOSITORY))
                number += 1
                continue
            last, is_weak = self._span(number)
            if last is None:
                number += 1
                continue
            if is_weak:
                weak.append((number, last))
            else:
                found.append(self._mention(number, last))
            number = last + 1
        found += self._weak(weak)
        introductions = Introductions(self._text, self._chunks, self._plain, self._heads)
        found += introductions.mentions(found)
        found = self._headed(found, introductions)
        found.sort(key=lambda mention: mention.start)
        return iter(Widener(self._text, self._chunks, self._plain).widened(found))

    def _span(self, number: int) -> tuple[int | None, bool]:
        """The last word of the name that begins at this one, and whether it needs more to be believed."""
        chunk = self._chunks[number]
        if chunk.part is Part.FAMILY:
            last = self._extended(number)
            if last == number and chunk.text.lower() in TOOLS:
                return None, False
            plain = chunk.text.replace("-", "")
            head, _, tail = chunk.text.lower().partition("-")
            alone = last == number and plain.isalpha() and needs_more(head) and tail not in SUFFIXES
            low = chunk.text.lower()
            if alone or (needs_more(low) and low not in TOOLS and not chunk.text[0].isupper()):
                return None, False
            return last, False
        if chunk.part is Part.FORM or (chunk.text in ("O1", "O3", "O4") and self._is_openais(number)):
            return self._extended(number), False
        if chunk.part is Part.WEAK:
            return self._extended(number), True
        if chunk.part in (Part.CAPITAL, Part.NUMBERED):
            return self._unknown(number)
        if chunk.part is Part.OTHER and chunk.text[0].isupper() and needs_more(chunk.text.lower()):
            # `Step 3.5 Flash`: an everyday word with a version and a variant.
            last = self._extended(number)
            if last >= number + 2 and self._chunks[last].part is Part.SUFFIX:
                return last, False
        return None, False

    def _is_openais(self, number: int) -> bool:
        return number > 0 and self._chunks[number - 1].text == "OpenAI" and adjoin(self._text, self._chunks, number - 1)

    def _unknown(self, number: int) -> tuple[int | None, bool]:
        """A capitalised word that nobody knows: a name where a size or a version follows."""
        chunk = self._chunks[number]
        if chunk.text.lower() in self._plain or (chunk.text.isupper() and len(chunk.text) < 3):
            return None, False
        if chunk.text.lower() in makers() or chunk.text.lower() in _GERUNDS:
            # `Announcing Tern 1.5`
            return None, False
        last = number
        while last + 1 < len(self._chunks) and last < number + 3 and adjoin(self._text, self._chunks, last):
            following = self._chunks[last + 1]
            if following.part in (Part.SIZE, Part.TAIL, Part.VERSION):
                if _YEAR.match(following.text):
                    return None, False
                if following.part is Part.VERSION and not (self._is_version(last + 1) and _is_low(following.text)):
                    return None, False
                end = self._extended(last)
                sized = any(self._chunks[at].part in (Part.SIZE, Part.TAIL) for at in range(last, end + 1))
                return end, not (sized and self._text[following.end - 1] in "Bb")
            if following.part not in (Part.CAPITAL, Part.SUFFIX) or following.text.lower() in self._plain:
                break
            last += 1
        return (self._extended(number), True) if chunk.part is Part.NUMBERED else (None, False)

    def _is_version(self, number: int) -> bool:
        chunk = self._chunks[number]
        tail = self._text[chunk.end : chunk.end + 10].lower()
        if (tail[:1] in ("%", ",") and tail[1:2].isdigit()) or tail[:1] in ("%", "x", "×", "$"):
            return False
        following = tail.strip(" -").split(" ")[0] if tail.strip() else ""
        if following == "to" and tail.strip(" -")[3:4].isdigit():
            # `IDEFICS 8 to 80b`
            return False
        return not following.startswith(
            ("million", "billion", "trillion", "percent", "points", "times", "hours", "days", "weeks", "gb", "tokens",
             "gpus", "bit", "others", "more", "experts", "downloads", "stars", "of")
        )  # fmt: skip

    def _extended(self, number: int) -> int:
        """The last word of a name: versions, sizes, variants, and a capitalised word that one of these follows."""
        last = number
        while last + 1 < len(self._chunks) and last < number + 7 and adjoin(self._text, self._chunks, last):
            following = self._chunks[last + 1]
            if not self._belongs(number, last, following):
                break
            last += 1
        return last

    def _belongs(self, first: int, last: int, following: Chunk) -> bool:
        if following.part is Part.VERSION:
            return self._is_version(last + 1) and not self._is_value(first, last, following)
        if following.part is Part.SIZE:
            counts = following.text[-1] in "Tt" and self._chunks[first].text.lower() not in _OF_TRILLIONS
            return not counts and not self._is_quantity(last + 1)
        if following.part is Part.SUFFIX:
            low = following.text.lower()
            if (
                low in ("fast", "high", "low", "base", "live")
                and following.text[0].isupper()
                and self._closes(following)
            ):
                return True
            if low in ("moe", "dense", "hybrid", "research", "live", "base", "fast", "high", "low"):
                return self._ends_name(last + 1)
            is_own = low in ("nano", "mini", "lite", "flash", "turbo") and not self._text[following.end :][:1].isalnum()
            return following.text[0].isupper() or self._text[following.start - 1] == "-" or is_own
        if following.part is Part.CAPITAL:
            return self._goes_on(first, last + 1)
        if following.part is Part.FORM:
            # `Muse Glimmer-30B`
            return last == first and needs_more(self._chunks[first].text.lower()) and following.text[0].isupper()
        if following.part is Part.FAMILY:
            return self._is_inner_family(last, last + 1) or (
                needs_more(following.text.lower()) and self._chunks[last].part is Part.CAPITAL and last > first
            )
        if following.part is Part.OTHER:
            # `Command A`
            return self._chunks[last].text == "Command" and len(following.text) == 1 and following.text.isupper()
        return following.part is Part.TAIL and not QUANT.match(following.text)

    def _is_value(self, first: int, last: int, following: Chunk) -> bool:
        """`Kimi K3 82.8`: two digits and a point behind a name that has its number are a score."""
        if not _VALUE.fullmatch(following.text) or self._text[following.start - 1] != " ":
            return False
        return any(sign.isdigit() for chunk in self._chunks[first : last + 1] for sign in chunk.text)

    def _closes(self, chunk: Chunk) -> bool:
        """Whether a cell, a bracket or a line ends behind a word."""
        tail = self._text[chunk.end : chunk.end + 3].lstrip(" *")
        return not tail or tail[0] in "|),;:\n"

    def _ends_name(self, number: int) -> bool:
        """Whether a word such as MoE belongs to the name before it: a size is beside it, or a bracket follows."""
        chunk = self._chunks[number]
        tail = self._text[chunk.end : chunk.end + 8].lstrip()
        before = self._chunks[number - 1].text
        return (
            tail.startswith("(")
            or bool(re.match(r"\d+(?:\.\d+)?[BT]\b", tail))
            or bool(SIZE.match(before))
            or (self._text[chunk.start - 1] == "-")
        )

    def _is_quantity(self, number: int) -> bool:
        chunk = self._chunks[number]
        pair = _PAIR.match(self._text, chunk.end)
        is_pair = pair is not None and float(pair[1]) * 4 < float(re.sub(r"[^\d.]", "", chunk.text) or 0)
        if is_pair and _SPARSE.search(self._text, max(0, chunk.start - 400), chunk.end + 100):
            # `Gemma 4 25.2B/3.8B`, where the text speaks of experts: total and active.
            return True
        tail = self._text[chunk.end : chunk.end + 14].lower().lstrip(" -+")
        return tail.startswith(("parameter", "param", "active", "token", "total", "download", "activated", "context"))

    def _is_inner_family(self, last: int, number: int) -> bool:
        """`Mistral` and `Mixtral` name two; `Qwen Coder`'s second word, `NVIDIA Nemotron`, one: a maker goes before."""
        before = self._chunks[last].text.lower()
        if last and _VERSION_ALONE.fullmatch(before) and adjoin(self._text, self._chunks, last - 1):
            # `Claude 4.5 Sonnet`
            before = self._chunks[last - 1].text.lower()
        return before in ("mistral", "deepseek", "claude", "gemini", "minimax", "cohere", "kimi") and self._chunks[
            number
        ].text.lower().startswith(("opus", "sonnet", "haiku", "command", "code"))

    def _goes_on(self, first: int, number: int) -> bool:
        chunk = self._chunks[number]
        low = chunk.text.lower()
        if low in self._plain or low in NO_MODELS or low in makers() or not chunk.text[0].isupper():
            return False
        if low in ("license", "licence", "terms", "community", "team", "series", "family", "stack", "model", "models"):
            return False
        if (
            needs_more(self._chunks[first].text.lower())
            and number == first + 1
            and self._chunks[first].text != "Command"
        ):
            return True
        if number + 1 >= len(self._chunks) or not adjoin(self._text, self._chunks, number):
            return False
        after = self._chunks[number + 1]
        if (
            after.part in (Part.CAPITAL, Part.FAMILY)
            and number + 2 < len(self._chunks)
            and adjoin(self._text, self._chunks, number + 1)
        ):
            # `HyperCLOVA X Seed 2`
            number += 1
            after = self._chunks[number + 1]
        if after.part is Part.VERSION:
            return self._is_version(number + 1)
        return after.part in (Part.SIZE, Part.TAIL) or (after.part is Part.SUFFIX and after.text[0].isupper())

    def _weak(self, spans: list[tuple[int, int]]) -> Iterator[Mention]:
        """Names by form alone, where the words around them speak of models."""
        for first, last in spans:
            name = self._text[self._chunks[first].start : self._chunks[last].end]
            base = key(name)[:1]
            start = self._chunks[first].start
            around = self._text[max(0, start - 90) : self._chunks[last].end + 110]
            if "".join(base) in self._accepted or _CUES.search(around):
                self._accepted.add("".join(base))
                yield self._mention(first, last)

    def _mention(self, first: int, last: int) -> Mention:
        while first < last and self._chunks[first].text.lower() in MAKERS:
            first += 1
        start, end = self._chunks[first].start, self._chunks[last].end
        ahead = _AHEAD.search(self._text, max(0, start - 6), start)
        start = ahead.start() if ahead and self._text[start:].startswith(_WITH_AHEAD) else start
        small = _SMALL_VARIANT.match(self._text, end) if self._text[end - 1].isdigit() else None
        end = small.end() if small else end
        name = self._text[start:end].replace("]] ", " ")
        is_family = first == last and name.isalpha()
        return Mention(start, end, name, Kind.FAMILY if is_family else Kind.FULL)


def _is_low(version: str) -> bool:
    """Whether a number can be an unknown name's version: models are not at their seventieth."""
    digits = re.match(r"[A-Za-z]{0,2}(\d+)", version)
    return digits is not None and int(digits[1]) <= 20
