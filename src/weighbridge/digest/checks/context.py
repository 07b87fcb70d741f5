"""How many tokens fit: what the config says, what it can be stretched to, what services offer."""

from __future__ import annotations

import re

from weighbridge.figures import Basis

from ..knowledge import sizes_in, words_of_name
from ..knowledge.knowledge import HUB
from ..knowledge.names import versions_in
from ..verdict import Proof
from .case import Case, Finding, open_question, proof_of, refuted, supported
from .heading import column_of, header_of

FIELDS = ("context_length",)

# 128K is 128,000 or 131,072; makers tell of 160K less than the config has for the answer.
_NEAR = 0.06
# Stretched by YaRN four times as makers recommend it; more than five times the config's length nobody offers.
_BEYOND = 5.0
# Beyond that a service's word alone does not make it true.
_STRETCHED = 4.0 * (1 + _NEAR)
# A service may offer less; a card may tell of less than the config, as Qwen3's does (32,768 of 40,960).
_LESS = 0.45
_EXTENDED = re.compile(r"exten[ds]|scal(?:e|ing)|fine-?tun|now support|push|stretch|interpolat|yarn|rope")

# Less than a model takes is what it was run with, unless the words tell of its most.
_WHOLE = re.compile(
    r"context (?:window|length|size|limit)|\bmax\w*|\bup to\b|\bsupports?\b|\bhandles?\b|\blimited to\b"
)
_CONDITION = re.compile(
    r"tok(?:en)?s?\s?/\s?s|tokens? per second|\bt/s\b|throughput|latency|loaded|served|deployed|--\w|prefill|\bvram\b"
    r"|\bgpus?\b|\bat \d+k|\brecommend|\bwe (?:use|set|run)|\btested\b|\bevaluat"
)


def check(case: Case) -> Finding:
    """Against native, stretched and served lengths."""
    claimed = case.number
    if not claimed:
        return open_question()
    native = _native(case)
    for length, proof in native:
        if abs(claimed - length) <= _NEAR * max(claimed, length):
            return supported(proof)
    served = _served(case)
    for length, proof in served:
        if abs(claimed - length) <= _NEAR * max(claimed, length):
            # Less than the model takes is what a service offers of it; more, what it was stretched to.
            is_less = bool(native) and claimed < min(length for length, _ in native)
            proofs = (proof, *(proof for _, proof in native[:1]))
            # Where other services offer what the config has, one that tells of far more is a slip.
            longest = max((length for length, _ in native), default=0)
            is_agreed = any(abs(other - longest) <= _NEAR * longest for other, _ in served)
            is_stray = is_agreed and claimed > _STRETCHED * longest
            return open_question(*proofs) if is_less or is_stray else supported(*proofs)
    reported = case.knowledge.reports(case.subject, "context_length")
    if not native or case.is_expected or reported:
        return open_question(*(proof for _, proof in native[:1]))
    longest = max(length for length, _ in (*native, *served))
    shortest = min(length for length, _ in (*native, *served))
    proofs = tuple(proof for _, proof in native[:2])
    is_sure = case.subject.is_exact or len({length for length, _ in native}) == 1
    if not is_sure or any(proof.basis is Basis.ASSUMED for proof in proofs):
        return open_question(*proofs)
    if _EXTENDED.search(case.claim.quote.lower()):
        # Others have stretched many a model further than its maker.
        return open_question(*proofs)
    if claimed > _BEYOND * longest and not _is_of_later(case, claimed):
        return refuted(*proofs)
    # What the hub lists of a config is as sure where a service offers all of it.
    read = any(proof.basis is Basis.READ for proof in proofs) or any(
        abs(length - shortest) <= _NEAR * shortest for length, _ in served
    )
    is_all = (_WHOLE.search(case.claim.quote.lower()) or _is_of_whole(case)) and not _CONDITION.search(
        case.claim.quote.lower()
    )
    if claimed < _LESS * shortest and read and is_all and not case.says("effective", "output") and not case.is_least:
        return refuted(*proofs)
    return open_question(*proofs)


def _is_of_whole(case: Case) -> bool:
    """Whether it stands in a table's column of windows, in a table that tells of no runs."""
    header = header_of(case)
    return bool(_COLUMN.match(column_of(case, header))) and not _RUNS.search(" | ".join(header))


_COLUMN = re.compile(r"(?:max(?:imum)? |native )?context(?: (?:window|length|size))?(?: \(.*\))?$")
_RUNS = re.compile(
    r"tok|speed|t/s|tps|vram|\bram\b|memory|gpu|quant|batch|output|latency|ttft|hardware|max[_ -]?len|used"
)


def _is_of_later(case: Case, claimed: float) -> bool:
    """Whether a later release of that number takes so much: `Llama 3` stands for 3.1 to 3.3 as well."""
    if sizes_in(case.subject.words):
        return False
    versions = versions_in(case.subject.words)
    family = case.subject.words - versions
    for variant in case.knowledge.catalogue:
        known, words = variant.context_length, words_of_name(variant.name)
        is_later = any(word.startswith(f"{version}.") for version in versions for word in words)
        if known and is_later and family <= words and abs(claimed - known.value) <= _NEAR * known.value:
            return True
    return False


def _native(case: Case) -> list[tuple[int, Proof]]:
    found = []
    for variant in case.subject.variants:
        known = variant.context_length
        if known:
            text = f"{variant.name} takes {known.value:,} tokens"
            found.append(
                (known.value, Proof("fact", text, known.basis, known.source, "max_position_embeddings", known.date))
            )
    known_names = {variant.repository for variant in case.subject.variants}
    for row in case.subject.rows:
        if row.context and row.repository not in known_names:
            text = f"{row.repository} takes {row.context:,} tokens"
            found.append(
                (
                    row.context,
                    Proof("fact", text, Basis.STATED, HUB, "max_position_embeddings", case.knowledge.hub_date),
                )
            )
    for fact in case.knowledge.reports(case.subject, "context_length"):
        found.append(
            (
                int(float(fact.value)),
                proof_of(fact, f"{fact.of}: {fact.key}"),
            )
        )
    return found


def _served(case: Case) -> list[tuple[int, Proof]]:
    found = []
    for served in case.subject.served:
        for length in served.contexts:
            text = f"{served.name} is served with {length:,} tokens"
            found.append((length, Proof("fact", text, Basis.STATED, served.source, "context", case.knowledge.date)))
    return found
