"""The measure of growth that other tests trust tells a square from a line."""

from __future__ import annotations

import pytest

from tests.growth import grows_no_faster_than


def test_work_that_grows_with_its_input_passes():
    grows_no_faster_than(40, lambda count: sum(range(count)), 50_000, 2_000_000)


def test_work_that_grows_with_the_square_fails():
    def square(count: int) -> None:
        for _ in range(count):
            sum(range(count))

    with pytest.raises(AssertionError, match="40 times the input"):
        grows_no_faster_than(40, square, 100, 4_000, tries=3)
