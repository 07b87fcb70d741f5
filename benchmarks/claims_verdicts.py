"""How well verdicts hold: the contradictions that are known, claims that are true, and true claims made false.

    python -m benchmarks.claims_verdicts [DATA_FOLDER] [--wrong]

Four measures. *Contradictions*: how many of the 34 of the reference data are caught: a claim on that page with that
quote is refuted, expired or a prediction, or (where nothing can settle it) its reasons say what is true. *First
verdicts*: rulings beside those of one annotator. *Model cards*: what makers say of their own models is mostly true,
so a refutation there is nearly always wrong. *Corrupted claims*: for models of the catalogue with a counted size,
true sentences and false ones (numbers swapped, a sibling's size, another licence): a true one that is refuted is a
false refutation, a false one that is supported a false support.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from weighbridge.catalogue import Variant
from weighbridge.digest import Page, Ruling, Verdict, read_file
from weighbridge.digest.checks import check
from weighbridge.digest.checks.licence import plain
from weighbridge.digest.contradictions import Contradiction, contradictions
from weighbridge.digest.extraction import extract
from weighbridge.digest.knowledge import Knowledge, words_of_name
from weighbridge.digest.told import told_by
from weighbridge.sizes import show_count

DATA = Path(__file__).parents[2] / "shared" / "data"
_AGAINST = (Ruling.REFUTED, Ruling.EXPIRED, Ruling.PREDICTION)
_EVERY = 3


@dataclass(frozen=True, slots=True)
class Trap:
    """One known contradiction: on which page, in which words, of which field, and what a reason must say where the
    ruling alone does not catch it."""

    page: str
    quote: str
    field: str
    reason: str = ""
    """A pattern of the reasons; empty: the ruling must be against it."""


# Where each contradiction of the reference data stands; any of several places counts.
TRAPS: dict[str, tuple[Trap, ...]] = {
    "C01": (Trap("002", "400B total", "parameters_total"),),
    "C02": (Trap("002", "Qwen 3 72B", "exists|benchmark.*"),),
    "C03": (Trap("002", "GPT-4o", "benchmark:MMLU-Pro"),),
    "C04": (Trap("003", "Qwen3", "status"),),
    "C05": (Trap("002", "Gemma 3 9B", "exists|release_date|licence"), Trap("000", "Gemma-3-9B", "exists")),
    "C06": (Trap("002", "Gemma 3 9B", "release_date|status"),),
    "C07": (Trap("001", "400M", "downloads"),),
    "C08": (Trap("001", "#3", "rank:.*"),),
    "C09": (Trap("001", "77.8", "benchmark:SWE-bench Verified"),),
    "C10": (Trap("001", "DeepSeek V4", "parameters_total|parameters_active|licence|status"),),
    "C11": (Trap("001", "Llama 5", "exists|status|parameters_total"),),
    "C12": (Trap("001", "Muse Spark", "release_date|status", "2026-04-08"),),
    "C13": (Trap("001", "Muse Spark", "openness|status", "Muse-Spark-Open"),),
    "C14": (Trap("002", "late March|Llama 4 Maverick", "release_date|status"),),
    "C15": (Trap("002", "48GB", "memory_needed"),),
    "C16": (Trap("001", "Ising", "licence"),),
    "C17": (Trap("002", "google/gemma-3-9b-it|meta-llama/Llama-4-Scout", "exists"),),
    "C18": (Trap("001", "qwen-ai/qwen3-coder", "exists"), Trap("001", "128K-context", "context_length", "262,144")),
    "C19": (Trap("000", "Qwen3-Coder-32B", "exists"),),
    "C20": (Trap("002", "Codestral 2", "exists|parameters_total|licence", "no weights of it are known"),),
    "C21": (Trap("002", "vLLM 0", "rule:version"),),
    "C22": (Trap("002", "10B", "rule:threshold"),),
    "C23": (Trap("002", "training data", "rule:exemption"),),
    "C24": (Trap("002", "model cards", "rule:documentation"),),
    "C25": (Trap("002", "OSI", "rule:requirement"),),
    "C26": (Trap("001", "9.26%", ".*"),),
    "C27": (Trap("001", "Open LLM Leaderboard", "rule:leaderboard|rank:.*"),),
    "C28": (Trap("001", "Mistral Large 3", "rule:leaderboard|release_date|status|rank:.*"),),
    "C29": (Trap("001", "Mistral Small", "parameters_total", "119B"),),
    "C30": (Trap("000", "2B–4B", "parameters_total", "effective"),),
    "C31": (Trap("001", "Beads", ".*"),),
    "C32": (Trap("001", "3.6-Plus", "openness|status", "Qwen3.6-35B-A3B"),),
    "C33": (Trap("000", "Llama-4-Scout-17B|Llama-4-Maverick-17B", "exists|parameters_total", "what one token uses"),),
    "C34": (Trap("001", "3,200", "stars"),),
}  # fmt: skip


def verdicts_of(page: Page, knowledge: Knowledge) -> tuple[Verdict, ...]:
    """All verdicts on a page."""
    return check(told_by(page), knowledge, {page.address: page.text})


def catches(trap: Trap, verdict: Verdict) -> bool:
    """Whether this verdict catches that contradiction."""
    claim = verdict.claim
    if not Path(claim.address).name.startswith(trap.page) or not re.fullmatch(trap.field, claim.field):
        return False
    if not re.search(trap.quote, f"{claim.subject} {claim.quote}"):
        return False
    if trap.reason:
        return any(re.search(trap.reason, proof.text) for proof in verdict.evidence)
    return verdict.ruling in _AGAINST


def in_contradiction(trap: Trap, found: Contradiction) -> bool:
    """Whether the contradiction is found between claims."""
    return re.fullmatch(trap.field, found.field) is not None and any(
        re.search(trap.quote, f"{verdict.claim.subject} {verdict.claim.quote}")
        for side in found.sides
        for verdict in side.verdicts
    )


def known_contradictions(data: Path, knowledge: Knowledge) -> tuple[int, list[str], list[Verdict]]:
    """How many are caught, those that are not, and all verdicts of the four pages."""
    pages = [read_file(path, knowledge.date) for path in sorted((data / "articles").glob("*.txt"))]
    verdicts = [verdict for page in pages for verdict in verdicts_of(page, knowledge)]
    between = contradictions(verdicts, pages)
    known = json.loads((data / "articles" / "contradictions.json").read_text(encoding="utf-8"))
    missed = [
        f"{entry['id']} {entry['type']}: {entry['claim']}"
        for entry in known
        if not any(catches(trap, verdict) for trap in TRAPS[entry["id"]] for verdict in verdicts)
        and not any(in_contradiction(trap, each) for trap in TRAPS[entry["id"]] for each in between)
    ]
    return len(known) - len(missed), missed, verdicts


def beside_first_verdicts(data: Path, verdicts: list[Verdict]) -> Counter[tuple[str, str]]:
    """(first verdict, ruling) for claims of the inventory that name the subject and hold the value."""
    entries = json.loads((data / "articles" / "claims.json").read_text(encoding="utf-8"))
    counts: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        words = words_of_name(re.sub(r"\(.*?\)", "", entry["name"]))
        for told in entry["claims"]:
            for verdict in verdicts:
                claim = verdict.claim
                if Path(claim.address).name == told["seed"] and words_of_name(claim.subject) == words:
                    value = _written(claim.value)
                    if value and value.lower() in told["claim"].lower().replace(",", ""):
                        counts[told["status"], verdict.ruling.value] += 1
    return counts


def _written(value: float | str | bool) -> str:
    """A value as the inventory writes it."""
    if isinstance(value, bool):
        return ""
    if isinstance(value, int | float):
        return show_count(value) if value >= 1e6 else f"{value:g}"
    return str(value).split("-")[0]


def on_model_cards(data: Path, knowledge: Knowledge) -> tuple[Counter[str], list[Verdict]]:
    """Rulings on makers' own cards, and the refutations."""
    counts: Counter[str] = Counter()
    wrong = []
    for path in sorted((data / "model-cards").glob("*.md")):
        for verdict in verdicts_of(read_file(path, knowledge.date), knowledge):
            counts[verdict.ruling.value] += 1
            if verdict.ruling is Ruling.REFUTED:
                wrong.append(verdict)
    return counts, wrong


