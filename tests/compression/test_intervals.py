"""Intervals cover what they claim to, on series whose neighbours are alike as a text's tokens are."""

from __future__ import annotations

import math

import numpy as np
import pytest

from weighbridge.compression import Interval, Loss
from weighbridge.compression.intervals import Segments, interval_of_mean, interval_of_share
from weighbridge.compression.verdict import THRESHOLDS, judge


def alike(rng: np.random.Generator, count: int, correlation: float) -> np.ndarray:
    """Normal numbers, each correlated with the one before."""
    noise = rng.standard_normal(count) * math.sqrt(1 - correlation**2)
    values = np.empty(count)
    last = rng.standard_normal()
    for index in range(count):
        last = values[index] = correlation * last + noise[index]
    return values


def coverage(make, interval, truth: float, rounds: int = 150) -> float:
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(rounds):
        found = interval(Segments.of(make(rng), [64] * 32))
        hits += found.low <= truth <= found.high
    return hits / rounds


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_an_interval_of_a_mean_covers_it_nineteen_times_in_twenty(correlation):
    # Nine in ten at least: 150 rounds alone scatter by 0.018 about 0.95.
    found = coverage(lambda rng: np.exp(alike(rng, 2048, correlation)), interval_of_mean, math.exp(0.5))

    assert 0.9 <= found <= 1


def test_an_interval_that_took_tokens_for_independent_would_not():
    def naive(segments: Segments) -> Interval:
        half = 1.96 * 1 / math.sqrt(segments.positions)
        return Interval(segments.mean, segments.mean - half, segments.mean + half)

    assert coverage(lambda rng: alike(rng, 2048, 0.9), naive, 0.0) < 0.6


def test_an_interval_of_a_share_covers_it():
    found = coverage(lambda rng: (alike(rng, 2048, 0.9) > -1.5).astype(float), interval_of_share, 0.93319)

    assert 0.88 <= found <= 1


def test_full_agreement_leaves_room_for_what_was_not_seen():
    found = interval_of_share(Segments.of(np.ones(640), [64] * 10))

    assert found.value == found.high == 1
    assert 0.97 < found.low < 0.9941  # 640 / (640 + 1.96^2), and lower as only few blocks tell


def test_too_little_text_gives_no_interval():
    found = interval_of_mean(Segments.of(np.arange(128.0), [64, 64]))

    assert (found.low, found.high) == (None, None)
    assert judge(found, None).least is None


def test_segments_of_different_lengths_give_the_mean_over_positions():
    values = np.random.default_rng(0).standard_normal(500)

    assert Segments.of(values, [64] * 7 + [52]).mean == pytest.approx(values.mean())


NOISE = Interval(0.003, 0.002, 0.004)


@pytest.mark.parametrize(
    ("low", "high", "least", "most"),
    [
        (0.0, 0.0, Loss.NONE, Loss.NONE),
        (0.0015, 0.002, Loss.NONE, Loss.NONE),
        (0.0015, 0.0021, Loss.NONE, Loss.VERY_SMALL),
        (0.0041, 0.005, Loss.VERY_SMALL, Loss.VERY_SMALL),
        (0.0041, 0.006, Loss.VERY_SMALL, Loss.SMALL),
        (0.02, 0.03, Loss.SMALL, Loss.SMALL),
        (0.001, 0.5, Loss.NONE, Loss.SEVERE),
        (0.04, 0.09, Loss.CLEAR, Loss.CLEAR),
        (0.2, 0.3, Loss.SEVERE, Loss.SEVERE),
    ],
)
def test_a_verdict_is_no_stronger_than_its_interval(low, high, least, most):
    found = judge(Interval((low + high) / 2, low, high), NOISE)

    assert (found.least, found.most) == (least, most)
    if least is most:
        assert found.sentence.startswith(most.value)
    else:
        assert most.value in found.sentence
        assert "between" in found.sentence or "at most" in found.sentence


def test_without_noise_nothing_is_called_indistinguishable_but_equality():
    assert judge(Interval(1e-9, 0.0, 1e-8), None).most is Loss.VERY_SMALL
    assert judge(Interval(0.0, 0.0, 0.0), None).most is Loss.NONE


def test_thresholds_rise():
    limits = [limit for _, limit, _ in THRESHOLDS]

    assert limits == sorted(limits)
