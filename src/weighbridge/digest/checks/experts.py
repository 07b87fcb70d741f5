"""How many experts a network has, and how many of them a token uses."""

from __future__ import annotations

import re

from weighbridge.figures import Basis

from ..verdict import Proof
from .case import Case, Finding, open_question, refuted, supported
from .parameters import is_well_known

FIELDS = ("experts",)
# Nobody has built a layer of more; a larger number counts something else.
_MOST = 2048


def check(case: Case) -> Finding:
    """Routed, used and shared experts by the config; all are called experts."""
    claimed = case.number
    known: dict[int, Proof] = {}
    # Of a release all of whose networks are known: `gpt-oss has 16 experts` is true of none.
    sure = bool(case.subject.variants) and (
        case.subject.is_exact or (not case.subject.is_loose and is_well_known(case))
    )
    for variant in case.subject.variants:
        experts = variant.shape.experts if variant.shape else None
        if not experts or not variant.shape:
            sure = False
            continue
        shared = experts.shared or 0
        text = f"{variant.name} routes to {experts.used} of {experts.total} experts" + (
            f", {shared} more shared" if shared else ""
        )
        proof = Proof("fact", text, variant.shape.basis, variant.shape.source.partition(";")[0], "experts",
                      variant.shape.date)  # fmt: skip
        for count in (experts.total, experts.used, experts.total + shared, (experts.used or 0) + shared, shared):
            if count:
                known.setdefault(count, proof)
        sure = sure and variant.shape.basis in (Basis.READ, Basis.COMPUTED)
    for name in (*(variant.name for variant in case.subject.variants), *(row.name for row in case.subject.rows)):
        if match := re.search(r"(?<![\dA-Za-z])(\d+)E(?![\dA-Za-z])", name):
            known.setdefault(int(match[1]), Proof("name", f"its maker calls it {name}", Basis.STATED, name, "name"))
    if claimed is None or not known:
        return open_question()
    if int(claimed) in known:
        return supported(known[int(claimed)])
    return (
        refuted(next(iter(known.values()))) if sure and claimed <= _MOST else open_question(next(iter(known.values())))
    )
