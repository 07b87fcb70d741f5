"""The few probabilities that are needed: the normal's, Student's t, and the fair binomial's."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

_NORMAL = NormalDist()
_STEPS = 400
_TINY = 1e-300


@lru_cache(maxsize=64)
def normal_quantile(probability: float) -> float:
    """The value below which a standard normal lies with this probability; 0.975 gives 1.95996."""
    return _NORMAL.inv_cdf(probability)


def normal_above(value: float) -> float:
    """The probability that a standard normal is larger."""
    return 0.5 * math.erfc(value / math.sqrt(2))


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularized incomplete beta function I_x(a, b), by Lentz's continued fraction.

    Press et al., Numerical Recipes, 3rd edition, section 6.4.
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(b, a, 1 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    return front * _continued_fraction(a, b, x) / a


def _continued_fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _STEPS):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away_from_zero(1 + numerator * d)
            c = _away_from_zero(1 + numerator / c)
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def t_above(value: float, freedom: float) -> float:
    """The probability that Student's t with so many degrees of freedom is larger."""
    half = 0.5 * incomplete_beta(freedom / 2, 0.5, freedom / (freedom + value * value))
    return half if value >= 0 else 1 - half


@lru_cache(maxsize=256)
def t_quantile(probability: float, freedom: float) -> float:
    """The value below which Student's t lies with this probability (at least 0.5), by halving; 0.975 at 10: 2.228."""
    low, high = 0.0, 1.0
    while t_above(high, freedom) > 1 - probability:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if t_above(middle, freedom) > 1 - probability else (low, middle)
    return (low + high) / 2


def fair_binomial_at_most(successes: int, n: int) -> float:
    """The probability of at most so many heads in n throws of a fair coin."""
    if successes >= n:
        return 1.0
    scale = math.lgamma(n + 1) - n * math.log(2)
    return math.fsum(
        math.exp(scale - math.lgamma(k + 1) - math.lgamma(n - k + 1)) for k in range(max(0, successes) + 1)
    )
