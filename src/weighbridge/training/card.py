"""The card of a specialist: what it is for, in words and examples that go into its file, and a page for people."""

from __future__ import annotations

import random
from dataclasses import dataclass

from . import lanes

_EXAMPLES, _COUNTER_EXAMPLES = 128, 64


@dataclass(frozen=True, slots=True)
class Card:
    """What a specialist's file says of itself; a router compares requests with its examples and counter-examples."""

    name: str
    purpose: str
    tags: tuple[str, ...]
    examples: tuple[str, ...]
    counter_examples: tuple[str, ...]


def make_card(lane_name: str, seed: int = 1) -> Card:
    """The card of a lane: its title, examples drawn from its training items, one of each form, and what it declines."""
    lane, rng = lanes.get(lane_name), random.Random(f"card:{lane_name}:{seed}")
    by_form: dict[str, str] = {}
    while len(by_form) < _EXAMPLES:
        item = lane.sample(rng, held_out=False)
        form = " ".join(word[:3] if word[:1].isalpha() else "#" for word in item.prompt.lower().split()[:5])
        by_form.setdefault(form, item.prompt)
    declined: dict[str, None] = {}
    for _ in range(100 * _COUNTER_EXAMPLES):
        item = lane.foreign(rng)
        if item.kind == "foreign" and len(declined) < _COUNTER_EXAMPLES:
            declined[item.prompt] = None
    return Card(lane_name, lane.TITLE, (lane_name,), tuple(sorted(by_form.values())), tuple(sorted(declined)))
