"""What kind of network it is, what it takes in, from what it was made, in which formats it lies."""

from __future__ import annotations

import re

from weighbridge.catalogue import Shape, Variant
from weighbridge.figures import Basis

from ..knowledge import words_of_name
from ..knowledge.knowledge import HUB
from ..verdict import Proof
from .case import Case, Finding, open_question, refuted, supported

FIELDS = ("architecture", "modality", "base_model", "file_formats")

_SPARSE = re.compile(r"\bmoe\b|mixture|sparse|experts")
_DENSE = re.compile(r"\bdense\b")
_RECURRENT = re.compile(r"mamba|hybrid|linear attention|ssm|state[ -]space|deltanet|recurrent")
_SEES = re.compile(r"vision|image|visual|vlm|multimodal|omni|vl\b|picture|video")
_HEARS = re.compile(r"audio|speech|voice|sound")
_TEXT = re.compile(r"text[- ]only|language only|unimodal")


def check(case: Case) -> Finding:
    """By the claim's field."""
    by_field = {"architecture": _architecture, "modality": _modality, "base_model": _base, "file_formats": _formats}
    return by_field[case.claim.field](case)


def _architecture(case: Case) -> Finding:
    shapes = [(variant, variant.shape) for variant in case.subject.variants if variant.shape]
    if not shapes:
        return _by_name(case)
    sure = case.subject.is_exact and len(shapes) == len(case.subject.variants)
    for pattern, wanted in ((_SPARSE, True), (_DENSE, False)):
        if pattern.search(case.word):
            # What agrees is shown by the one that does.
            agreeing = [each for each in shapes if each[1].is_sparse is wanted]
            proof = _routed(*(agreeing or shapes)[0])
            return supported(proof) if agreeing else refuted(proof) if sure else open_question(proof)
    if _RECURRENT.search(case.word):
        holding = [each for each in shapes if "recurrent" in _layer_kinds(each[1])]
        variant, shape = (holding or shapes)[0]
        text = f"{variant.name} has layers of the kinds {', '.join(_layer_kinds(shape)).replace('_', ' ')}"
        proof = Proof("fact", text, shape.basis, shape.source.partition(";")[0], "layers", shape.date)
        return supported(proof) if holding else open_question(proof)
    return open_question(_routed(*shapes[0]))


def _routed(variant: Variant, shape: Shape) -> Proof:
    experts = shape.experts
    text = (
        f"{variant.name} routes to {experts.used} of {experts.total} experts"
        if experts and experts.total
        else f"{variant.name} has no experts"
    )
    return Proof("fact", text, shape.basis, shape.source.partition(";")[0], "experts", shape.date)


def _layer_kinds(shape: Shape) -> list[str]:
    return sorted({layer.kind for _, layer in shape.layers})


def _by_name(case: Case) -> Finding:
    names = [row.name for row in case.subject.rows] + [variant.name for variant in case.subject.variants]
    active = [name for name in names if any(re.fullmatch(r"a\d+(?:\.\d+)?b", word) for word in words_of_name(name))]
    if active and _SPARSE.search(case.word):
        return supported(
            Proof("name", f"its maker calls it {active[0]}: A is what is active", Basis.STATED, active[0], "name")
        )
    return open_question()


def _modality(case: Case) -> Finding:
    known = [variant.modalities for variant in case.subject.variants if variant.modalities]
    if not known:
        inputs = {kind for served in case.subject.served for kind in served.inputs}
        if not inputs:
            return open_question()
        served = case.subject.served[0]
        proof = Proof(
            "fact",
            f"{served.name} takes {', '.join(sorted(inputs))}",
            Basis.STATED,
            served.source,
            "modalities",
            case.knowledge.date,
        )
        if (_SEES.search(case.word) and inputs & {"image", "video"}) or (
            _HEARS.search(case.word) and "audio" in inputs
        ):
            return supported(proof)
        return open_question(proof)
    first = known[0]
    inputs = {kind for each in known for kind in each.value.input}
    outputs = {kind for each in known for kind in each.value.output}
    proof = Proof(
        "fact",
        f"{case.subject.variants[0].name} takes {', '.join(sorted(inputs))}",
        first.basis,
        first.source,
        "modalities",
        first.date,
    )
    if _TEXT.search(case.word) or case.word == "text":
        is_only = bool(_TEXT.search(case.word))
        if inputs & {"image", "audio", "video"} and is_only:
            return refuted(proof) if case.subject.is_exact and first.basis is Basis.COMPUTED else open_question(proof)
        return supported(proof) if "text" in inputs else open_question(proof)
    if _SEES.search(case.word) and inputs & {"image", "video"}:
        return supported(proof)
    if _HEARS.search(case.word) and "audio" in inputs | outputs:
        return supported(proof)
    only_text = all(each.value.input == ("text",) and each.basis is Basis.COMPUTED for each in known)
    if _SEES.search(case.word) and only_text and case.subject.is_exact and len(known) == len(case.subject.variants):
        services = {kind for served in case.subject.served for kind in served.inputs}
        tags = any(variant.has("vision") for variant in case.subject.variants)
        if not services & {"image", "video"} and not tags and not case.is_expected:
            return refuted(proof)
    return open_question(proof)


def _base(case: Case) -> Finding:
    base = words_of_name(case.word)
    family = {word for word in base if word.isalpha()}
    for name in (variant.name for variant in case.subject.variants):
        if base and base <= words_of_name(name) and base != case.subject.words:
            return supported(Proof("name", f"its maker calls it {name}", Basis.STATED, name, "name"))
    if family and any(family & words_of_name(row.name) for row in case.subject.rows):
        return open_question(Proof("name", f"it is called {case.subject.rows[0].name}", Basis.STATED, HUB, "name"))
    return open_question()


def _formats(case: Case) -> Finding:
    for variant in case.subject.variants:
        for each in variant.repositories:
            words = {each.format, *(packing.lower() for packing in each.quantizations)}
            if any(case.word == word or case.word in word for word in words):
                return supported(
                    Proof("fact", f"{each.name} holds it", Basis.STATED, each.source, each.name, each.date)
                )
    return open_question()
