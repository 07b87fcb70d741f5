"""Which of the variants that are known a name means: by its words, its sizes and its kind."""

from __future__ import annotations

import re
from collections.abc import Sequence

from weighbridge.catalogue import Variant
from weighbridge.catalogue.naming import words_of

from .fact import Row
from .names import is_dated, is_revision, sizes_in, unit_of, words_of_name

TUNED = frozenset({"instruct", "base", "thinking", "preview", "sft", "dpo", "rl", "hf"})
"""Words that tell how a network was tuned, and not which it is."""
# A size in a name is rounded: 109B for 108.2e9, 14B for 13.96e9, 400B for 401.6e9; 32B for 30.5e9 is another.
_NAMED_SIZE = 0.025
_MOST_ROUNDED, _MOST_CUT = 0.2, 0.14


def same_weights(name: str, words: frozenset[str], variants: tuple[Variant, ...]) -> tuple[tuple[Variant, ...], bool]:
    """Those that are named so exactly, else those whose names add sizes alone, else the release of that name; else all,
    and then the name leaves open which is meant."""
    plain = words - TUNED
    # `Phi-3.5` is not Phi-3.5-MoE.
    meant = tuple(each for each in variants if "moe" in name.lower() or "moe" not in each.name.lower())
    same = tuple(each for each in meant if words_of_name(each.name) - TUNED == plain)
    kind = words & TUNED
    if kind and any(kind <= words_of_name(each.name) for each in same):
        same = tuple(each for each in same if kind <= words_of_name(each.name))
    if same:
        return same, False
    # `Llama 4 Scout` for Llama-4-Scout-17B-16E.
    is_sized = bool(sizes_in(plain))
    by_size = tuple(
        each
        for each in meant
        # `Mixtral 8x7B` for Mixtral-8x7B-v0.1; `Mistral` alone leaves more open.
        if only_sizes(
            frozenset(word for word in words_of_name(each.name) - plain - TUNED if not (is_sized and is_revision(word)))
        )
    )
    of_release = tuple(each for each in variants if words_of_name(each.release) == plain)
    return by_size or of_release or variants, not by_size and not of_release


def with_zero(words: frozenset[str]) -> frozenset[str]:
    """`Granite 4` as `Granite 4.0`, and the other way round."""
    return frozenset(
        word.removesuffix(".0") if word.endswith(".0") else f"{word}.0" if word.isdigit() and len(word) == 1 else word
        for word in words
    )


def only_sizes(added: frozenset[str]) -> bool:
    """Whether what a repository's name adds to another's tells sizes or a day alone."""
    sizes = sizes_in(added)
    return all(word in sizes or is_dated(word) or word == "e" or (word.isdigit() and "e" in added) for word in added)


def alike(rows: Sequence[Row], size: float) -> bool:
    """Whether no repository that may be meant holds a network of another size; packed ones count otherwise."""
    return all(not row.parameters or 0.9 < row.parameters / size < 1.12 for row in rows)


def fits(size: float, word: str, variant: Variant) -> bool:
    """Whether a size of a name is one of the variant's: its total, its active weights, or one of its own name."""
    if word in words_of_name(variant.name):
        return True
    known: list[float] = [each.value for each in (variant.parameters, variant.active_parameters) if each]
    known += sizes_in(words_of_name(variant.name)).values()
    # `3B` for 3.34e9: the half of the last digit that is written.
    digit = unit_of(word, size)
    # `14B` for 14.66e9: some cut the rest off; `1B` is not 0.5e9 or 1.5e9 for all that.
    return any(
        abs(size - value) <= max(_NAMED_SIZE * value, min(0.5 * digit, _MOST_ROUNDED * value))
        or 0 <= value - size < min(digit, _MOST_CUT * value)
        for value in known
    )


def of_kind(name: str, variants: tuple[Variant, ...]) -> tuple[Variant, ...]:
    """Of a name that says so those with experts, or those without: `Qwen 3 MoE`, `Gemma 4 31B Dense`."""
    said = _KIND.search(name.lower())
    if said is None:
        return variants
    wants_sparse = said[0] != "dense"
    meant = tuple(each for each in variants if each.shape is not None and each.shape.is_sparse is wants_sparse)
    return meant or variants


_KIND = re.compile(r"\b(?:moe|dense)\b")


def added_words(name: str, words: frozenset[str]) -> int:
    """How many words a service's name has beside these: `anthropic--claude-4.7-opus` has one."""
    return len(words_of(name) ^ words)


def plainest(variants: Sequence[Variant], name: str) -> str:
    """What several that hold the same network are called: the shortest of their names, where the others add to it."""
    plain = min(variants, key=lambda each: (len(each.name), -each.downloads.value if each.downloads else 0))
    shortest = plain.name
    words = words_of_name(shortest) - TUNED
    return shortest if all(words <= words_of_name(each.name) for each in variants) else name


def common_name(variants: Sequence[Variant], name: str) -> str:
    """What several that differ are called: the release, where the name tells no more than it does."""
    if len(variants) == 1:
        return variants[0].name
    release = variants[0].release
    words, own = words_of_name(name), words_of_name(release)
    is_release = all(each.release == release for each in variants) and (words <= own or with_zero(words) <= own)
    return release if is_release else name
