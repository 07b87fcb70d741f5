"""How many weights there are, and how many of them one token uses.

A count may leave the embedding out, or have the layers that predict further tokens with it; names round it. A value
that is the other of total and active is said so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from weighbridge.catalogue import Shape, Variant
from weighbridge.figures import Basis
from weighbridge.sizes import show_count

from ..knowledge import sizes_in, words_of_name
from ..knowledge.knowledge import HUB
from ..verdict import Proof
from .case import Case, Finding, name_proof, open_question, proof_of, refuted, rounding, supported

FIELDS = ("parameters_total", "parameters_active")

# Within this share of a known count a claim holds; beyond `_FAR` of all counts it cannot. Of a network that is counted
# matrix by matrix, every way to count it is known: then `_OFF` is far, `_ROUGHLY` where the words say that they round.
_NEAR, _ABOUT, _FAR = 0.03, 0.08, 0.18
_OFF, _ROUGHLY = 0.06, 0.12
_OTHERS = 8.0
_MOST_SHOWN = 3
# Configs call the number of experts by several names; the file that a shape is from says which.
_KEYS = (
    ("n_routed_experts", "deepseek glm kimi nemotron mimo mistral"),
    ("num_local_experts", "llama4 mixtral gpt_oss minimax phimoe granite"),
    ("num_experts", "qwen bailing gemma hy"),
)
_EXPERT_KEYS = {start: key for key, starts in _KEYS for start in starts.split()}


class Count(NamedTuple):
    """One count of a network's weights."""

    value: float
    is_active: bool
    is_sure: bool
    """Whether the weights were counted; a name and a report are not sure enough to refute by."""
    proof: Proof
    name: str = ""
    """Whose name tells it, where a name does."""


def counts_of(case: Case) -> tuple[Count, ...]:
    """All that is known of the sizes of whom the claim means."""
    found: list[Count] = []
    for variant in case.subject.variants:
        found += _of_variant(variant)
    known = {variant.repository.lower() for variant in case.subject.variants}
    for row in case.subject.rows:
        if row.parameters:
            text = f"{row.repository} holds {show_count(row.parameters)} weights, as the hub counts them"
            proof = Proof("fact", text, Basis.STATED, HUB, "parameters", case.knowledge.hub_date)
            is_named = any(
                abs(size - row.parameters) < 0.15 * row.parameters
                for size in sizes_in(words_of_name(row.name)).values()
            )
            found.append(Count(row.parameters, False, is_named and row.repository.lower() not in known, proof))
        found += _of_name(row.name, row.repository, next(iter(case.subject.variants), None))
    for field in FIELDS:
        for fact in case.knowledge.reports(case.subject, field):
            text = (
                f"{fact.of}: {fact.key}"
                if fact.basis is Basis.STATED
                else f"{fact.of} has {show_count(float(fact.value))}"
            )
            proof = proof_of(fact, text)
            found.append(Count(float(fact.value), field == "parameters_active", fact.basis is not Basis.STATED, proof))
    return tuple(found)


def _of_variant(variant: Variant) -> Iterator[Count]:
    shape, total, active = variant.shape, variant.parameters, variant.active_parameters
    source = _file_of(variant)
    if total:
        key = keys_of(shape) if shape else "parameters"
        proof = Proof("sum" if shape else "fact", _told_total(variant), total.basis, source, key, total.date)
        yield Count(total.value, False, shape is not None or _is_named_so(variant, total.value), proof)
        if shape and shape.experts is None and active is None:
            yield Count(total.value, True, True, proof)
    if active:
        key = keys_of(shape) if shape else "active parameters"
        proof = Proof("sum" if shape else "fact", _told_active(variant), active.basis, source, key, active.date)
        yield Count(active.value, True, shape is not None, proof)
    if shape:
        embedding = sum(row.parameters for row in shape.weights if row.role == "embedding")
        for known, is_active in ((total, False), (active or total, True)):
            if known and embedding:
                what = "a token uses" if is_active else "it has"
                text = f"without the embedding {what} {show_count(known.value - embedding)}"
                proof = Proof("sum", text, known.basis, source, keys_of(shape), known.date)
                yield Count(known.value - embedding, is_active, False, proof)
    yield from _of_name(variant.name, variant.repository, variant)


