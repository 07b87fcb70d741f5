"""Divergences of scores, against the formula written out in 64 bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.compression.divergence import diverge


def log_softmax(scores: np.ndarray) -> np.ndarray:
    exact = scores.astype(np.float64)
    exact -= exact.max(axis=1, keepdims=True)
    return exact - np.log(np.exp(exact).sum(axis=1, keepdims=True))


@given(
    rows=st.integers(1, 12),
    size=st.sampled_from([2, 3, 768, 5000]),
    spread=st.sampled_from([0.0, 1.0, 30.0]),
    apart=st.sampled_from([1e-4, 0.1, 20.0]),
    seed=st.integers(0, 10**6),
)
def test_every_figure_is_that_of_the_formula_in_64_bits(rows, size, spread, apart, seed):
    rng = np.random.default_rng(seed)
    base = (rng.standard_normal((rows, size)) * spread + rng.standard_normal() * 100).astype(np.float32)
    other = (base + rng.standard_normal((rows, size)) * apart).astype(np.float32)
    targets = rng.integers(0, size, rows)
    found = diverge(base, other, targets.tolist())

    p, q = log_softmax(base), log_softmax(other)
    assert found.kl == pytest.approx((np.exp(p) * (p - q)).sum(axis=1), rel=2e-6, abs=1e-6)
    each = np.arange(rows)
    assert found.base_loss == pytest.approx(-p[each, targets], rel=1e-5, abs=1e-5)
    assert found.other_loss == pytest.approx(-q[each, targets], rel=1e-5, abs=1e-5)
    assert found.base_top.tolist() == base.argmax(axis=1).tolist()
    assert found.other_top.tolist() == other.argmax(axis=1).tolist()
    assert found.agrees.tolist() == (base.argmax(axis=1) == other.argmax(axis=1)).tolist()
    assert found.base_top_probability == pytest.approx(np.exp(p.max(axis=1)), rel=1e-5)


def test_the_worked_number_of_the_docstring_holds():
    found = diverge(np.log(np.array([[0.5, 0.5]], np.float32)), np.log(np.array([[0.25, 0.75]], np.float32)), [0])

    assert found.kl[0] == pytest.approx(0.1438, abs=5e-5)


def test_scores_against_themselves_diverge_by_exactly_nothing():
    scores = np.random.default_rng(0).standard_normal((64, 32000)).astype(np.float32) * 8

    assert diverge(scores, scores.copy(), [0] * 64).kl.max() == 0


def test_a_constant_added_to_all_scores_changes_nothing():
    scores = np.random.default_rng(0).standard_normal((8, 1000)).astype(np.float32)

    assert diverge(scores, scores + np.float32(64), [0] * 8).kl.max() < 1e-6


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_refused(bad):
    scores = np.zeros((4, 100), np.float32)
    broken = scores.copy()
    broken[2, 7] = bad

    with pytest.raises(ValueError, match="no finite numbers"):
        diverge(scores, broken, [0] * 4)
