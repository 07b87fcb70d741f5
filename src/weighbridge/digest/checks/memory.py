"""Whether it fits: the weights at the quantization that is named, as a sum.

Only the weights are counted, which are the least that must be held: the cache and buffers come on top. Without a named
quantization it is refuted only where two bits a weight are too many.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from weighbridge.catalogue import Variant
from weighbridge.figures import Basis

from ..verdict import Proof
from . import parameters
from .case import Case, Finding, open_question, refuted, supported

FIELDS = ("memory_needed",)

_RECIPE = re.compile(
    r"(?<![a-z0-9])(i?q[2-8](?:_(?:k(?:_[sml])?|0|1|xxs|xs|nl|s|m))?|mxfp4|nvfp4|bf16|fp16|f16|fp8|int8|int4|fp4|awq|gptq"
    r"|(?:1\.58|[1-8])[ -]?bits?)(?![a-z0-9])"
)
_BITS = {
    "bf16": 16.0, "fp16": 16.0, "f16": 16.0, "fp8": 8.0, "int8": 8.0, "int4": 4.0, "fp4": 4.0, "mxfp4": 4.25,
    "nvfp4": 4.5, "awq": 4.0, "gptq": 4.0, "q8_0": 8.5, "q6_k": 6.56, "q5_k_m": 5.7, "q4_k_m": 4.85, "q4_k_s": 4.58,
    "q4_0": 4.5, "q3_k_m": 3.9, "q2_k": 3.0,
}  # fmt: skip
_LEAST_BITS = 1.6
_TYPICAL_BITS = 4.5
# A card of 48 GB has 48 GiB, and what is stated as GB may be GiB.
_GIB = 1.0737
# Several cards in one box, or memory that is not the card's.
_ELSEWHERE = re.compile(
    r"\b(?:dgx|hosts?|nodes?|(?<!-)servers?|clusters?|pods?|racks?|each|per (?:gpu|card)|offload\w*|stream(?:ing|ed)"
    r"|swap|mmap|ssd|nvme|airllm|ternary|near|layer[- ]by[- ]layer|layer-wise|slow\w*|system ram|cpu|unified"
    r"|hybrid inference)\b"
)
_NEED = re.compile(
    r"\b(?:needs?|requires?|required|at least|minimum|takes|consumes|uses|occupies|footprint|vram of|recommended)\b"
)
_FITS = re.compile(
    r"\b(?:fits?|fitting|runs?|running|serves?|served|loads?|handles?|single|on a|on one|within|in \d+)\b"
)


class Size(NamedTuple):
    """Bytes of a network's weights at some quantization."""

    size_bytes: float
    least_bytes: float
    """What it takes at the least, by whatever the words may mean: a `Q4` of 4.25 bits."""
    proof: Proof


def check(case: Case) -> Finding:
    """The sum of the weights against the memory that is named."""
    memory = case.number
    if not memory or memory < 1e8:
        return open_question()
    words = f"{case.line} {case.claim.qualifier}".lower()
    own = f"{case.claim.quote} {case.claim.qualifier}".lower()
    recipe = _recipe(case, own)
    sizes = list(_sizes(case, recipe.replace(" ", "-")))
    if not sizes:
        return open_question()
    fits = "fit" in case.claim.qualifier.lower() or (bool(_FITS.search(own)) and not _NEED.search(own))
    smallest = min(sizes, key=lambda each: each.size_bytes)
    if not fits and _NEED.search(words) and not _FITS.search(own) and not (recipe and not case.is_least):
        return _needs(memory, sizes, is_least=case.is_least and bool(recipe))
    if _may_lie_elsewhere(case, recipe, words):
        return open_question(_compared(smallest, memory, ">" if smallest.size_bytes > memory else "<"))
    fewest = min(sizes, key=lambda each: each.least_bytes)
    if fewest.least_bytes > memory * _GIB * 1.01 and _settles(case) and not _ELSEWHERE.search(words):
        return refuted(_compared(fewest, memory, ">"))
    holding = [each for each in sizes if each.size_bytes * 1.05 <= memory]
    if holding and recipe:
        largest = max(holding, key=lambda each: each.size_bytes)
        beyond = [each for each in sizes if each.size_bytes > memory * _GIB]
        if beyond:
            # Of several that the name means some fit and some do not.
            return open_question(_compared(largest, memory, "<"), _compared(beyond[0], memory, ">"))
        return supported(_compared(largest, memory, "<"))
    return open_question(_compared(smallest, memory, ">" if smallest.size_bytes > memory else "<"))


