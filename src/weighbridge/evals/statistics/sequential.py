"""Stopping early without cheating: tests and intervals that hold however often one looks.

Both bet against a hypothesis. A bettor's capital starts at 1 and cannot be expected to grow where the hypothesis is
true, so it ever reaches 1/error with a probability of at most `error`: J. Ville (1939); for means of bounded
variables I. Waudby-Smith and A. Ramdas (2024), J. R. Stat. Soc. B 86:1, "Estimating means of bounded random variables
by betting". Samples must come in an order that has nothing to do with their outcome: shuffled, or drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from .intervals import LEVEL, Interval

_BETS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7)
"""Shares of the capital that are bet: large ones find large differences soon, small ones find small differences.

Any fixed shares keep the promise; among five sets that were tried, these decide soonest on the outcomes of four systems
on GSM8K (gaps of 4 to 35 points).
"""


class PairedTest:
    """Whether the mean of paired differences (between -1 and 1) is zero; look after every sample.

    The capital is the mean of bets of fixed shares, half of them on each sign: a mixture of bets is a bet (Waudby-Smith
    and Ramdas 2024, section 4.2 on hedged capital, and appendix B on mixtures). With `one_sided` all bets are on the
    first one: the hypothesis is then that it is not better.
    """

    def __init__(self, error: float = 0.05, *, one_sided: bool = False) -> None:
        self.error = error
        self._one_sided = one_sided
        self.n = 0
        self._ahead = [0.0] * len(_BETS)
        self._behind = [0.0] * len(_BETS)
        self._most = 0.0
        self._total = 0.0

    def add(self, difference: float) -> None:
        """One sample's difference."""
        if not -1 <= difference <= 1:
            raise ValueError(f"a difference of {difference} is not between -1 and 1")
        self.n += 1
        if not difference:
            return
        self._total += difference
        for index, share in enumerate(_BETS):
            self._ahead[index] += math.log1p(share * difference)
            self._behind[index] += math.log1p(-share * difference)
        self._most = max(self._most, self.log_capital)

    @property
    def log_capital(self) -> float:
        """The natural logarithm of the capital now."""
        logs = self._ahead if self._one_sided else (*self._ahead, *self._behind)
        largest = max(logs)
        return largest + math.log(math.fsum(math.exp(log - largest) for log in logs) / len(logs))

    @property
    def p_value(self) -> float:
        """Valid whenever one looks: 1 / the largest capital so far."""
        return min(1.0, math.exp(-self._most))

    @property
    def is_decided(self) -> bool:
        """Whether the two are told apart: the capital has once reached 1/error."""
        return self._most >= -math.log(self.error)

    @property
    def first_is_ahead(self) -> bool | None:
        """Which one leads, once decided; None before."""
        return self._total > 0 if self.is_decided else None


@dataclass
class ConfidenceSequence:
    """An interval for the mean of scores between 0 and 1 that holds at all times at once.

    The hedged capital process with predictable plug-in bets (Waudby-Smith and Ramdas 2024, theorem 3 and equation 26):
    every mean on a grid against which the capital has once reached 1/error is out for good. The grid's step, 1/200,
    is added on both sides.
    """

    level: float = LEVEL
    n: int = 0
    _sum: float = 0.5
    _squares: float = 0.25
    _up: list[float] = field(default_factory=lambda: [0.0] * 199)
    _down: list[float] = field(default_factory=lambda: [0.0] * 199)
    _low: int = 0
    _high: int = 198

    def add(self, score: float) -> None:
        """One sample's score."""
        error = 1 - self.level
        self.n += 1
        variance = self._squares / self.n
        bet = math.sqrt(2 * math.log(2 / error) / (variance * self.n * math.log(self.n + 1)))
        limit = math.log(2 / error)
        for index in range(self._low, self._high + 1):
            mean = (index + 1) / 200
            distance = score - mean
            self._up[index] += math.log1p(min(bet, 0.5 / mean) * distance)
            self._down[index] += math.log1p(-min(bet, 0.5 / (1 - mean)) * distance)
        while self._low < self._high and max(self._up[self._low], self._down[self._low]) >= limit:
            self._low += 1
        while self._high > self._low and max(self._up[self._high], self._down[self._high]) >= limit:
            self._high -= 1
        self._sum += score
        centre = self._sum / (self.n + 1)
        self._squares += (score - centre) ** 2

    @property
    def interval(self) -> Interval:
        """What is not excluded yet."""
        return Interval(self._low / 200, (self._high + 2) / 200, self.level)