def sentences(variants: list[Variant]) -> Iterator[tuple[str, str, bool]]:
    """(kind, sentence, whether it is true) about models of the catalogue."""
    for variant, other in itertools.pairwise([*variants, variants[0]]):
        total, active = variant.parameters, variant.active_parameters
        if not total or not variant.shape:
            continue
        name, size = variant.name, show_count(total.value)
        yield "total", f"{name} has {size} parameters.", True
        yield "total x 1.7", f"{name} has {show_count(total.value * 1.7)} parameters.", False
        if active and active.value < total.value / 2:
            yield "active", f"{name} has {size} total parameters with {show_count(active.value)} active.", True
            yield "swapped", f"{name} has {show_count(active.value)} total parameters with {size} active.", False
        if other.parameters and not 0.6 < other.parameters.value / total.value < 1.7:
            yield "sibling's size", f"{name} has {show_count(other.parameters.value)} parameters.", False
        if variant.context_length:
            length = variant.context_length.value
            yield "context", f"{name} has a context window of {length:,} tokens.", True
            yield "context x 20", f"{name} has a context window of {length * 20:,} tokens.", False
        if variant.licence:
            yield "licence", f"{name} is released under the {variant.licence.value} license.", True
            if plain(variant.licence.value) in ("apache-2.0", "mit"):
                yield "licence, wrong", f"{name} is released under the CC-BY-NC-4.0 license.", False
            else:
                yield "licence, wrong", f"{name} is released under the Apache 2.0 license.", False
        gigabytes = total.value * 0.55 / 1e9
        yield "memory", f"{name} fits in {max(1, round(gigabytes * 1.4))} GB of VRAM at 4-bit.", True
        if gigabytes > 4:
            yield "memory x 0.6", f"{name} fits in {round(gigabytes * 0.6)} GB of VRAM at 4-bit.", False


