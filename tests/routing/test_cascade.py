"""Cascades: when the small model's answer is kept."""

from __future__ import annotations

import math
import random

import pytest

from weighbridge.errors import BadSetting
from weighbridge.figures import Basis, Figure
from weighbridge.openai_api import Request
from weighbridge.routing import Candidate, Escalation, Tried, escalates, learn_threshold, route


def tried(count: int) -> list[Tried]:
    """The surer the small model, the likelier it is right; the big one is right nine times in ten."""
    rng = random.Random(3)
    found = []
    for _ in range(count):
        mean = -rng.expovariate(2)
        found.append(Tried(mean, float(rng.random() < math.exp(1.5 * mean)), float(rng.random() < 0.9)))
    return found


def kept(outcomes: list[Tried], threshold: float, worth: float) -> float:
    return sum(
        each.big_score - worth if each.mean_log_probability < threshold else each.small_score for each in outcomes
    ) / len(outcomes)


def test_a_learnt_threshold_beats_each_model_alone():
    outcomes = tried(4000)
    threshold = learn_threshold(outcomes[:2000], 0.2)
    unseen = outcomes[2000:]

    assert threshold.basis is Basis.MEASURED
    assert kept(unseen, threshold.value, 0.2) > max(kept(unseen, -math.inf, 0.2), kept(unseen, math.inf, 0.2)) + 0.02


def test_no_other_threshold_does_better_on_what_it_was_learnt_from():
    outcomes = tried(300)
    best = kept(outcomes, learn_threshold(outcomes, 0.15).value, 0.15)

    assert all(kept(outcomes, each.mean_log_probability + 1e-12, 0.15) <= best + 1e-9 for each in outcomes)


def test_the_dearer_the_escalation_the_fewer():
    outcomes = tried(1000)
    thresholds = [learn_threshold(outcomes, worth).value for worth in (0.0, 0.2, 0.5, 1.0)]

    assert thresholds == sorted(thresholds, reverse=True)


def test_few_outcomes_leave_it_assumed():
    assert learn_threshold(tried(29), 0.1).basis is Basis.ASSUMED


def test_numbers_that_cannot_be_are_refused():
    with pytest.raises(BadSetting):
        learn_threshold([*tried(50), Tried(math.nan, 1.0, 1.0)], 0.1)
    with pytest.raises(BadSetting):
        learn_threshold(tried(50), -1)


def test_an_unsure_or_empty_answer_escalates():
    escalation = Escalation("big", Figure(-0.5, Basis.ASSUMED))

    assert not escalates(escalation, [-0.1, -0.2])
    assert escalates(escalation, [-0.1, -2.0])
    assert escalates(escalation, [])
    assert not escalates(escalation, [math.nan, -0.1])
    assert escalates(escalation, [-math.inf])


def test_a_cascade_asks_the_cheap_one_first_and_names_the_other():
    small, big = (Candidate(name, cost_per_token=Figure(cost, Basis.STATED)) for name, cost in (("s", 1.0), ("b", 9.0)))
    chosen = route(Request("/v1/chat/completions", "auto:cascade", False, "hi", b""), [big, small])

    assert (chosen.model, chosen.escalation.to) == ("s", "b")
    assert "b if its mean log-probability is below -0.35 (assumed)" in chosen.reason


def test_without_anything_known_there_is_no_cascade():
    chosen = route(Request("/v1/chat/completions", "auto:cascade", False, "hi", b""), [Candidate("a"), Candidate("b")])

    assert (chosen.model, chosen.escalation) == ("a", None)
