"""Which variant a name means: names of repositories, of files, of other tools, and words as people type them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import NamedTuple

from weighbridge.errors import AmbiguousModel, UnknownModel

_MOST_LETTERS = 300
_MOST_SHOWN = 8

# How weights were packed, and by what: no part of the model's name.
_PACKING = re.compile(
    r"(?<![a-z0-9])(?:ud[-_])?(?:i1[-_])?(?:"
    r"i?q\d(?:[-_](?:k(?:[-_](?:xl|[sml]))?|x{0,2}[sml]|xxs|nl|\d))*|tq\d[-_]0|mxfp4(?:[-_]moe)?|nvfp4(?:[-_]fast)?"
    r"|q\d|[bf]p?f?(?:16|32)|fp8(?:[-_]dynamic)?|fp4|int[48]|w\da\d{1,2}|\d[-_]?bit|gguf|ggml|awq|gptq|exl[23]|mlx|bnb|onnx"
    r"|imatrix|autoround|marlin|quantized(?:\.w\da\d{1,2})?|dynamic|safetensors|hf"
    r")(?![a-z0-9])"
)
_SIZE = r"\d+x\d+(?:\.\d+)?b|[ae]?\d+(?:\.\d+)?[bmtk](?![a-z])"
_WORD = re.compile(rf"{_SIZE}|\d+(?:\.\d+)*|[a-z]+")
# Words that say the same, and words that say nothing.
_SAME = {"it": "instruct", "chat": "instruct", "thinker": "thinking", "think": "thinking"}
_EMPTY = frozenset({"meta", "nvidia", "the", "latest", "model", "unsloth", "deepseekai", "google"})
# The letter before a version: v0.3.
_VERSION = re.compile(r"(?<![a-z])v(?=\d)")
_FILE = re.compile(r"(?:-\d{5}-of-\d{5})?\.(?:gguf|safetensors)$")


class Named(NamedTuple):
    """What is known of a variant's names."""

    name: str
    release: str
    repository: str
    repositories: Sequence[str]
    downloads: int


def words_of(text: str) -> frozenset[str]:
    """The words that tell one model from others: names, versions and sizes."""
    text = _PACKING.sub(" ", text.lower().replace("c4ai-", ""))
    text = _VERSION.sub("", re.sub(r"(?<=\d)_(?=\d)", ".", text))
    words = {_SAME.get(word, word) for word in _WORD.findall(text) if word not in _EMPTY}
    if "pt" in words:
        # Pre-trained in Gemma's names; in others' the format of PyTorch.
        words ^= {"pt", "base"} if "gemma" in words else {"pt"}
    return frozenset(words)


class Names:
    """An index over variants by the words of their names."""

    def __init__(self, named: Sequence[Named]) -> None:
        self._named = named
        self._exact: dict[str, int] = {}
        self._holders: dict[str, int] = {}
        self._words: list[frozenset[str]] = []
        for number, each in enumerate(named):
            for name in (each.repository, each.name, *each.repositories):
                self._exact.setdefault(name.lower(), number)
            words = words_of(each.name)
            self._words.append(words)
            for word in words:
                # One bit a variant: the variants that have all of some words are found by `and`.
                self._holders[word] = self._holders.get(word, 0) | 1 << number
        self._releases: dict[frozenset[str], list[int]] = {}
        for number, each in enumerate(named):
            self._releases.setdefault(words_of(each.release), []).append(number)
        self._makers = {each.repository.partition("/")[0].lower() for each in named}

    def find(self, name: str) -> int:
        """The number of the variant that is meant; UnknownModel or AmbiguousModel names the nearest."""
        text = name.strip()[:_MOST_LETTERS].lower()
        place = re.sub(r"^(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co|ollama)[/:]|^ollama:", "", text).rstrip("/")
        plain, _, tag = place.partition(":")
        exact = self._exact.get(plain)
        if exact is not None and (not tag or not words_of(tag)):
            return exact
        found = self._by_words(place)
        if len(found) == 1:
            return found[0]
        if found:
            raise self._ambiguous(name, found)
        raise self._unknown(name, text)

    def _by_words(self, place: str) -> list[int]:
        plain, _, tag = place.partition(":")
        organisation, slash, short = plain.rpartition("/")
        short = _FILE.sub("", short)
        # Some repack under a name that begins with the maker's.
        before, underscore, after = short.partition("_")
        if underscore and before in self._makers:
            short = after
        is_repository = bool(slash) or short.endswith("gguf") or bool(organisation)
        words = words_of(f"{short} {tag}")
        if not words:
            return []
        return self._narrow(words, self._having(words), is_repository=is_repository)

    def _having(self, words: Iterable[str]) -> list[int]:
        """The variants whose names have all these words."""
        bits = -1
        for word in words:
            bits &= self._holders.get(word, 0)
        found = []
        while bits > 0:
            lowest = bits & -bits
            found.append(lowest.bit_length() - 1)
            bits ^= lowest
        return found

    def _narrow(self, words: frozenset[str], found: list[int], *, is_repository: bool) -> list[int]:
        """Those that are meant. A repository's name is whole; in words that people type, `instruct` goes without
        saying where a model has it, and so does what only the plainest of several lacks."""
        same = [number for number in found if self._words[number] == words]
        if is_repository:
            return same
        instructed = [number for number in found if self._words[number] == words | {"instruct"}]
        if len(instructed) == 1 or len(same) == 1:
            return instructed if len(instructed) == 1 else same
        tuned = [number for number in found if "base" not in self._words[number]]
        if "base" not in words and tuned:
            found = tuned
        if len(found) < 2:
            return found
        return self._plainest([number for number in self._releases.get(words, ()) if number in found] or found)

    def _plainest(self, found: list[int]) -> list[int]:
        """The one whose name all the others' hold and add to, if there is one."""
        fewest = min(found, key=lambda number: (len(self._words[number]), number))
        core = self._words[fewest]
        if (
            all(core <= self._words[number] for number in found)
            and sum(self._words[each] == core for each in found) == 1
        ):
            with_instruct = [number for number in found if self._words[number] == core | {"instruct"}]
            return with_instruct if len(with_instruct) == 1 else [fewest]
        return found

    def _ambiguous(self, name: str, found: list[int]) -> AmbiguousModel:
        ranked = sorted(found, key=lambda number: -self._named[number].downloads)
        shown = ", ".join(self._named[number].name for number in ranked[:_MOST_SHOWN])
        more = f" and {len(found) - _MOST_SHOWN} more" if len(found) > _MOST_SHOWN else ""
        return AmbiguousModel(
            f"{name[:_MOST_LETTERS]!r} may be any of {len(found)} models: {shown}{more}",
            hint=f"name one of them: {self._named[ranked[0]].repository}",
        )

    def _unknown(self, name: str, text: str) -> UnknownModel:
        by_name = {each.name.lower(): each.name for each in self._named}
        near = get_close_matches(_PACKING.sub("", text.rpartition("/")[2]).strip("-_ ."), by_name, n=3, cutoff=0.5)
        hint = f"the nearest are {', '.join(by_name[each] for each in near)}" if near else ""
        return UnknownModel(
            f"no model is known by the name {name[:_MOST_LETTERS]!r}",
            hint=hint or "give the repository, org/name, or a file: weigh facts reads what is in no catalogue",
        )
