"""How many samples it takes to tell two systems apart, and what a given number can tell."""

from __future__ import annotations

import math

from .distributions import normal_quantile

POWER = 0.8
ERROR = 0.05


def samples_needed(difference: float, variance: float, power: float = POWER, error: float = ERROR) -> int | None:
    """Samples in all for a paired test to see this mean difference with the given power; None for no difference.

    (z(1 - error/2) + z(power))^2 variance / difference^2, `variance` being that of one sample's difference: Miller
    (2024), arXiv:2411.00640, section 5. A gap of 0.05 at a variance of 0.25: 785.
    """
    if not difference or not variance:
        return None
    reach = normal_quantile(1 - error / 2) + normal_quantile(power)
    return math.ceil(reach**2 * variance / difference**2)


def detectable_difference(n: int, variance: float, power: float = POWER, error: float = ERROR) -> float:
    """The smallest mean difference that n samples show with the given power: `samples_needed` turned round."""
    reach = normal_quantile(1 - error / 2) + normal_quantile(power)
    return reach * math.sqrt(variance / n)
