"""What an answer of each candidate would take, in money, time and energy, and how many points of quality that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from weighbridge.figures import Basis, Figure

from .policy import Policy

if TYPE_CHECKING:
    from .route import Candidate

_ANSWER_TOKENS = 256
_LETTERS_A_TOKEN = 4
_OF_EVIDENCE = "mean of the evidence"
# How many times less what costs nothing is taken to cost than the cheapest that does: logarithms know no nothing.
_FREE = 8.0

Figures = Sequence[Figure | None]


class Taken(NamedTuple):
    """Of each candidate; None where it is unknown."""

    costs: Figures
    seconds: Figures
    joules: Figures


def takes(able: Sequence[Candidate], letters: int, costs: Sequence[float] = (), seconds: Sequence[float] = ()) -> Taken:
    """For a prompt of so many letters. `costs` and `seconds` are the evidence's, NaN where it knows none.

    Figures of two origins cannot be compared: prices count where more of them are known than of the evidence's costs,
    the evidence's seconds where of them no fewer are known than of speeds.
    """
    prices = [_price(each, letters) if each.cost_per_token else None for each in able]
    of_cost = _fuller(prices, _figures(costs)) if costs else prices
    speeds = [_answering(each.tokens_per_second) if each.tokens_per_second else None for each in able]
    of_time = _fuller(_figures(seconds), speeds) if seconds else speeds
    return Taken(
        of_cost,
        [_with_loading(each, time) if time else None for each, time in zip(able, of_time, strict=True)],
        [_energy(each.joules_per_token, letters) if each.joules_per_token else None for each in able],
    )


def burdens(taken: Taken, policy: Policy) -> list[float | None]:
    """Points of quality that each one's cost, time and energy take: by doublings over the least.

    None where something that matters is not known of it; what is known of no candidate does not matter. What takes
    nothing counts as three doublings less than the least that takes something.
    """
    total: list[float | None] = [0.0] * len(taken.costs)
    worths = policy.cost_worth, policy.seconds_worth, policy.energy_worth
    for worth, known in zip(worths, taken, strict=True):
        least = min([figure.value for figure in known if figure and figure.value > 0], default=0.0) if worth else 0.0
        if least <= 0:
            continue
        if any(figure and figure.value <= 0 for figure in known):
            least /= _FREE
        for at, figure in enumerate(known):
            sofar = total[at]
            if figure is None:
                total[at] = None
            elif sofar is not None:
                total[at] = sofar + worth * math.log2(max(figure.value, least) / least)
    return total


def _figures(values: Sequence[float]) -> list[Figure | None]:
    return [Figure(value, Basis.MEASURED, _OF_EVIDENCE) if 0 < value < math.inf else None for value in values]


def _fuller(first: list[Figure | None], second: list[Figure | None]) -> list[Figure | None]:
    """The list that knows more, the first of equals."""
    return second if first.count(None) > second.count(None) else first


def _price(candidate: Candidate, letters: int) -> Figure:
    per = candidate.cost_per_token
    assert per is not None
    read = candidate.cost_per_prompt_token or per
    return Figure(per.value * _ANSWER_TOKENS + read.value * letters / _LETTERS_A_TOKEN, per.basis, per.source)


def _answering(speed: Figure) -> Figure | None:
    return Figure(_ANSWER_TOKENS / speed.value, speed.basis, speed.source) if speed.value > 0 else None


def _with_loading(candidate: Candidate, answering: Figure) -> Figure:
    if candidate.loaded or candidate.load_seconds is None:
        return answering
    return replace(answering, value=answering.value + candidate.load_seconds.value)


def _energy(per: Figure, letters: int) -> Figure:
    return replace(per, value=per.value * (_ANSWER_TOKENS + letters / _LETTERS_A_TOKEN))
