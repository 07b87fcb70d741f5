"""Intervals of means over a text, whose neighbouring tokens are no independent evidence: the moving-block bootstrap."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weighbridge.evals.statistics import wilson
from weighbridge.evals.statistics.distributions import normal_quantile, t_quantile

Floats = npt.NDArray[np.float64]
_RESAMPLES = 2000
# Of an interval of 95 %, the probability below its upper end.
_UPPER = 0.975
_LEAST_BLOCKS = 3


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % interval; `low` and `high` are None where there is too little text to tell."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Segments:
    """A text in short runs of positions: of each run, the sum of a quantity and the number of positions."""

    sums: Floats
    counts: Floats

    @staticmethod
    def of(values: Floats, lengths: list[int]) -> Segments:
        """Runs of these lengths, one after another."""
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
        return Segments(np.add.reduceat(values.astype(np.float64), starts), np.asarray(lengths, dtype=np.float64))

    @property
    def mean(self) -> float:
        """Over all positions."""
        return float(self.sums.sum() / self.counts.sum())

    @property
    def positions(self) -> int:
        """How many there are."""
        return int(self.counts.sum())


def resampled_means(segments: Segments, seed: int = 1) -> tuple[Floats, int] | None:
    """Means of texts that are put together from blocks of neighbouring segments, each block drawn from any place
    (moving blocks: Künsch, Annals of Statistics 17(3), 1989); and how many blocks a text is made of.

    A block has n^(1/3) of n segments, the order that is best for a mean's variance (Hall, Horowitz and Jing,
    Biometrika 82(3), 1995). None where not even three blocks come of it.
    """
    count = len(segments.sums)
    length = max(1, math.ceil(count ** (1 / 3)))
    blocks = count // length
    if blocks < _LEAST_BLOCKS:
        return None
    sums = np.concatenate([[0.0], np.cumsum(segments.sums)])
    counts = np.concatenate([[0.0], np.cumsum(segments.counts)])
    starts = np.random.default_rng(seed).integers(0, count - length + 1, size=(_RESAMPLES, blocks))
    ends = starts + length
    means = (sums[ends] - sums[starts]).sum(axis=1) / (counts[ends] - counts[starts]).sum(axis=1)
    return means, blocks


def interval_of_mean(segments: Segments) -> Interval:
    """The 95 % interval of a mean: the bootstrap's percentiles, moved apart for few blocks.

    With b blocks the bootstrap's variance is (b-1)/b of what it should be, and its shape is the normal's where
    Student's t belongs: distances from the mean are stretched by t(b-1) / z * sqrt(b / (b-1)); e.g. by 1.22 for b = 10.
    """
    drawn = resampled_means(segments)
    if drawn is None:
        return Interval(segments.mean, None, None)
    means, blocks = drawn
    mean = segments.mean
    low, high = (float(each) for each in np.quantile(means, (1 - _UPPER, _UPPER)))
    stretch = t_quantile(_UPPER, blocks - 1) / normal_quantile(_UPPER) * math.sqrt(blocks / (blocks - 1))
    # The means are drawn around their own centre: first and last segments are in fewer blocks.
    centre = float(means.mean())
    return Interval(mean, mean - (centre - low) * stretch, mean + (high - centre) * stretch)


def interval_of_share(segments: Segments) -> Interval:
    """The 95 % interval of a share: Wilson's (JASA 22, 1927) with the number of independent positions in place of all.

    That number is n / deff (Korn and Graubard, Survey Methodology 24(2), 1998), where deff is the block bootstrap's
    variance over that of independent draws, at least 1. So 100 of 100 (and many blocks) give 0.963 to 1, and never an
    interval of no width.
    """
    drawn = resampled_means(segments)
    share, count = segments.mean, segments.positions
    if drawn is None:
        return Interval(share, None, None)
    means, blocks = drawn
    independent = share * (1 - share) / count
    variance = float(means.var()) * blocks / (blocks - 1)
    effective = count / max(1.0, variance / independent) if independent else count
    # Student's t in place of z: the variance is known from so many blocks only.
    found = wilson(share * effective, effective, quantile=t_quantile(_UPPER, blocks - 1))
    return Interval(share, found.low, found.high)