def _is_named_so(variant: Variant, total: int) -> bool:
    """Whether a count that the hub alone tells is the one of the name: packed weights are counted otherwise."""
    return any(abs(size - total) < 0.15 * total for size in sizes_in(words_of_name(variant.name)).values())


def _of_name(name: str, repository: str, variant: Variant | None = None) -> Iterator[Count]:
    """What the name says: its maker's rounding. `Llama-4-Scout-17B-16E` tells what is active."""
    sizes = sizes_in(words_of_name(name))
    has_active = any(word.startswith("a") for word in sizes)
    total, active = (variant.parameters, variant.active_parameters) if variant else (None, None)
    for word, size in sizes.items():
        is_active = word.startswith("a") or bool(
            total and active and abs(size - active.value) < 0.1 * active.value and total.value > 1.5 * size
        )
        effective = " (effective: more are stored)" if word.startswith("e") else ""
        proof = Proof("name", f"its maker calls it {name}{effective}", Basis.STATED, repository, "name", "")
        yield Count(size, is_active, False, proof, name)
        is_counted_sparse = bool(total and active and active.value < 0.9 * total.value)
        if not is_active and not has_active and not is_counted_sparse and "x" not in word:
            yield Count(size, True, False, proof)


def _told_total(variant: Variant) -> str:
    shape = variant.shape
    assert variant.parameters is not None
    total = f"{show_count(variant.parameters.value)} ({variant.parameters.value:,}) in all"
    if shape is None or not shape.weights:
        return f"{variant.name} has {total}"
    parts = sorted(shape.weights, key=lambda row: -row.parameters)
    terms = " + ".join(f"{show_count(row.parameters)} {row.role.replace('_', ' ')}" for row in parts[:4])
    rest = sum(row.parameters for row in parts[4:])
    return f"{variant.name}: {terms}{f' + {show_count(rest)} more' if rest else ''} = {total}"


def _told_active(variant: Variant) -> str:
    shape, active = variant.shape, variant.active_parameters
    assert active is not None
    if shape is None or shape.experts is None or not shape.experts.total:
        return f"{variant.name}: one token uses {show_count(active.value)}"
    routed = sum(row.parameters for row in shape.weights if row.role == "routed_experts")
    rest = active.value - sum(row.active_parameters for row in shape.weights if row.role == "routed_experts")
    return (
        f"{variant.name}: one token uses {shape.experts.used} of {shape.experts.total} routed experts: "
        f"{show_count(routed)} x {shape.experts.used}/{shape.experts.total} + {show_count(rest)} = "
        f"{show_count(active.value)}"
    )


def _file_of(variant: Variant) -> str:
    known = variant.parameters
    if variant.shape:
        return variant.shape.source.partition(";")[0]
    return known.source if known else variant.repository


def keys_of(shape: Shape) -> str:
    """The keys of the config that the count follows from, with what they say."""
    keys = [f"num_hidden_layers={shape.block_count}", f"hidden_size={shape.embedding_length}"]
    if shape.experts and shape.experts.total:
        start = next((key for key in _EXPERT_KEYS if shape.architecture.lower().startswith(key)), "")
        keys.append(f"{_EXPERT_KEYS.get(start, 'num_experts')}={shape.experts.total}")
        keys.append(f"num_experts_per_tok={shape.experts.used}")
        if shape.expert_feed_forward_length:
            name = (
                "intermediate_size" if start in ("llama4", "mixtral", "gpt_oss", "minimax") else "moe_intermediate_size"
            )
            keys.append(f"{name}={shape.expert_feed_forward_length}")
    elif shape.feed_forward_length:
        keys.append(f"intermediate_size={shape.feed_forward_length}")
    keys.append(f"vocab_size={shape.vocabulary_size}")
    return ", ".join(key for key in keys if not key.endswith("None"))


