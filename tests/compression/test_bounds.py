"""What the likeliest tokens alone tell of two models: never more than there is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import run_weigh
from weighbridge.compression.bounds import lower_bound, places
from weighbridge.errors import BadSetting
from weighbridge.specialists import bundled


@given(st.integers(2, 60), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_the_bound_is_never_above_the_divergence_and_is_all_of_it_where_all_is_told(size, top, seed):
    rng = np.random.default_rng(seed)
    p, q = (rng.dirichlet(np.full(size, 0.3)) + 1e-12 for _ in range(2))
    p, q = p / p.sum(), q / q.sum()
    exact = float((p * np.log(p / q)).sum())

    def told(values, count):
        return {str(at): math.log(values[at]) for at in np.argsort(-values)[:count]}

    bound, covered = lower_bound(told(p, top), told(q, top))
    assert 0 <= bound <= exact + 1e-9
    assert 0 <= covered <= 1
    assert lower_bound(told(p, size), told(q, size))[0] == pytest.approx(exact, abs=1e-6)


def test_the_worked_number():
    bound, covered = lower_bound({"a": math.log(1 / 2)}, {"a": math.log(1 / 4)})

    assert bound == pytest.approx(0.1438, abs=1e-4)
    assert covered == pytest.approx(0.5)


def test_places_are_ends_of_words_spread_over_the_text():
    text = "one two three " * 60
    found = places(text, 30)

    assert len(found) == len(set(found)) == 30
    assert all(text[at - 1] != " " and text[at] == " " for at in found)
    assert found[-1] > len(text) * 0.9
    with pytest.raises(BadSetting, match="words"):
        places("too short", 30)


def test_a_server_tells_a_bound_that_is_named_as_one(tmp_path):
    """The very same file twice is 0 apart; how far others are is test_compare's."""
    text = tmp_path / "text.txt"
    text.write_text("What is 37 plus 58? It is 95, and that is all that there is to say. " * 5)
    done = run_weigh(
        "compare", "arithmetic", str(bundled()["arithmetic"]), "--by-server", "--text", str(text),
        WEIGHBRIDGE_STATE_DIR=str(tmp_path), timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    assert "at least 0 (0 to 0) nats a token: a lower bound" in done.stdout
    assert "no whole vocabulary" in done.stdout
    assert "100.0%" in done.stdout
