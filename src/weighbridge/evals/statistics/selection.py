"""What choosing the best of several adds to a score by chance alone."""

from __future__ import annotations

import math
from functools import lru_cache

from .distributions import normal_above

_STEP = 0.01
_REACH = 9.0


@lru_cache(maxsize=64)
def largest_normal(k: int) -> float:
    """The mean of the largest of k standard normals: 0 for 1, 0.564 for 2, 1.424 for 8.

    The integral of x k phi(x) Phi(x)^(k-1): L. H. C. Tippett (1925), Biometrika 17:364.
    """
    if k < 1:
        raise ValueError("of at least one")
    total = 0.0
    for index in range(round(2 * _REACH / _STEP) + 1):
        x = -_REACH + index * _STEP
        density = math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
        total += x * k * density * (1 - normal_above(x)) ** (k - 1)
    return total * _STEP


def best_of_gain(k: int, standard_error: float, correlation: float = 0.0) -> float:
    """How far the best of k equally good systems is expected to stand above their true score.

    largest_normal(k) * standard error * sqrt(1 - correlation), the correlation being that of their scores on the same
    samples. The best of 8 at 60 % on 164 samples: +5.4 points. A lead that is not above this is no evidence.
    """
    return largest_normal(k) * standard_error * math.sqrt(max(0.0, 1 - correlation))
