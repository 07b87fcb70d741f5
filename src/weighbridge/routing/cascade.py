"""Cascade: ask the small model first, and the big one when the small one is unsure by its own log-probabilities.

Only decided here; the gateway asks, adds up and asks again. (Chen and others 2023, FrugalGPT; Gupta and others 2024.)
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from weighbridge.errors import BadSetting
from weighbridge.figures import Basis, Figure

# Where nothing was learnt: e^-0.35 is 0.7 a token.
ASSUMED = Figure(-0.35, Basis.ASSUMED, "a token of probability 0.7; no outcomes were learnt from")
_FEWEST = 30
AS_CHAT = frozenset({"/v1/messages", "/v1/responses"})
"""Paths whose answers can't tell how sure a model is of all of them, but can be had as a chat completion that does."""
WITH_LOG_PROBABILITIES = frozenset({"/v1/chat/completions", "/v1/completions"}) | AS_CHAT
"""Paths at which a cascade asks first; at others, such as embeddings, it asks nobody first."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One prompt that both models answered."""

    mean_log_probability: float
    """Of the small model's answer, a token, in nats."""
    small_score: float
    big_score: float


@dataclass(frozen=True, slots=True)
class Escalation:
    """When an answer is not kept."""

    to: str
    threshold: Figure
    """Mean log-probability of a token, in nats, below which the bigger model is asked."""


def mean_log_probability(log_probabilities: Sequence[float]) -> float | None:
    """Of an answer's tokens; None for an empty one."""
    kept = [max(each, -100.0) for each in log_probabilities if not math.isnan(each)]
    return sum(kept) / len(kept) if kept else None


def escalates(escalation: Escalation, log_probabilities: Sequence[float]) -> bool:
    """Whether to ask the bigger model: the answer is unsure, empty, or says nothing of how sure it is."""
    mean = mean_log_probability(log_probabilities)
    return mean is None or mean < escalation.threshold.value


def learn_threshold(tried: Sequence[Tried], escalation_worth: float) -> Figure:
    """The threshold with the best score less `escalation_worth` (points of quality) for each escalation.

    Of thresholds that do equally well, the highest: it asks the bigger model more often. With fewer than 30 outcomes it
    is assumed. BadSetting for numbers that cannot be.
    """
    if not 0 <= escalation_worth <= 1:
        raise BadSetting(f"an escalation's worth is {escalation_worth}", hint="expected points of quality, 0 to 1")
    if len(tried) < _FEWEST:
        return ASSUMED
    ordered = sorted(tried, key=lambda each: each.mean_log_probability)
    if not all(math.isfinite(sum(dataclasses.astuple(each))) for each in ordered):
        raise BadSetting("an outcome of a cascade is no number", hint="leave it out")
    means = [each.mean_log_probability for each in ordered]
    # Escalating the first of them, which are least sure.
    totals = [0.0, *itertools.accumulate(each.big_score - each.small_score - escalation_worth for each in ordered)]
    # Equal values cannot be told apart: no threshold lies between them.
    allowed = [at for at in range(len(totals)) if at in (0, len(means)) or means[at - 1] < means[at]]
    best = max(totals[at] for at in allowed)
    chosen = max(at for at in allowed if totals[at] >= best - 1e-12)
    return Figure(_edge(means, chosen), Basis.MEASURED, f"{len(tried)} prompts that both models answered")


def _edge(means: Sequence[float], at: int) -> float:
    if at == 0:
        return means[0] - 1e-9
    if at == len(means):
        return max(0.0, means[-1] + 1e-9)
    return (means[at - 1] + means[at]) / 2
