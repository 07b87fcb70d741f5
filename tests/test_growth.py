"""The measure of growth that other tests trust tells a square from a line."""

from __future__ import annotations

import pytest

from tests.growth import costs_at_most, grows_no_faster_than


def test_work_that_grows_with_its_input_passes():
    grows_no_faster_than(40, lambda count: sum(range(count)), 50_000, 2_000_000)


def test_work_that_grows_with_the_square_fails():
    def square(count: int) -> None:
        for _ in range(count):
            sum(range(count))

    with pytest.raises(AssertionError, match="40 times the input"):
        grows_no_faster_than(40, square, 100, 4_000, tries=3)


def test_work_that_costs_too_much_each_time_fails_and_once_is_enough():
    work = iter([2_000_000, 100])
    costs_at_most(0.005, lambda: sum(range(next(work))))

    with pytest.raises(AssertionError, match=r"never 1e-06 s"):
        costs_at_most(1e-6, lambda: sum(range(100_000)), tries=2)
