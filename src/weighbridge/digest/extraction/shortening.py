"""Short names, led back to those in full: `Scout` after `Llama 4 Scout`, `V4` after `DeepSeek V4`, `the 31B`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from .lexicon import NO_MODELS, SUFFIXES, makers
from .mention import MOST_MENTIONS, Kind, Mention
from .variants import Variants
from .words import QUANT, SIZE, Chunk, Part, key

# How many names back a short one may lead.
_MOST_BACK = 60
# `Nemotron 3, in three sizes, Nano (31.6B)`
_SIZES_GAP = re.compile(r": |[,:]? (?:[a-z]+ ){0,4}(?:sizes|tiers|variants|versions|models|flavou?rs)[,:] ")
_SIZED_PAIR = re.compile(r"\d{1,4}(?:\.\d{1,2})?B-A\d{1,4}(?:\.\d{1,2})?B\Z")
_INNER_CAPITAL = re.compile(r"[a-z][A-Z]|[A-Z]{3}")
# `into three tiers: Nano, Super, and`
_TIERS = re.compile(
    r"\b(?:tiers|sizes|variants|versions|members|flavou?rs)(?: called| named)?(?::| —| –|,| \()\s[*_]{0,2}"
    r"(?:[A-Z]\w+[*_]{0,2}(?: \([^()\n]{1,60}\))?(?:, and |, | and | & |/)[*_]{0,2})*$"
)
_TIERS_WITHIN = 600
_CLAUSE = re.compile(r"(?:, |\band |\bbut |\bwhile |; )$")
_DOES = re.compile(r" (?:needs?|requires?|runs?|fits?|takes?|uses?|scores?|reaches|gets|costs?|wants?)\b")
_LISTED_WITHIN = 96
_VARIANT_BEHIND = re.compile(r" (?:sibling|variant|version|edition|flavou?r|tier|checkpoint)\b")
_GENERIC_SHORT = frozenset(
    "base instruct chat it pt dev latest preview live v r exp experimental dense moe large small medium high low "
    "fast heavy deep think dive research edge cloud voice speech code math vision audio reasoning thinking".split()
)


_MODEL_BEHIND = re.compile(r" (?:dense |moe |sparse |flagship )?model ")
_SHORT_PARTS = frozenset({Part.SIZE, Part.VERSION, Part.TAIL, Part.CAPITAL, Part.SUFFIX})


class Shortener:
    """Leads short names back to those in full."""

    def __init__(self, text: str, words: list[Chunk], full: list[Mention]) -> None:
        self._text = text
        self._words = words
        self._full = full
        self._by_last: dict[str, list[str]] = {}
        self._by_tail: dict[tuple[str, ...], str] = {}
        for name in dict.fromkeys(mention.name for mention in full if mention.kind is Kind.FULL):
            self._index(name)
        self._at = {mention.start: mention for mention in full}
        self._variants = Variants(text)
        self._counts = Counter(word.text for word in words)
        self._heads = {tail[0] for tail in self._by_tail}

    def _index(self, name: str) -> None:
        if ":" in name:
            # `ollama:gemma4:12b` is what a program calls Gemma 4 12B, and no longer name of it.
            return
        words = key(name)
        for at in range(1, min(len(words), 6)):
            tail = words[at:]
            known = self._by_tail.get(tail)
            if known is None or len(key(known)) > len(words):
                self._by_tail[tail] = name
        named = [word for word in words[1:] if word.isalpha() and len(word) > 2 and word not in _GENERIC_SHORT]
        if named:
            self._by_last.setdefault(named[-1], []).append(name)

    def all(self) -> list[Mention]:
        """The names in full and the short ones, in their order."""
        found: list[Mention] = []
        place = 0
        skip_until = -1
        for number, chunk in enumerate(self._words):
            while place < len(self._full) and self._full[place].start <= chunk.start:
                found.append(self._whole(self._full[place]))
                skip_until = self._full[place].end
                place += 1
            if chunk.start < skip_until:
                continue
            short = self._short(number, found[-_MOST_BACK:]) if chunk.part in _SHORT_PARTS else None
            if short is not None and len(found) < MOST_MENTIONS:
                found.append(short)
                skip_until = short.end
        return [*found, *self._full[place:]]

    def _whole(self, mention: Mention) -> Mention:
        """`Opus 4.7` is `Claude Opus 4.7` where the page says so once."""
        if mention.kind is Kind.FAMILY and self._text[max(0, mention.start - 4) : mention.start].lower() == "the ":
            # `The Qwen is faster`, where the page speaks of one.
            named = {
                key(each.name): each.name
                for each in self._full
                if each.name.startswith(mention.name) and each.kind is Kind.FULL
            }
            if len(named) == 1 or (named and len({words[:3] for words in named}) == 1):
                return Mention(mention.start, mention.end, max(named.values(), key=len), Kind.SHORT)
        known = self._by_tail.get(key(mention.name)) if mention.kind is Kind.FULL else None
        if known is not None and known[0].isalpha() and not mention.name[0].isdigit():
            return Mention(mention.start, mention.end, known, mention.kind)
        return mention

    def _short(self, number: int, before: Sequence[Mention]) -> Mention | None:
        chunk = self._words[number]
        if QUANT.match(chunk.text):
            return None
        sibling = self._variants.in_bracket(chunk.start, chunk.end)
        if sibling:
            return Mention(chunk.start, chunk.end, sibling, Kind.SHORT)
        if chunk.part is Part.SIZE:
            return self._sized(number, before)
        if chunk.part in (Part.VERSION, Part.TAIL):
            return self._versioned(number, before)
        if chunk.part in (Part.CAPITAL, Part.SUFFIX) and chunk.text[0].isupper():
            return self._worded(number, before)
        return None

    def _joined_to(self, chunk: Chunk, before: Sequence[Mention]) -> Mention | None:
        """The mention that this word is joined to by `and`, `/` or a comma."""
        if not before or chunk.start - before[-1].end > 12:
            return None
        gap = self._text[before[-1].end : chunk.start].strip().lower()
        return before[-1] if gap in ("and", "/", ",", "&", "or", ", and", "+", "and the") else None

    def _sized(self, number: int, before: Sequence[Mention]) -> Mention | None:
        """`the 31B Dense variant`, `the 72B variant of Qwen 3`, `Qwen3-8B and 14B`."""
        chunk = self._words[number]
        if chunk.text[-1] not in "Bb" or chunk.text[0] in "aA":
            return None
        end = self._end_of_sized(number)
        joined = self._joined_to(chunk, before)
        is_list = joined is not None and (joined.kind is Kind.FULL or joined.is_listed)
        if joined is not None and is_list and _has_size(joined.name) and not self._is_counted(end):
            return Mention(chunk.start, end, f"{_without_size(joined.name)} {chunk.text}", Kind.SHORT, is_listed=True)
        head = self._text[max(0, chunk.start - 6) : chunk.start].lower()
        if before and _CLAUSE.search(head) and _DOES.match(self._text, end) and self._is_near(before[-1], chunk):
            # `Tern3-8B fits in 8 GB, and 70B needs 40 GB`
            return Mention(chunk.start, end, f"{_without_size(before[-1].name)} {chunk.text}", Kind.SHORT)
        if not head.endswith(("the ", "its ", "’s ", "'s ")) or self._is_counted(end):
            return None
        tail = self._text[end : end + 30].lower()
        of = re.match(r" (?:variant|version|checkpoint|member|sibling|edition|size)s? (?:of|in) (?:the )?", tail)
        base = None
        if of:
            start = end + of.end()
            base = self._at.get(start)
        elif head.endswith(("the ", "its ")) and re.match(
            r" (?:variant|version|checkpoint|sibling|one|edition|size|is|was|has|scores|runs|fits|needs"
            r"|beats|can)\b|[,.):]",
            tail,
        ):
            base = next((m for m in reversed(before) if chunk.start - m.end < 3000), None)
        elif head.endswith(("the ", "its ")) and _MODEL_BEHIND.match(tail) and self._is_listed(number):
            base = next((m for m in reversed(before) if chunk.start - m.end < 600), None)
        same = [m.name for m in before if m.kind is Kind.FULL and chunk.text.lower() in key(m.name)]
        if same and not of:
            return Mention(chunk.start, end, same[-1], Kind.SHORT)
        if base is None or base.kind is Kind.REPOSITORY:
            return None
        words = self._text[chunk.start : end]
        return Mention(chunk.start, end, f"{_without_size(base.name)} {words}", Kind.SHORT)

    def _is_near(self, mention: Mention, chunk: Chunk) -> bool:
        """Whether a name with a size stands shortly before."""
        return mention.kind is not Kind.REPOSITORY and chunk.start - mention.end < 120 and _has_size(mention.name)

    def _is_listed(self, number: int) -> bool:
        """Whether the text before lists this size beside another, as those that a model comes in."""
        chunk = self._words[number]
        sizes = {
            word.text
            for word in self._words[max(0, number - 40) : number]
            if word.part is Part.SIZE and chunk.start - word.end < 500 and not self._is_counted(word.end)
        }
        return chunk.text in sizes and len(sizes) > 1

    def _end_of_sized(self, number: int) -> int:
        end = self._words[number].end
        for following in self._words[number + 1 : number + 4]:
            if (
                following.part is Part.SUFFIX
                and self._text[end : following.start] in (" ", "-")
                and following.text[0].isupper()
            ):
                end = following.end
            else:
                break
        return end

    def _is_counted(self, end: int) -> bool:
        tail = self._text[end : end + 14].lower().lstrip(" -+")
        return tail.startswith(
            ("parameter", "param", "active", "token", "total", "download", "activated", "dense", "class")
        )

    def _versioned(self, number: int, before: Sequence[Mention]) -> Mention | None:
        """`V4`, `V4-Pro`, `M2.7`: a version with a letter that a name on the page has, or its sibling."""
        chunk = self._words[number]
        words = key(chunk.text)
        if _SIZED_PAIR.match(chunk.text) and (pair := self._paired(chunk, before)):
            return pair
        if number and self._is_of_another(number, before):
            return None
        joined = self._joined_to(chunk, before)
        if chunk.part is Part.VERSION and chunk.text[0].isdigit():
            return self._variants.versioned(chunk.start, chunk.end, joined)
        if len(words) < 2 and not (words and words[0][0].isalpha()):
            return None
        longer = self._with_next(number, words)
        if longer is not None:
            return longer
        known = self._by_tail.get(words)
        if known is not None and (chunk.text[0].isalpha() or words[-1].isalpha()):
            return Mention(chunk.start, chunk.end, known, Kind.SHORT)
        if not chunk.text[0].isalpha() or len(words[0]) > 1 or not before:
            return None
        for mention in reversed(before[-40:]):
            if mention.kind is Kind.FULL and words[0] in key(mention.name)[1:]:
                stem = re.split(
                    rf"(?<![A-Za-z]){re.escape(chunk.text[0])}(?=\d)", mention.name, maxsplit=1, flags=re.I
                )[0]
                if len(stem) < len(mention.name):
                    return Mention(chunk.start, chunk.end, f"{stem}{chunk.text}", Kind.SHORT)
        return None

    def _paired(self, chunk: Chunk, before: Sequence[Mention]) -> Mention | None:
        """`Qwen3.6-27B or 35B-A3B`, `the 30B-A3B`, `30B-A3B = MoE with ...`: a size and its active part for a name."""
        joined = self._joined_to(chunk, before)
        if joined is not None and joined.kind is Kind.FULL and _has_size(joined.name):
            return Mention(chunk.start, chunk.end, f"{_without_size(joined.name)}-{chunk.text}", Kind.SHORT)
        known = self._by_tail.get(key(chunk.text))
        if known:
            return Mention(chunk.start, chunk.end, known, Kind.SHORT)
        base = next((_without_size(each.name) for each in reversed(before) if each.is_specific), "")
        if not base or self._text[max(0, chunk.start - 4) : chunk.start].lower() != "the ":
            return None
        return Mention(chunk.start, chunk.end, f"{base}-{chunk.text}", Kind.SHORT)

    def _is_of_another(self, number: int, before: Sequence[Mention]) -> bool:
        """`LiveCodeBench v6`: the version of something else, which stands right before."""
        chunk, ahead = self._words[number], self._words[number - 1]
        if chunk.text[0] not in "vV" or self._text[ahead.end : chunk.start] != " ":
            return False
        return _INNER_CAPITAL.search(ahead.text) is not None and (not before or before[-1].end <= ahead.start)

    def _with_next(self, number: int, words: tuple[str, ...]) -> Mention | None:
        """`V4 Flash` after `DeepSeek V4 Flash`: a version with the variant behind it."""
        chunk = self._words[number]
        if number + 1 >= len(self._words):
            return None
        following = self._words[number + 1]
        if self._text[chunk.end : following.start] not in (" ", "-"):
            return None
        known = self._by_tail.get(words + key(following.text)) if following.text[0].isupper() else None
        return Mention(chunk.start, following.end, known, Kind.SHORT) if known else None

    def _worded(self, number: int, before: Sequence[Mention]) -> Mention | None:
        """`Scout`, `Opus 4.7`, and `Maverick` right behind `Llama 4 Scout and`."""
        end = number
        words = key(self._words[number].text)
        best: tuple[int, str] | None = None
        while words and words[0] in self._heads and end < number + 4:
            name = self._by_tail.get(words)
            if name is not None and _stands_alone(words):
                best = (end, name)
            following = end + 1
            if following >= len(self._words) or self._text[self._words[end].end : self._words[following].start] not in (
                " ",
                "-",
            ):
                break
            end = following
            words += key(self._words[end].text)
        chunk = self._words[number]
        if best is not None:
            return Mention(chunk.start, self._words[best[0]].end, best[1], Kind.SHORT)
        related = self._variants.related(chunk.start, chunk.end, before[-1] if before else None)
        if listed := related or self._listed(number, before) or self._in_tiers(number, before) or self._tiered(number):
            return listed
        word = chunk.text.lower()
        joined = self._joined_to(chunk, before)
        if joined is not None and chunk.part is Part.SUFFIX and (sibling := self._numbered_sibling(number, joined)):
            return sibling
        if word in _GENERIC_SHORT:
            return None
        named = self._by_last.get(word)
        if named:
            return Mention(chunk.start, chunk.end, min(named, key=lambda name: len(key(name))), Kind.SHORT)
        if joined is not None and chunk.part is Part.SUFFIX and joined.kind is not Kind.FAMILY:
            stem = joined.name.rpartition(" ")[0] or joined.name.rpartition("-")[0]
            if stem and key(joined.name)[-1:] and key(joined.name)[-1] in SUFFIXES:
                variant = Mention(chunk.start, chunk.end, f"{stem} {chunk.text}", Kind.SHORT, is_listed=True)
                return self._variants.add(variant, joined)
        head = self._text[max(0, chunk.start - 4) : chunk.start].lower()
        if (
            chunk.part is Part.SUFFIX
            and before
            and head in ("the ", "its ")
            and _VARIANT_BEHIND.match(self._text, chunk.end)
            and before[-1].is_specific
        ):
            # `its Air sibling`
            return Mention(chunk.start, chunk.end, f"{_without_size(before[-1].name)} {chunk.text}", Kind.SHORT)
        return None

    def _in_tiers(self, number: int, before: Sequence[Mention]) -> Mention | None:
        """`three tiers: Nano, Super, and Ultra`, behind `Nemotron 3`."""
        chunk = self._words[number]
        if chunk.part is not Part.SUFFIX or _TIERS.search(self._text, max(0, chunk.start - 100), chunk.start) is None:
            return None
        base = next(
            (each for each in reversed(before) if each.kind is Kind.FULL and each.name[-1].isdigit()),
            None,
        )
        return self._variant(chunk, base.name) if base and chunk.start - base.end < _TIERS_WITHIN else None

    def _tiered(self, number: int) -> Mention | None:
        """`Small 4`, where the page speaks of Mistral: its tiers have numbers of their own."""
        chunk = self._words[number]
        following = self._words[number + 1] if number + 1 < len(self._words) else None
        if chunk.text not in ("Small", "Medium", "Large") or following is None or following.part is not Part.VERSION:
            return None
        if following.start != chunk.end + 1 or following.text[0] not in "123456789" or "Mistral" not in self._text:
            return None
        words = self._text[chunk.start : following.end]
        return Mention(chunk.start, following.end, f"Mistral {words}", Kind.FULL)

    def _listed(self, number: int, before: Sequence[Mention]) -> Mention | None:
        """`Llama 4 (Scout & Maverick)`, `Llama 4: Scout (17B active), Maverick (17B active)`: variants by one word."""
        chunk = self._words[number]
        is_word = chunk.text.isalpha() and chunk.text[1:].islower() and not self._is_makers(chunk)
        if not before or chunk.start - before[-1].end > _LISTED_WITHIN or not is_word:
            return None
        last = before[-1]
        gap = self._text[last.end : chunk.start]
        tail = self._text[chunk.end : chunk.end + 3]
        if last.kind is Kind.FULL and last.name[-1].isdigit():
            opens = gap == " (" and (tail.startswith((")", ",")) or tail.strip()[:1] in "&/")
            is_own = chunk.part is Part.SUFFIX or tail.startswith(")")
            opens = opens and (is_own or self._variants.fill_bracket(chunk.start))
            if not opens and not (
                _SIZES_GAP.fullmatch(gap) and re.match(r" \(\d", self._text[chunk.end : chunk.end + 4])
            ):
                return None
            return self._variants.add(self._variant(chunk, last.name), last)
        stem, _, word = last.name.rpartition(" ")
        is_short = last.kind is Kind.SHORT and word.isalpha() and stem[-1:].isdigit()
        is_next = re.fullmatch(r" ?(?:&|/|,|and|, and) ?|(?: \([^()]{1,80}\))?, (?:and )?", gap) is not None
        if is_short and is_next and tail.startswith((")", ",", " &", " /", " (")):
            return self._variants.add(self._variant(chunk, stem), last)
        return None

    def _variant(self, chunk: Chunk, base: str) -> Mention:
        """A variant that the text lists behind its release's name: that word alone stands for it from there on."""
        name = f"{base} {chunk.text}"
        if name not in self._by_last.get(chunk.text.lower(), ()):
            self._index(name)
            self._heads.update(tail[0] for tail in self._by_tail)
        return Mention(chunk.start, chunk.end, name, Kind.SHORT, is_listed=True)

    def _is_makers(self, chunk: Chunk) -> bool:
        """Whether `Qwen 2.5 (Alibaba)` tells who made it: a house's name, or a word alone in its bracket that the page
        has nowhere else and that is no variant's."""
        low = chunk.text.lower()
        if low in makers() or low in NO_MODELS:
            return True
        alone = self._text[chunk.start - 1 : chunk.start] == "(" and self._text[chunk.end : chunk.end + 1] == ")"
        return alone and low not in SUFFIXES and self._counts[chunk.text] < 2

    def _numbered_sibling(self, number: int, joined: Mention) -> Mention | None:
        """`Mistral Large 3 / Small 4`: a variant with a number of its own."""
        chunk = self._words[number]
        following = self._words[number + 1] if number + 1 < len(self._words) else None
        pieces = joined.name.split(" ")
        if following is None or following.part is not Part.VERSION or following.start != chunk.end + 1:
            return None
        if len(pieces) < 3 or pieces[-2].lower() not in SUFFIXES:
            return None
        words = self._text[chunk.start : following.end]
        return Mention(chunk.start, following.end, f"{' '.join(pieces[:-2])} {words}", Kind.SHORT)


def _stands_alone(words: tuple[str, ...]) -> bool:
    """Whether the last words of a name can stand for it: `Scout` and `Opus 4.7` can, `Base` and `4.7` cannot."""
    if len(words) > 1:
        return words[0].isalpha()
    word = words[0]
    return word not in _GENERIC_SHORT and not word[0].isdigit() and (len(word) > 3 or word in ("pro", "max", "air"))


def _has_size(name: str) -> bool:
    return any(SIZE.match(piece) for piece in re.split(r"[-_ ]", name))


def _without_size(name: str) -> str:
    pieces = re.split(r"([-_ ])", name)
    kept = [piece for piece in pieces if not SIZE.match(piece)]
    return re.sub(r"[-_ ]{2,}", " ", "".join(kept)).strip(" -_")
