"""A small week for tests: two pages that disagree, a listing, counts, and what surrounds them. What is published of it
is what was put in: no grammar and no knowledge stands between."""

from __future__ import annotations

from pathlib import Path

from weighbridge import catalogue
from weighbridge.digest.assembly import Dispute, Mine, Place, Surroundings, assemble
from weighbridge.digest.claim import Claim
from weighbridge.digest.edition import Edition
from weighbridge.digest.found import Listing, Sighting, Step
from weighbridge.digest.kept import Fact
from weighbridge.digest.page import Page
from weighbridge.digest.record import Record
from weighbridge.digest.verdict import Proof, Ruling, Verdict
from weighbridge.figures import Basis

SINCE, UNTIL = "2026-04-13", "2026-04-19"
HOSTILE = '</a><script>alert("x")</script> [[Secret]] %% weighbridge:end %% `rm` | **bold** ![x](http://t.example/p)'
RIGHT = Page(
    "https://a.example/right", "DeepSeek V3 has 671B parameters. V4 comes in May 2026.", "Right", "2026-04-18", UNTIL
)
WRONG = Page(
    "https://b.example/wrong", f"DeepSeek V3 has 400B parameters. {HOSTILE} costs $9.", HOSTILE, "2026-04-17", UNTIL,
    ("https://a.example/right",),
)  # fmt: skip


def _claim(page: Page, quote: str, field: str, value: float | str, subject: str = "DeepSeek V3", **more: str) -> Claim:
    start = page.text.index(quote)
    return Claim(
        subject, field, value, quote, start, start + len(quote), address=page.address, published=page.published,
        fetched=page.fetched, **more,
    )  # fmt: skip


PROOF = Proof(
    "sum", "8 of 256 experts: 654B + 17B = 671B", Basis.COMPUTED, "config.json", "n_routed_experts", "2026-11-21"
)
HOSTILE_PROOF = Proof("claim", f"told by {HOSTILE}", Basis.STATED, "https://c.example/x", "", "2026-04-01")
SIZE = {"unit": "parameters", "field": "parameters_total"}
VERDICTS = {
    RIGHT: (
        Verdict(_claim(RIGHT, "671B parameters", value=671e9, **SIZE), Ruling.SUPPORTED, (PROOF,), "DeepSeek-V3"),
        Verdict(
            _claim(RIGHT, "V4 comes in May 2026", "release_date", "2026-05", "DeepSeek V4", told="2026-05"),
            Ruling.PREDICTION,
        ),
    ),
    WRONG: (
        Verdict(_claim(WRONG, "400B parameters", value=400e9, **SIZE), Ruling.REFUTED, (PROOF,), "DeepSeek-V3"),
        Verdict(
            _claim(WRONG, "costs $9", "price_input", 9.0, HOSTILE[:60], unit="USD/Mtok"),
            Ruling.UNVERIFIABLE,
            (HOSTILE_PROOF,),
        ),
    ),
}


def fill(record: Record) -> None:
    """Pages with their claims and verdicts, a listing that changed, and counts of a week."""
    old = Listing(
        "acme/new-7b", "model", "https://hub.example/acme/new-7b", "2026-04-15", "hub", {"licence": "mit"}, "2026-04-15"
    )
    new = Listing(old.name, old.kind, old.address, old.released, old.source, {"licence": "apache-2.0"}, "2026-04-17")
    program = Listing("acme/engine b9", "software", "https://git.example/b9", "2026-04-16", "github:acme/engine",
                      {"title": "b9", "status": "released"}, "2026-04-17")  # fmt: skip
    counts = [Sighting("acme/new-7b", f"2026-04-{day}", 10 * day, 1000 * day, "hub") for day in (15, 17, 19)]
    counts += [Sighting("acme/other", "2026-04-01", 5, 5, "hub"), Sighting("acme/other", "2026-04-14", 9, 5, "hub"),
               Sighting("acme/other", "2026-04-16", 7, 5, "hub")]  # fmt: skip
    record.keep(Step((old,)), "hf:trending")
    record.keep(Step((RIGHT, WRONG, new, program, *counts)), "feed:https://a.example/feed")
    for kept in record.unread():
        verdicts = VERDICTS[next(page for page in VERDICTS if page.address == kept.page.address)]
        record.keep_claims(kept, [verdict.claim for verdict in verdicts])
    rows = record.claims(record.pages(SINCE, UNTIL))
    by_claim = {verdict.claim: verdict for found in VERDICTS.values() for verdict in found}
    record.keep_verdicts([(row.id, by_claim[row.claim]) for row in rows], UNTIL)


def surroundings(**more: object) -> Surroundings:
    """The shipped catalogue, a machine that runs all of it, and a reader with a chat model of 2024."""
    known = catalogue.load()

    def meant(name: str) -> list[catalogue.Variant]:
        return [each for each in known if each.name.lower() == name.lower()]

    def fits(variants):
        value = {"verdict": "fits", "machine": "this machine"}
        text = "fits this machine at Q4_K_M: 7 GiB"
        facts = [
            Fact(each.name, "fit:this machine", value, text, Basis.COMPUTED, "weigh fit", "Q4_K_M", UNTIL)
            for each in variants
        ]
        return {fact.subject: [Place("this machine", True, fact)] for fact in facts}

    mine = [Mine("helper", known.resolve("Qwen/Qwen2.5-7B-Instruct"))]
    settings = {"meant": meant, "catalogue": known, "fits": fits, "mine": mine, "watch": ("DeepSeek V4",), **more}
    return Surroundings(**settings)  # type: ignore[arg-type]


def edition_of(record: Record, **more: object) -> Edition:
    """The week's edition, with the one dispute that there is."""

    def disputes(claims):
        ids = [each.id for each in claims if each.claim.field == "parameters_total"]
        return [Dispute("DeepSeek V3", "parameters_total", ids)]

    return assemble(record, SINCE, UNTIL, surroundings(**more), disputes=disputes, notes=("feed: HTTP 503",))


def texts_of(folder: Path) -> dict[str, str]:
    """All notes of a vault by their paths."""
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.md"))}