def _recipe(case: Case, own: str) -> str:
    """The quantization that is meant; of several in the sentence the smallest, which is the one that fits."""
    named = _RECIPE.findall(own) or _RECIPE.findall(case.claim.qualifier.lower())
    return min(named, key=lambda name: _bits_of(name)[1], default="")


_HOLDS_ALL = re.compile(r"\bfit(?:s|ting)?\b")


def _may_lie_elsewhere(case: Case, recipe: str, words: str) -> bool:
    """Whether experts may lie in main memory while a card computes: a network of experts `runs on` a card that is
    smaller than it; that it fits is said of all of it, at a quantization that is named."""
    sparse = any(variant.shape and variant.shape.experts for variant in case.subject.variants)
    dense = all(variant.shape and not variant.shape.experts for variant in case.subject.variants)
    return not dense and not (sparse and recipe and _HOLDS_ALL.search(words))


def _settles(case: Case) -> bool:
    """Whether all that may be meant is too large."""
    return not case.is_expected and bool(case.subject.variants or case.subject.is_exact)


def _needs(memory: float, sizes: list[Size], *, is_least: bool) -> Finding:
    """`needs 80 GB`: true where the weights take a good part of it and no more, and `more than 80 GB at 4-bit` where
    they take so much at the least; else it is not settled."""
    for each in sizes:
        if 0.5 * memory <= each.size_bytes <= 1.02 * memory:
            return supported(_compared(each, memory, "<"))
    if is_least and (least := [each for each in sizes if memory < each.least_bytes <= 2 * memory]):
        return supported(_compared(least[0], memory, ">"))
    return open_question(_compared(sizes[0], memory, ">" if sizes[0].size_bytes > memory else "<"))


def _compared(size: Size, memory: float, sign: str) -> Proof:
    proof = size.proof
    return Proof("sum", f"{proof.text} {sign} {memory / 1e9:.4g} GB", proof.basis, proof.source, proof.key, proof.date)


def _sizes(case: Case, recipe: str) -> Iterator[Size]:
    """The weights of each network that may be meant, at the recipe or at the bits that are named."""
    seen = set()
    for variant in case.subject.variants:
        total = variant.parameters.value if variant.parameters else 0
        if not total or round(total, -8) in seen:
            continue
        seen.add(round(total, -8))
        exact = _exact(variant, recipe)
        if exact:
            yield exact
            continue
        if variant.shape:
            place, key = variant.shape.source.partition(";")[0], parameters.keys_of(variant.shape)
        else:
            place, key = variant.parameters.source if variant.parameters else "", "parameters"
        yield _by_bits(variant.name, total, recipe, place, key)
    if not case.subject.variants:
        counts = [count for count in parameters.counts_of(case) if not count.is_active and count.is_sure]
        for count in counts[:3]:
            yield _by_bits(case.subject.name, count.value, recipe, count.proof.source)


def _exact(variant: Variant, recipe: str) -> Size | None:
    """Bytes by llama.cpp's rules, where its recipe is named in full."""
    shape = variant.shape
    if shape is None or recipe.upper() not in shape.quantizations:
        return None
    size = shape.quantizations[recipe.upper()].weights_bytes
    bits = 8 * size / shape.parameters
    text = f"{variant.name} at {recipe.upper()}: weights at {bits:.2f} bits x {shape.parameters / 1e9:.4g}e9 / 8 = "
    source = shape.source.partition(";")[0]
    proof = Proof("sum", f"{text}{size / 1e9:.4g} GB", Basis.COMPUTED, source, parameters.keys_of(shape), shape.date)
    return Size(size, size, proof)


def _by_bits(name: str, total: float, recipe: str, source: str, key: str = "parameters") -> Size:
    bits, least = _bits_of(recipe) if recipe else (_LEAST_BITS, _LEAST_BITS)
    start = f"{name}: weights at" if recipe else f"{name}: even at"
    text = f"{start} {bits:g} bits x {total / 1e9:.4g}e9 / 8 = {total * bits / 8e9:.4g} GB"
    return Size(total * bits / 8, total * least / 8, Proof("sum", text, Basis.COMPUTED, source, key))


def _bits_of(recipe: str) -> tuple[float, float]:
    """Bits a weight that a name means, and the fewest: `Q4` is one of 4.25 to 4.85 bits, `4-bit` four at the least."""
    if recipe in _BITS:
        return _BITS[recipe], _BITS[recipe]
    match = re.match(r"i?q?(\d(?:\.\d+)?)", recipe)
    if not match:
        return _TYPICAL_BITS, _LEAST_BITS
    number = float(match[1])
    is_recipe = recipe.startswith(("q", "iq"))
    return (
        (number + 0.5, number + 0.05 if recipe.startswith("iq") else number + 0.25) if is_recipe else (number, number)
    )
