"""Scores on benchmarks: whose, on which, by whose measure.

A score is refuted only where the number is found elsewhere: the same model's on another benchmark (renamed), or the
same benchmark's of a sibling (moved), and what is known of this model on this benchmark lies far off or is not known.
"""

from __future__ import annotations

import re

from weighbridge.figures import Basis

from ..knowledge import Fact, words_of_name
from ..verdict import Proof
from .case import Case, Finding, open_question, refuted, rounding, supported

FIELDS = ("benchmark",)

_SAME = 0.051
_FAR_POINTS = 4.0
_METRICS = re.compile(r"\((?:[^()]*)\)|\b(?:acc|em|pass@\d+|cot|\d+-?shot|accuracy|score|diamond)\b")


def benchmark_words(name: str) -> frozenset[str]:
    """A benchmark's name without its metric and setting: {mmlu, pro}."""
    text = _METRICS.sub(" ", name.lower().replace("benchmark:", ""))
    text = re.sub(r"(?<=\d)(?=[a-z])|(?<=[a-z])(?=\d)", " ", text)
    return frozenset(re.findall(r"[a-z]+|\d+", text.replace("swe-bench", "swebench").replace("swe bench", "swebench")
                                .replace("terminal bench", "terminalbench").replace("terminal-bench", "terminalbench")
                                .replace("livecodebench", "livecodebench ").replace("if-eval", "ifeval")))  # fmt: skip


def check(case: Case) -> Finding:
    """Against the scores that cards and reports tell."""
    claimed = case.number
    asked = benchmark_words(case.claim.field)
    if claimed is None or not asked:
        return open_question()
    if 0 < claimed <= 1 and case.claim.unit != "percent":
        claimed *= 100
    own = [fact for fact in case.knowledge.reports(case.subject) if fact.field.startswith("benchmark:")]
    mine = [fact for fact in own if benchmark_words(fact.field) == asked]
    slack = max(_SAME, rounding(case.claim) * claimed * 1.01 if claimed == int(claimed) else _SAME)
    equal = [fact for fact in mine if abs(float(fact.value) - claimed) <= slack]
    if equal:
        return supported(_proof(equal[0]))
    near_variant = [fact for fact in own if asked < benchmark_words(fact.field) or benchmark_words(fact.field) < asked]
    if not mine:
        return _elsewhere(case, claimed, asked, own, near_variant)
    if all(abs(float(fact.value) - claimed) > _FAR_POINTS for fact in mine):
        renamed = [fact for fact in near_variant if abs(float(fact.value) - claimed) <= _SAME]
        if renamed and case.subject.is_known:
            return refuted(_proof(renamed[0]), _proof(mine[0]))
    return open_question(*(_proof(fact) for fact in mine[:2]))


def _elsewhere(case: Case, claimed: float, asked: frozenset[str], own: list[Fact], near_variant: list[Fact]) -> Finding:
    """Nothing is known of this model on this benchmark: is the number a sibling's?"""
    words = case.subject.words
    for fact in _of_siblings(case, asked):
        if abs(float(fact.value) - claimed) <= 1e-9 and claimed != int(claimed):
            of = words_of_name(fact.of)
            others = [one for one in own if one.source.split(",")[0] == fact.source.split(",")[0]]
            proofs = (_proof(fact), *(_proof(one) for one in others[:1]))
            # The very number, of the release before, published first: the claim has it from there.
            if _is_older(of, words) and case.told and fact.date and fact.date < case.told:
                return refuted(*proofs)
            return open_question(*proofs)
    return open_question(*(_proof(fact) for fact in near_variant[:1]))


def _of_siblings(case: Case, asked: frozenset[str]) -> list[Fact]:
    """Scores of the same benchmark by models whose names differ in the version alone."""
    words = case.subject.words
    letters = {word for word in words if word.isalpha()}
    found = []
    for fact in case.knowledge.all_scores:
        of = words_of_name(fact.of)
        if of != words and {word for word in of if word.isalpha()} == letters and benchmark_words(fact.field) == asked:
            found.append(fact)
    return found


def _is_older(of: frozenset[str], words: frozenset[str]) -> bool:
    mine, its = ([word for word in each if re.fullmatch(r"\d+(?:\.\d+)?", word)] for each in (words, of))
    return len(mine) == len(its) == 1 and float(its[0]) < float(mine[0])


def _proof(fact: Fact) -> Proof:
    benchmark = fact.field.removeprefix("benchmark:")
    text = f"{fact.of} has {float(fact.value):g} on {benchmark}"
    return Proof("fact", text, Basis.STATED, fact.source, fact.key or benchmark, fact.date)