def on_sentences(knowledge: Knowledge) -> tuple[Counter[tuple[str, str]], list[tuple[str, Verdict]]]:
    """(kind, ruling) of sentences that are true or made false, and what was ruled wrong."""
    counts: Counter[tuple[str, str]] = Counter()
    wrong = []
    chosen = [variant for number, variant in enumerate(knowledge.catalogue) if number % _EVERY == 0]
    for kind, text, is_true in sentences(chosen):
        page = Page("", text, fetched=knowledge.date)
        verdicts = [verdict for verdict in check(extract(page), knowledge) if verdict.claim.field != "exists"]
        ruling = _worst(verdicts)
        counts[kind, ruling] += 1
        if (is_true and ruling == "refuted") or (not is_true and ruling == "supported"):
            wrong += [(text, verdict) for verdict in verdicts]
    return counts, wrong


def _worst(verdicts: list[Verdict]) -> str:
    rulings = [verdict.ruling for verdict in verdicts]
    for ruling in (Ruling.REFUTED, Ruling.UNVERIFIABLE, Ruling.PREDICTION, Ruling.SUPPORTED):
        if ruling in rulings:
            return ruling.value
    return "no claim"


def main() -> None:
    """Print the measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, default=DATA)
    parser.add_argument("--wrong", action="store_true", help="print each verdict that is wrong, or against a card")
    arguments = parser.parse_args()
    if not (arguments.data / "articles").exists():
        sys.exit(f"{arguments.data}: no reference data")
    knowledge = Knowledge()
    caught, missed, verdicts = known_contradictions(arguments.data, knowledge)
    print(f"contradictions caught: {caught} of {caught + len(missed)}")
    for line in missed:
        print(f"  not caught: {line}")
    print("\nfirst verdict of one annotator, and ruling here:")
    for (first, ruling), count in sorted(beside_first_verdicts(arguments.data, verdicts).items()):
        print(f"  {first:<14}{ruling:<14}{count:>4}")
    counts, against = on_model_cards(arguments.data, knowledge)
    print(f"\nmodel cards, {sum(counts.values())} claims: {dict(counts)}")
    rows, wrong = on_sentences(knowledge)
    print("\nsentences about models of the catalogue:")
    kinds = dict.fromkeys(kind for kind, _ in rows)
    for kind in kinds:
        told = {ruling: count for (each, ruling), count in rows.items() if each == kind}
        print(f"  {kind:<16}{sum(told.values()):>5}  {told}")
    if arguments.wrong:
        for verdict in against:
            print("card:", verdict.claim.subject, verdict.claim.field, verdict.claim.value, verdict.claim.quote[:160])
        for text, verdict in wrong:
            print("sentence:", text, verdict.ruling.value, verdict.claim.field, verdict.evidence[:1])


if __name__ == "__main__":
    main()