def check(case: Case) -> Finding:
    """Whether some count of the network is what the claim says."""
    claimed = case.number
    counts = counts_of(case)
    if not claimed or not counts:
        return open_question()
    is_active = case.claim.field == "parameters_active"
    mine = [count for count in counts if count.is_active == is_active and not _is_product(case, count, counts)]
    if held := _held(case, mine, claimed):
        return held
    counted = [count for count in mine if count.is_sure]
    if not counted or not _can_refute(case, counted) or case.says("without embedding"):
        return open_question(*_shown(case, mine, claimed))
    if _may_be_rounded(case, mine, claimed):
        return open_question(*_shown(case, mine, claimed))
    if is_active and any(claimed % 1e9 == 0 and count.value // 1e9 == claimed / 1e9 for count in mine):
        # `1B active` of 1.47: makers round down, and leave parts out.
        return open_question(*_shown(case, mine, claimed))
    for other in counts:
        if other.is_active != is_active and abs(claimed - other.value) <= _NEAR * other.value:
            return _swapped(case, counts, counted, other, claimed)
    relative = _of_relative(case, claimed)
    if relative or _is_bound(case, counted, claimed) or _is_of_another(case, mine, claimed):
        return open_question(*relative, *_shown(case, counted, claimed))
    if _is_far_off(case, counted, claimed):
        return open_question(*_shown(case, counted, claimed))
    return refuted(*_shown(case, counted, claimed))


def _may_be_rounded(case: Case, mine: list[Count], claimed: float) -> bool:
    """Whether some way to count or to round explains the claim: `9B` of 8.19e9 none does."""
    shapes = [variant.shape for variant in case.subject.variants if variant.shape]
    is_total = case.claim.field == "parameters_total"
    if not (is_total and case.subject.is_exact and shapes and len(shapes) == len(case.subject.variants)):
        far = _ROUGHLY if _is_told_by_name(mine) and not case.is_about else _FAR
        return any(abs(claimed - count.value) <= far * count.value for count in mine)
    slack = _ROUGHLY if case.is_about else max(_OFF, rounding(case.claim) * 1.05)
    # What a name or somebody else's count tells beside the matrices is no looser than they are.
    ways = {count.value for count in mine} | {way for shape in shapes for way in _ways_to_count(shape)}
    return any(abs(claimed - way) <= slack * way or 0 <= way - claimed < _digit(case, claimed) for way in ways)


def _is_told_by_name(mine: list[Count]) -> bool:
    """Whether its maker's name for it tells the count that its config gives: how it is counted is then no question."""
    sure = [count.value for count in mine if count.is_sure]
    named = [count.value for count in mine if re.search(r"(?i)a\d+(?:\.\d+)?b", count.name) and count.is_active]
    return bool(sure and named) and all(abs(value - each) <= _ABOUT * each for value in sure for each in named)


def _ways_to_count(shape: Shape) -> Iterator[float]:
    """Counts of parts: without what reads words, images or sound, and with the embedding twice where the output shares
    it, as some formats store it."""
    parts = {row.role: float(row.parameters) for row in shape.weights}
    total = sum(parts.values())
    embedding = parts.get("embedding", 0.0)
    apart = [value for role, value in parts.items() if role in ("vision", "audio", "per_layer_embedding", "projector")]
    for core in {total, total - sum(apart), *(total - value for value in apart)}:
        yield from (core, core - embedding, core - embedding - parts.get("output", 0.0))
        if "output" not in parts:
            yield core + embedding


def _digit(case: Case, claimed: float) -> float:
    """A unit of the last digit that is written, by which some cut a count off: 1e9 of `14B` for 14.66e9; at most so
    much that it is still the number."""
    return min(2 * rounding(case.claim) * claimed, _ROUGHLY * claimed)


def _is_product(case: Case, count: Count, counts: tuple[Count, ...]) -> bool:
    """Whether it is the product that a name writes, told as a count though the weights were counted: a Mixtral of 8x7B
    shares all but its experts."""
    is_written = bool(count.name) and re.search(r"\dx\d", count.name.lower()) is not None
    told = _SIZES.findall(case.claim.quote.lower().replace(case.claim.subject.lower(), " "))
    return is_written and bool(told) and any(other.is_sure and not other.is_active for other in counts)


def _held(case: Case, mine: list[Count], claimed: float) -> Finding | None:
    """Supported by the count that is surest and nearest; None where none agrees."""
    rounded = rounding(case.claim)
    tolerance = max(_ABOUT if case.is_about else _NEAR, rounded * 1.05)
    # A part of it is rounded as it is, no further: 7.505e9 without the embedding is no `7B`.
    parts = max(_ABOUT if case.is_about else _NEAR, 0.93 * rounded)
    holding = [
        count
        for count in mine
        if _holds(case, claimed, count.value, tolerance if count.is_sure or count.proof.kind != "sum" else parts)
    ]
    if not holding:
        return None
    best = min(holding, key=lambda count: (not count.is_sure, abs(count.value - claimed)))
    # Of what is rounded or effective, the count that is stored is set beside.
    same = [count for count in mine if count.is_sure and count.proof.text.startswith(best.name)]
    if not best.is_sure and best.name and same and not 0.75 < same[0].value / claimed < 1.34:
        return supported(best.proof, same[0].proof)
    return supported(best.proof)


def _swapped(case: Case, counts: tuple[Count, ...], counted: list[Count], other: Count, claimed: float) -> Finding:
    """Total taken for active, or the other way round."""
    named = [count for count in counts if count.proof.key == "name" and abs(claimed - count.value) <= 1e-6 * claimed]
    if named and not _EXPRESSLY[case.claim.field].search(case.claim.quote.lower()):
        # Its maker calls it by what one token uses: `a 17 billion parameter model with 16 experts`.
        return open_question(named[0].proof, *_shown(case, counted, claimed))
    what = "the count that one token uses" if other.is_active else "the count of all weights"
    text = f"{show_count(claimed)} is {what}, not the other"
    proof = other.proof
    told = Proof("sum", text, proof.basis, proof.source, proof.key, proof.date)
    return refuted(*_shown(case, counted, claimed), told)


# Words that tell which of the two is meant, whatever the name says.
_EXPRESSLY = {
    "parameters_total": re.compile(r"\b(?:in total|total (?:of|param\w*|weights)|total\b|all told|overall)"),
    "parameters_active": re.compile(r"\b(?:activ\w+|per token|each token|at inference)\b"),
}


def _of_relative(case: Case, claimed: float) -> tuple[Proof, ...]:
    """A larger or smaller one that is called by the same name."""
    for row in case.knowledge.relatives(case.subject):
        if row.parameters and abs(row.parameters - claimed) <= 0.1 * claimed:
            text = f"{row.repository} holds {show_count(row.parameters)}"
            return (Proof("fact", text, Basis.STATED, HUB, "parameters", case.knowledge.hub_date),)
    return ()


def _is_bound(case: Case, counted: list[Count], claimed: float) -> bool:
    """Whether it is an upper or lower bound that holds."""
    return (case.is_most and any(count.value <= claimed for count in counted)) or (
        case.is_least and any(count.value >= claimed for count in counted)
    )


def _is_far_off(case: Case, counted: list[Count], claimed: float) -> bool:
    """So far off, and no slip of T for B: the number is rather another model's, or of something else, unless the words
    name this one and tell no other number."""
    quote, name = case.claim.quote.lower(), case.claim.subject.lower()
    if name in quote and len(_SIZES.findall(quote.replace(name, " "))) == 1:
        return False
    ratios = [count.value / claimed for count in counted]
    is_slip = any(abs(ratio / power - 1) < _NEAR for ratio in ratios for power in (1e3, 1e-3))
    return not is_slip and min(max(ratio, 1 / ratio) for ratio in ratios) > _OTHERS


_SIZES = re.compile(r"(?<![\w.])(\d{1,4}(?:\.\d{1,3})?)\s?(?:b|billion|t|trillion)\b")
_LISTED = re.compile(r"\d\s?b?\s?[|/]\s?\d+(?:\.\d+)?\s?b\s?[|/]")


def _is_of_another(case: Case, mine: list[Count], claimed: float) -> bool:
    """Whether the sentence tells the right number beside this one, which then is of another model it names; or lists
    sizes one after another."""
    quote = case.claim.quote.lower()
    name = case.claim.subject.lower()
    if not any(word in quote for word in case.subject.words if word.isalpha() and len(word) > 2):
        # `The 7B model` after a sentence on the 3B.
        releases = {variant.release for variant in case.subject.variants}
        siblings = (each for each in case.knowledge.catalogue if each.release in releases)
        sizes = (size for each in siblings for size in sizes_in(words_of_name(each.name)).values())
        if any(abs(size - claimed) <= _NEAR * claimed for size in sizes):
            return True
    beside = re.search(rf"{re.escape(name)}\s?\(~?(\d+(?:\.\d+)?)b", quote)
    if beside and abs(float(beside[1]) * 1e9 - claimed) <= 0.01 * claimed:
        return False
    told = [float(number) * 1e9 for number in _SIZES.findall(quote.replace(name, " "))]
    others = [value for value in told if abs(value - claimed) > 0.01 * claimed]
    is_told = any(abs(value - count.value) <= _NEAR * count.value for value in others for count in mine)
    return is_told or bool(_LISTED.search(quote))


def _holds(case: Case, claimed: float, known: float, tolerance: float) -> bool:
    if abs(claimed - known) <= tolerance * max(known, claimed):
        return True
    if case.is_least:
        return known >= claimed and known <= 1.6 * claimed
    return case.is_most and known <= claimed and known >= 0.6 * claimed


def _can_refute(case: Case, sure: list[Count]) -> bool:
    """Whether the counts are all that the name may mean: one network, or a release whose sizes are known."""
    if case.is_expected:
        return False
    if case.subject.is_exact:
        return True
    return len({round(count.value, -8) for count in sure}) >= 2 and is_well_known(case)


def is_well_known(case: Case) -> bool:
    """Whether so much of the maker is listed that a size of the release that is missing is not there."""
    makers = {variant.maker.lower() for variant in case.subject.variants or case.subject.near}
    releases = {
        frozenset(word for word in words_of_name(variant.release) if not word.isdigit() or len(word) < 4)
        for variant in case.subject.variants or case.subject.near
    }
    return (
        len(makers) == 1 and len(releases) == 1 and all(case.knowledge.makers.get(maker, 0) >= 20 for maker in makers)
    )


def _shown(case: Case, counts: list[Count], claimed: float) -> tuple[Proof, ...]:
    """The surest count of each size, the nearest first; of a release in many sizes, all of these in one line and the
    nearest count."""
    shown: dict[float, Proof] = {}
    counts = [count for count in counts if count.is_sure] or counts
    for count in counts:
        if not any(abs(value - count.value) < 0.1 * count.value for value in shown):
            shown[count.value] = count.proof
    nearest = sorted(shown, key=lambda value: abs(value - claimed))
    if len(shown) <= _MOST_SHOWN:
        return tuple(shown[value] for value in nearest)
    sizes = ", ".join(dict.fromkeys(show_count(value) for value in sorted({each.value for each in counts})))
    listed = name_proof(f"{case.subject.name} has the sizes {sizes}; none is {show_count(claimed)}", case.knowledge)
    return (listed, shown[nearest[0]])
