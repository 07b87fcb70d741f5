"""Under which licence: that of the weights, which may be another than the code's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from weighbridge.figures import Basis

from ..knowledge.knowledge import HUB
from ..verdict import Proof
from .case import Case, Finding, days_between, open_question, proof_of, refuted, supported

FIELDS = ("licence",)

_OPEN = frozenset(
    "apache-2.0 mit bsd-3-clause bsd-2-clause isc unlicense cc0-1.0 cc-by-4.0 cc-by-sa-4.0 gpl-3.0 agpl-3.0 lgpl-3.0"
    " mpl-2.0 openmdw-1.0 openmdw-1.1 bsl-1.0 afl-3.0".split()
)
_OWN = (
    ("llama", "llama meta"), ("gemma", "gemma"), ("mrl", "mnpl mrl mistral-research"),
    ("modified-mit", "kimi modified-mit mit-modified"), ("qwen", "qwen tongyi"), ("deepseek", "deepseek"),
    ("nvidia", "nvidia"), ("openrail", "bigcode openrail bigscience creativeml"), ("falcon", "falcon"),
    ("exaone", "exaone"), ("jamba", "jamba"), ("databricks", "databricks dbrx"), ("minimax", "minimax"), ("glm", "glm"),
    ("lfm", "lfm"), ("apple", "apple"), ("tencent", "tencent hunyuan"), ("yi", "yi"), ("stability", "stability"),
    ("flux", "flux"),
)  # fmt: skip
_SAME = {start: kin for kin, starts in _OWN for start in starts.split()}
# Words for kinds of licences, with what they say of openness; nothing finer is compared with them.
_KINDS = {
    "custom": False, "community": False, "proprietary": False, "non-commercial": False, "noncommercial": False,
    "research": False, "research-only": False, "restricted": False, "permissive": True, "open-source": True,
    "osi": True,
}  # fmt: skip
# Makers have set their early models free later; what the hub says today is no witness for that time.
_TAGS_SINCE = "2024-06-01"
_LICENSED = re.compile(r"(?i)licen[cs]|under (?:the |an? )?mit\b|\(mit\b|\bmit[)/|,;-]|^mit$|\| *mit\b|open")
_NONCOMMERCIAL = re.compile(r"(?:^|-)nc(?:-|$)|non-?commercial|research|mrl|mnpl")


class Licence(NamedTuple):
    """What one source says."""

    name: str
    covers: str
    proof: Proof


def check(case: Case) -> Finding:
    """Against every licence that is known of the weights; the code's is told apart."""
    claimed = plain(case.word)
    known = list(_known(case))
    weights = [each for each in known if each.covers != "code"]
    if not claimed or not known:
        return open_question()
    holding = [each for each in weights if same(claimed, plain(each.name))]
    if holding:
        against = [each for each in weights if not same(claimed, plain(each.name)) and _is_definite(plain(each.name))]
        own = [each for each in against if each.proof.source != HUB]
        # What the maker says of the one that is named goes before the tag of a later one by nearly that name.
        is_other = own and all(each.proof.source == HUB for each in holding)
        return open_question(own[0].proof, holding[0].proof) if is_other else supported(holding[0].proof)
    if claimed in _KINDS or any(word in _KINDS for word in claimed.split("-")):
        return _kind(case, claimed, weights)
    code = [each for each in known if each.covers == "code" and same(claimed, plain(each.name))]
    if "code" in case.claim.qualifier.lower() or "repositor" in case.claim.qualifier.lower():
        return supported(code[0].proof) if code else open_question(*(each.proof for each in known[:1]))
    proofs = tuple(dict.fromkeys(each.proof for each in (*weights, *code)))[:3]
    return refuted(*proofs) if _settles(case, claimed, weights) else open_question(*proofs)


def _kind(case: Case, claimed: str, weights: list[Licence]) -> Finding:
    is_open = next(_KINDS[word] for word in (claimed, *claimed.split("-")) if word in _KINDS)
    is_forbidding = claimed.startswith(("non", "research"))
    for each in weights:
        name = plain(each.name)
        if (name in _OPEN) == is_open and (not is_forbidding or _NONCOMMERCIAL.search(name)):
            return supported(each.proof)
    proofs = tuple(dict.fromkeys(each.proof for each in weights))[:2]
    is_free = bool(weights) and all(plain(each.name) in _OPEN for each in weights)
    is_sure = case.subject.is_exact and bool(case.subject.variants) and not case.is_expected
    told = case.told
    if is_free and is_sure and claimed.startswith("non") and not (told and days_between(told, _TAGS_SINCE) > 0):
        # Each of these lets anybody use it in trade.
        return refuted(*proofs)
    return open_question(*proofs)


