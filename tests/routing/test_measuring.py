"""The measures of a router, each against a small case that was computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from weighbridge.routing.measuring import Curve, Pair, area, calibration_error, choices, interval, weak_and_strong

BOTH, EVERY = np.arange(2), np.arange(4)
ONE = np.zeros(4, int)


@pytest.mark.parametrize(
    ("points", "height"),
    [
        # In logarithms of cost 1, 2 and 4 are as far from each other: (0.5 + 0.8) / 2 and (0.8 + 0.9) / 2.
        ([(1, 0.5), (2, 0.8), (4, 0.9)], 0.75),
        # What lies below the line from 0.5 to 0.9 is not on the hull.
        ([(1, 0.5), (2, 0.6), (4, 0.9)], 0.7),
        # Dearer and worse than another: from there on the curve stays level.
        ([(1, 0.5), (2, 0.8), (4, 0.4)], 0.725),
        ([(4, 0.9)], 0.9),
    ],
)
def test_the_area_under_the_curve_is_the_mean_height_of_the_hull(points, height):
    assert area(points, 1, 4) == pytest.approx(height, abs=1e-12)


def test_the_area_of_two_models_and_two_prompts():
    scores = np.array([[1.0, 1.0], [0.0, 1.0]])
    costs = np.array([[1.0, 4.0], [1.0, 4.0]])
    # An oracle asks the dear one for the second prompt alone: all right at a mean cost of 2.5, half of it at 1.
    width = math.log(2.5) / math.log(4)
    oracle = Curve(choices(scores, costs), scores, costs)
    one_for_all = Curve(choices(np.array([[0.5, 1.0]] * 2), costs), scores, costs)
    free = np.ones((2, 2))

    assert oracle.area(BOTH) == pytest.approx(0.75 * width + 1.0 * (1 - width))
    assert one_for_all.area(BOTH) == pytest.approx((0.5 + 1.0) / 2)
    assert Curve(choices(scores, free), scores, free).area(BOTH) == 1.0
    # The first prompt alone: the cheap model is right, and the curve is level from it on.
    assert oracle.area(np.array([0])) == 1.0


@pytest.mark.parametrize(
    ("gaps", "apgr", "cpt"),
    [
        # To the strong model go first, second, ...: 0, 2, 1, 3 recovers 0.5, 0.5, 1, 1 of the gap.
        ([0.9, 0.7, 0.8, 0.1], 0.625, 0.25),
        ([0.9, 0.8, 0.2, 0.1], 0.75, 0.25),
        ([0.1, 0.2, 0.8, 0.9], 0.25, 0.75),
    ],
)
def test_apgr_and_cpt_of_four_prompts(gaps, apgr, cpt):
    pair = Pair(np.array(gaps), np.array([0.0, 0, 1, 0]), np.array([1.0, 1, 1, 0]), ONE)

    assert pair.apgr(EVERY) == pytest.approx(apgr)
    assert pair.cpt(EVERY) == cpt


def test_prompts_of_two_folds_are_not_ordered_together():
    weak, strong = np.zeros(4), np.array([1.0, 0, 1, 0])
    # In either fold the right one comes first; together the second fold's would both come before.
    gaps = np.array([0.2, 0.1, 0.9, 0.8])

    assert Pair(gaps, weak, strong, np.array([0, 0, 1, 1])).apgr(EVERY) == pytest.approx(0.75)
    assert Pair(gaps, weak, strong, ONE).apgr(EVERY) == pytest.approx((0.25 + 0.5 + 0.75 + 1) / 4)


def test_where_the_strong_model_is_no_better_there_is_no_share_of_a_gap():
    pair = Pair(np.zeros(4), np.ones(4), np.ones(4), ONE)

    assert math.isnan(pair.apgr(EVERY))
    assert math.isnan(pair.cpt(EVERY))


def test_the_weak_model_is_the_cheapest_and_the_strong_one_the_best():
    scores = np.array([[0.2, 0.9, 0.5], [0.4, 0.7, 0.5]])

    assert weak_and_strong(scores, np.array([[3.0, 2.0, 1.0]])) == (2, 1)
    assert weak_and_strong(scores, np.array([[3.0, 1.0, 2.0]])) is None
    assert weak_and_strong(scores, np.ones((1, 3))) is None
    assert weak_and_strong(scores[:, :2], np.ones((1, 2))) == (0, 1)


def test_an_interval_is_as_wide_as_the_normal_one():
    values = np.random.default_rng(1).random(400)
    found = interval(lambda rows: float(values[rows].mean()), 400)
    error = values.std() / math.sqrt(400)

    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.25)
    assert found.low < found.value < found.high


def test_calibration_error_is_the_mean_distance_over_bins():
    expected = np.array([[0.1], [0.1], [0.9], [0.9]])
    found = np.array([[0.0], [1.0], [1.0], [1.0]])

    assert calibration_error(expected, found, bins=2) == pytest.approx((0.4 + 0.1) / 2)
