"""The formulas, beside scipy and statsmodels, and the promises that they make: coverage, false alarms."""

from __future__ import annotations

import json
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.api import OLS
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import proportion_confint

from tests.conftest import SHARED
from weighbridge.evals.statistics import (
    Comparison,
    ConfidenceSequence,
    Difference,
    Interval,
    PairedTest,
    best_of_gain,
    clustered_error,
    compare,
    detectable_difference,
    estimate,
    holm,
    largest_normal,
    leaders_of,
    mcnemar_exact,
    places_of,
    rank,
    samples_needed,
    tango,
    wilson,
)
from weighbridge.evals.statistics.distributions import t_above, t_quantile

GSM8K = SHARED / "data" / "evals" / "gsm8k" / "example_model_solutions.jsonl"
BBH = SHARED / "data" / "evals" / "bbh" / "davinci002_paired.jsonl"


@given(st.integers(1, 5000), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_wilson_is_that_of_statsmodels(n, share):
    right = round(share * n)
    found = wilson(right, n)
    low, high = proportion_confint(right, n, method="wilson")

    assert (found.low, found.high) == pytest.approx((max(0, low), min(1, high)), abs=1e-12)


@given(st.floats(0.51, 0.9999), st.integers(1, 500))
@settings(max_examples=100, deadline=None)
def test_students_t_is_that_of_scipy(probability, freedom):
    value = stats.t.ppf(probability, freedom)

    assert t_quantile(probability, freedom) == pytest.approx(value, rel=1e-9)
    assert t_above(value, freedom) == pytest.approx(1 - probability, rel=1e-9)


@given(st.integers(0, 3000), st.integers(0, 3000))
@settings(max_examples=100, deadline=None)
def test_mcnemar_is_scipys_exact_binomial_test(ahead, behind):
    expected = stats.binomtest(ahead, ahead + behind, 0.5).pvalue if ahead + behind else 1.0

    assert mcnemar_exact(ahead, behind) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("k", [1, 2, 5, 28])
def test_holm_is_that_of_statsmodels(k):
    p_values = list(np.random.default_rng(k).random(k) ** 3)

    assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_the_clustered_error_is_that_of_statsmodels(seed):
    rng = np.random.default_rng(seed)
    clusters = rng.integers(0, 20, 300)
    scores = (rng.random(300) + rng.normal(0, 0.3, 20)[clusters] > 0.6).astype(float)
    fit = OLS(scores, np.ones(300)).fit(cov_type="cluster", cov_kwds={"groups": clusters})
    error, count = clustered_error(list(scores), list(clusters))

    assert error == pytest.approx(float(fit.bse[0]), rel=1e-9)
    assert count == len(set(clusters))


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_tangos_limits_are_where_the_score_test_just_rejects(ahead, behind, same):
    """The constrained likelihood is maximized numerically here, where ours has it in closed form."""
    n = ahead + behind + same
    if n < 5:
        return
    z = stats.norm.ppf(0.975)

    def statistic(delta):
        def unlikely(q):
            parts = ((ahead, q + delta), (behind, q), (same, 1 - 2 * q - delta))
            return -sum(count * math.log(max(share, 1e-300)) for count, share in parts if count)

        low, high = max(0.0, -delta), (1 - delta) / 2
        q = optimize.minimize_scalar(unlikely, bounds=(low, high), method="bounded", options={"xatol": 1e-13}).x
        return (ahead - behind - n * delta) / math.sqrt(n * (2 * q + delta * (1 - delta)))

    found = tango(ahead, behind, n)
    if found.low > -0.999:
        assert statistic(found.low) == pytest.approx(z, abs=2e-3)
    if found.high < 0.999:
        assert statistic(found.high) == pytest.approx(-z, abs=2e-3)


@pytest.mark.parametrize(("gap", "variance"), [(0.05, 0.25), (0.02, 0.1), (-0.1, 0.3)])
def test_power_is_that_of_statsmodels(gap, variance):
    # ratio=0: one sample, as the differences of pairs are.
    expected = NormalIndPower().solve_power(abs(gap) / math.sqrt(variance), alpha=0.05, power=0.8, ratio=0)
    needed = samples_needed(gap, variance)

    assert needed == math.ceil(expected - 1e-6)
    assert detectable_difference(needed, variance) == pytest.approx(abs(gap), rel=0.01)
    assert samples_needed(0.0, variance) is None


@pytest.mark.parametrize(("ahead", "behind", "n"), [(60, 0, 60), (98, 0, 100), (45, 15, 200), (9, 2, 50)])
def test_so_many_samples_give_the_exact_test_its_power(ahead, behind, n):
    needed = rank({"a": [1.0] * ahead + [0.0] * (n - ahead), "b": [0.0] * (n - behind) + [1.0] * behind})[0][0]
    count, share = needed.samples_to_tell, (ahead + behind) / n
    seen = sum(
        stats.binom.pmf(apart, count, share) * stats.binom.pmf(won, apart, ahead / (ahead + behind))
        for apart in range(count + 1)
        for won in range(apart + 1)
        if won * 2 > apart and stats.binomtest(won, apart).pvalue <= 0.05
    )

    assert count >= 6
    # The exact test is a little stricter than the formula, which knows no steps.
    assert 0.7 < seen <= 1


@pytest.mark.parametrize("scores", [([1.0], [0.0]), ([0.3], [0.9])])
def test_one_sample_tells_nothing_of_how_many_would(scores):
    [comparison], _ = rank({"a": scores[0], "b": scores[1]})

    assert comparison.difference.variance is None
    assert comparison.samples_to_tell is None
    assert comparison.better is None


def test_one_cluster_tells_nothing_of_how_many_samples_would():
    [comparison], _ = rank({"a": [1.0, 1.0], "b": [0.0, 0.0]}, ["one", "one"])

    assert comparison.difference.interval == Interval(-1.0, 1.0)
    assert (comparison.difference.variance, comparison.samples_to_tell) == (None, None)


def _compared(*better_than: tuple[str, str, bool]) -> list[Comparison]:
    found = Difference(0.5, 100, Interval(0.4, 0.6), 0.0, "exact McNemar", 0.2)
    return [Comparison(a, b, found, 0.0 if told else 1.0, 0.4, 0.6, None) for a, b, told in better_than]


@pytest.mark.parametrize(
    ("compared", "leaders"),
    [
        ((("a", "b", True), ("b", "c", True), ("a", "c", True)), ("a",)),
        ((("a", "b", True), ("b", "c", True), ("a", "c", False)), ("a", "c")),
        ((("a", "b", True), ("b", "c", True), ("c", "a", True)), ("a", "b", "c")),
        ((("a", "b", False), ("b", "c", True), ("a", "c", True)), ("a", "b")),
    ],
)
def test_one_leads_alone_only_if_it_is_better_than_each_other_one(compared, leaders):
    comparisons = _compared(*compared)

    assert set(leaders_of(places_of(["a", "b", "c"], comparisons), comparisons)) == set(leaders)


def test_the_mean_of_the_largest_of_k_normals_is_that_of_numeric_integration():
    for k in (1, 2, 8, 32):
        expected = stats.norm.expect(lambda x, k=k: x * k * stats.norm.cdf(x) ** (k - 1))
        assert largest_normal(k) == pytest.approx(expected, abs=1e-9)


def test_the_best_of_eight_equal_models_leads_by_five_points_on_164_samples():
    rng = np.random.default_rng(0)
    drawn = (rng.binomial(164, 0.6, (4000, 8)).max(1) / 164).mean() - 0.6

    assert best_of_gain(8, math.sqrt(0.6 * 0.4 / 164)) == pytest.approx(drawn, abs=0.002)


@pytest.mark.parametrize("n", [30, 100, 300])
def test_intervals_of_right_or_wrong_cover_the_truth(n):
    """Exactly, over all outcomes: no simulation. Single shares lie off it, as the number of right ones is whole."""
    intervals = [wilson(k, n) for k in range(n + 1)]
    covered = [
        sum(stats.binom.pmf(k, n, share) for k in range(n + 1) if share in intervals[k])
        for share in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
    ]

    assert 0.94 <= sum(covered) / len(covered) <= 0.965
    assert min(covered) >= 0.929


@pytest.mark.parametrize("n", [30, 100])
def test_intervals_of_paired_differences_cover_the_truth(n):
    """Over all outcomes of systems that differ on a quarter of the samples, the first one ahead by 0.1."""
    ahead, behind = 0.175, 0.075
    shares, covered = [ahead, behind, 1 - ahead - behind], 0.0
    for b in range(n + 1):
        for c in range(n + 1 - b):
            mass = stats.binom.pmf(b, n, ahead) * stats.binom.pmf(c, n - b, behind / (1 - ahead))
            if mass > 1e-6:
                covered += mass * (shares[0] - shares[1] in tango(b, c, n))

    assert 0.93 <= covered <= 0.975


def test_clustered_intervals_cover_where_naive_ones_do_not():
    rng = random.Random(1)
    clustered = naive = 0
    for _ in range(300):
        scores, clusters = [], []
        for cluster in range(25):
            ease = min(0.98, max(0.02, rng.gauss(0.6, 0.25)))
            scores += [float(rng.random() < ease) for _ in range(12)]
            clusters += [cluster] * 12
        clustered += 0.6 in estimate(scores, clusters).interval
        naive += 0.6 in estimate(scores).interval

    assert clustered >= 0.91 * 300
    assert naive < 0.8 * 300


def test_graded_scores_have_intervals_that_cover():
    rng = random.Random(2)
    covered = sum(2 / 7 in estimate([rng.betavariate(2, 5) for _ in range(40)]).interval for _ in range(400))

    assert 0.92 * 400 <= covered <= 0.985 * 400


def test_no_score_without_n_and_an_interval_that_is_never_nothing():
    for scores in ([1.0], [0.0] * 5, [1.0] * 200, [0.5] * 10, [0.25]):
        found = estimate(scores)
        assert found.n == len(scores)
        assert found.interval.high > found.interval.low
    assert estimate([]) is None
    assert estimate([1.0, 1.0, 0.0], ["one", "one", "one"]).interval.low == 0


def paired(rng, n, ahead, behind):
    for _ in range(n):
        drawn = rng.random()
        yield 1.0 if drawn < ahead else -1.0 if drawn < ahead + behind else 0.0


def test_looking_after_every_sample_gives_few_false_alarms():
    rng = random.Random(3)
    alarms = naive = 0
    for _ in range(150):
        test, counts = PairedTest(), {1.0: 0, -1.0: 0, 0.0: 0}
        peeked = False
        for at, difference in enumerate(paired(rng, 400, 0.15, 0.15), 1):
            test.add(difference)
            counts[difference] += 1
            peeked |= at % 10 == 0 and mcnemar_exact(counts[1.0], counts[-1.0]) < 0.05
        alarms += test.is_decided
        naive += peeked

    assert alarms <= 0.05 * 150 + 3
    assert naive > max(0.1 * 150, 2 * alarms)


def test_a_large_gap_is_decided_early_and_for_the_right_one():
    rng = random.Random(4)
    taken = []
    for _ in range(30):
        test = PairedTest()
        for difference in paired(rng, 1000, 0.05, 0.30):
            test.add(difference)
            if test.is_decided:
                break
        assert test.first_is_ahead is False
        taken.append(test.n)

    assert sorted(taken)[15] <= 80


def test_the_running_interval_holds_at_all_times_at_once():
    rng = random.Random(5)
    missed = 0
    for _ in range(60):
        sequence, ever = ConfidenceSequence(), False
        for _ in range(200):
            sequence.add(float(rng.random() < 0.7))
            ever |= 0.7 not in sequence.interval
        missed += ever
        assert sequence.interval.high - sequence.interval.low < 0.3

    assert missed <= 0.05 * 60 + 2


@pytest.mark.skipif(not GSM8K.exists(), reason="outcomes of real systems are not in this clone")
def test_real_systems_are_told_apart_as_a_paired_test_tells_them():
    rows = [json.loads(line) for line in GSM8K.open()]
    names = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
    scores = {name: [float(row[name]["is_correct"]) for row in rows] for name in names}
    close = compare(scores["6b_verification"], scores["175b_finetuning"])
    comparisons, places = rank(scores)

    assert close.n == 1319
    assert close.value == pytest.approx(0.043, abs=0.001)
    assert close.p_value == pytest.approx(0.0032, abs=0.0001)
    assert samples_needed(close.value, close.variance) == pytest.approx(1144, abs=2)
    assert len(comparisons) == 6
    assert [place.model for place in places] == [names[3], names[1], names[2], names[0]]
    assert all(place.best == place.worst for place in places)


@pytest.mark.skipif(not BBH.exists(), reason="outcomes of real systems are not in this clone")
def test_clusters_widen_the_error_of_real_outcomes_sevenfold():
    rows = [json.loads(line) for line in BBH.open()]
    scores, clusters = [float(row["cot_ok"]) for row in rows], [row["task"] for row in rows]
    found = estimate(scores, clusters)

    assert found.standard_error == pytest.approx(0.0379, abs=0.0001)
    assert found.standard_error / estimate(scores).standard_error == pytest.approx(7.0, abs=0.05)
    assert found.clusters == 27


def test_what_the_data_do_not_rank_is_not_ranked():
    rng = random.Random(6)
    scores = {name: [float(rng.random() < 0.7) for _ in range(60)] for name in "abc"}
    scores["bad"] = [float(rng.random() < 0.05) for _ in range(60)]
    comparisons, places = rank(scores)

    assert {(place.model, place.best, place.worst) for place in places} == {
        ("a", 1, 3), ("b", 1, 3), ("c", 1, 3), ("bad", 4, 4),
    }  # fmt: skip
    assert all(each.better is None for each in comparisons if "bad" not in (each.first, each.second))


def test_a_lead_that_unscored_answers_could_turn_is_no_lead():
    first, second = [1.0] * 40 + [math.nan] * 60, [0.0] * 40 + [1.0] * 60
    [comparison], _ = rank({"first": first, "second": second})

    assert comparison.corrected_p < 1e-6
    assert comparison.better is None
    assert (comparison.low_if_unscored, comparison.high_if_unscored) == pytest.approx((-0.2, 0.4))