def _settles(case: Case, claimed: str, weights: list[Licence]) -> bool:
    """Whether what is known can refute: every variant's licence, none of them the claimed one or near it."""
    if case.is_expected or not weights or not _is_definite(claimed):
        return False
    is_short = claimed == "mit" and not re.search(r"mit[- ]licen", case.claim.quote.lower())
    if is_short and any("mit" in plain(each.name).split("-") for each in weights):
        # Kimi's is MIT's with a clause of its own, and is called so in short.
        return False
    if claimed == "mit" and not _LICENSED.search(case.claim.quote):
        # A university, or a name.
        return False
    if not all(_is_definite(plain(each.name)) for each in weights):
        return False
    if family(claimed) and any(family(plain(each.name)) == family(claimed) for each in weights):
        # `the Llama 3 licence` of Llama 3.3 is its house's, in another version.
        return False
    reported = {fact.source for fact in case.knowledge.reports(case.subject, "licence")}
    if not any(each.proof.source == HUB or each.proof.source in reported for each in weights):
        # Another program's list of models says what its writer thought.
        return False
    variants = case.subject.variants
    if not variants and not any(each.proof.source != HUB for each in weights):
        # A tag that somebody's own repository carries says what he thinks of it.
        return False
    told = case.told
    if told and days_between(told, _TAGS_SINCE) > 0:
        return False
    if (
        variants
        and not all(variant.licence for variant in variants)
        and not case.knowledge.reports(case.subject, "licence")
    ):
        return False
    if claimed in _OPEN and all(plain(each.name) in _OPEN for each in weights) and not _is_by_copies(case, claimed):
        return False
    return case.subject.is_exact or len({plain(each.name) for each in weights}) == 1


def _is_by_copies(case: Case, claimed: str) -> bool:
    """Whether copies that others made bear another licence than the claimed one: the tag of today is then no new one,
    as where a maker went from one free licence to another."""
    tags = [
        plain(row.licence)
        for variant in case.subject.variants
        for each in variant.repositories
        if (row := case.knowledge.row(each.name)) and row.licence and row.maker.lower() != variant.maker.lower()
    ]
    return bool(tags) and claimed not in tags


def _is_definite(name: str) -> bool:
    return name in _OPEN or family(name) != "" or name.startswith("cc-by")


def _known(case: Case) -> Iterator[Licence]:
    for fact in case.knowledge.reports(case.subject, "licence"):
        covers = "code" if fact.note == "code" else "weights"
        text = f"{fact.of}, {fact.note or 'weights'}: {fact.value} ({fact.key})"
        proof = proof_of(fact, text)
        yield Licence(str(fact.value), covers, proof)
    for variant in case.subject.variants:
        if variant.licence:
            known = variant.licence
            text = f"{variant.repository}: {known.value}"
            yield Licence(known.value, "weights", Proof("fact", text, known.basis, known.source, "license", known.date))
    for row in case.subject.rows:
        if row.licence:
            text = f"{row.repository}: {row.licence}"
            yield Licence(
                row.licence, "weights", Proof("fact", text, Basis.STATED, HUB, "license", case.knowledge.hub_date)
            )


def plain(name: str) -> str:
    """A licence's name in one spelling: `Apache 2.0 License` and `Apache-2.0` are `apache-2.0`."""
    text = re.sub(r"[\s_/]+", "-", name.lower().strip())
    text = re.sub(r"licen[sc]e(?:d|s)?|-only$|-or-later$|version-|-?v(?=\d)|agreement|terms-of-use|the-", "", text)
    text = re.sub(r"-{2,}", "-", text).strip("-. ")
    if re.fullmatch(r"apache(?:-?2(?:\.0)?)?", text):
        return "apache-2.0"
    return {"modified-mit-kimi": "modified-mit", "mit-0": "mit", "gpl-v3": "gpl-3.0"}.get(text, text)


def family(name: str) -> str:
    """Whose own licence it is, whatever its version: `llama4` and `llama3.1-community` are llama's."""
    if name in _OPEN:
        return ""
    for start, kin in _SAME.items():
        if name.startswith(start) or f"-{start}" in name:
            return kin
    return ""


def same(claimed: str, known: str) -> bool:
    """Whether two names mean one licence; a claim that leaves the version out means any."""
    if claimed == known:
        return True
    if claimed in _OPEN and known in _OPEN:
        return False
    mine, its = family(claimed), family(known)
    if not mine or mine != its:
        return False
    versions = [re.findall(r"\d+(?:\.\d+)?", name) for name in (claimed, known)]
    return not versions[0] or not versions[1] or versions[0][0] == versions[1][0] or mine not in ("llama",)
