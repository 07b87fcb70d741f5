"""`Cost`: what a model's answers took: tokens, time, memory, energy, money; and which models are best for each.

Nothing here is guessed: what nobody counted or measured is None. Our own event loop's lateness is measured too, and a
time that it could have made, one of less than ten times as long, is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from .footprint import Footprint
from .knee import Level
from .log import Outcomes
from .pareto import front
from .running import Pace

_SMALL_SHARE = 10
_MOST_SORTED = 20_000


@dataclass(frozen=True, slots=True)
class Price:
    """What a service asks, in dollars for a million tokens."""

    prompt: float
    completion: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What a model's answers took. None: not known, or too uncertain to say."""

    completion_tokens: int | None = None
    prompt_tokens: int | None = None
    tokens_per_answer: float | None = None
    """Completion tokens, in the mean."""
    seconds_median: float | None = None
    """Of one answer, at the run's own concurrency."""
    first_token_seconds_median: float | None = None
    """From the request to the first piece of the answer, of those that were streamed."""
    token_seconds_median: float | None = None
    """For each token after the first."""
    tokens_per_second_alone: float | None = None
    """Completion tokens with one request at a time."""
    tokens_per_second_knee: float | None = None
    """Completion tokens with as many requests as the server has use for."""
    knee: int | None = None
    """How many these are."""
    memory_bytes: int | None = None
    """The most that the model's processes were seen to hold."""
    joules_per_answer: float | None = None
    """What the machine used more than when idle, shared among the answers."""
    watts: float | None = None
    """The machine's mean power in the run, by its counters, idle power included."""
    idle_watts: float | None = None
    """Its power by the same counters before the run."""
    energy_counters: tuple[str, ...] = ()
    energy_unknown: str = ""
    """Why no energy is told."""
    dollars_per_answer: float | None = None
    """By the price that was given, and the tokens that the server counted."""
    speed_refused: str = ""
    """Which times and speeds are not told, and why, where they were measured."""


@dataclass(slots=True)
class _Speeds:
    """Measured times, each told only if our own lateness is small against it."""

    lag_seconds: float | None
    refused: dict[str, float] = field(default_factory=dict)

    def rate(self, name: str, level: Level | None) -> float | None:
        """Tokens a second at a level, by what one answer took there."""
        return None if level is None else self.told(name, level.tokens_per_second, level.seconds)

    def told(self, name: str, value: float | None, measured_seconds: float | None) -> float | None:
        """The value, if the time that it was made of is much longer than we were late."""
        if value is None or measured_seconds is None:
            return value
        # What took no time at all came in one piece with something else.
        if 0 < measured_seconds >= _SMALL_SHARE * (self.lag_seconds or 0.0):
            return value
        self.refused[name] = measured_seconds
        return None

    @property
    def why(self) -> str:
        """In words; empty where nothing was refused."""
        if not self.refused:
            return ""
        times = ", ".join(f"{name} ({seconds * 1000:.3g} ms)" for name, seconds in self.refused.items())
        if not self.lag_seconds:
            return f"{times}, for it came in one piece"
        return f"{times}, for this program itself was {self.lag_seconds * 1000:.3g} ms late"


def cost_of(outcomes: Outcomes, pace: Pace | None, price: Price | None) -> Cost:
    """What a log and the run that made it tell."""
    lag = pace.lag_p99_seconds if pace is not None and pace.answered else percentile(outcomes.lag_seconds, 0.99)
    speeds = _Speeds(lag)
    seconds, first = percentile(outcomes.seconds, 0.5), percentile(outcomes.first_token_seconds, 0.5)
    each, after = percentile(outcomes.token_seconds, 0.5), percentile(outcomes.after_first_seconds, 0.5)
    knee_rate = speeds.rate("tok/s knee", pace.at_knee if pace is not None else None)
    cost = Cost(
        completion_tokens=outcomes.completion_tokens or None,
        prompt_tokens=outcomes.prompt_tokens or None,
        tokens_per_answer=outcomes.completion_tokens / outcomes.counted if outcomes.counted else None,
        seconds_median=speeds.told("s/answer", seconds, seconds),
        first_token_seconds_median=speeds.told("first token", first, first),
        token_seconds_median=speeds.told("per token", each, after),
        tokens_per_second_alone=speeds.rate("tok/s alone", pace.at_one if pace is not None else None),
        tokens_per_second_knee=knee_rate,
        knee=pace.concurrency if pace is not None and knee_rate is not None else None,
        dollars_per_answer=_dollars(outcomes, price),
        speed_refused=speeds.why,
    )
    if pace is None or pace.footprint is None:
        return cost
    return _with_footprint(cost, pace.footprint, pace.answered)


def _with_footprint(cost: Cost, footprint: Footprint, answered: int) -> Cost:
    energy, cost = footprint.energy, replace(cost, memory_bytes=footprint.memory_bytes)
    if energy is None or not answered or energy.seconds <= 0:
        return replace(cost, energy_unknown=footprint.energy_unknown)
    above = energy.above_idle_joules
    return replace(
        cost,
        joules_per_answer=None if above is None else above / answered,
        watts=energy.joules / energy.seconds,
        idle_watts=energy.idle_watts,
        energy_counters=energy.counters,
    )


def _dollars(outcomes: Outcomes, price: Price | None) -> float | None:
    """E.g. 1,000 answers of 200 tokens to prompts of 100, at 1 and 4 dollars: (0.1 x 1 + 0.2 x 4) / 1,000 = $0.0009."""
    if price is None or not outcomes.counted:
        return None
    spent = outcomes.prompt_tokens * price.prompt + outcomes.completion_tokens * price.completion
    return spent / 1e6 / outcomes.counted


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value that this share of them does not exceed, of 20,000 to 40,000 of them where they are more, taken evenly;
    None of nothing."""
    ordered = sorted(values[:: max(1, len(values) // _MOST_SORTED)])
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None


AXES: Mapping[str, tuple[str, str, float]] = {
    "seconds": ("seconds_median", "seconds an answer", 1.0),
    "energy": ("joules_per_answer", "joules an answer above idle", 1.0),
    "memory": ("memory_bytes", "MiB of memory", float(1 << 20)),
    "price": ("dollars_per_answer", "dollars for 1,000 answers", 1e-3),
    "tokens": ("tokens_per_answer", "tokens an answer", 1.0),
}
"""The costs that quality is set against: the field of `Cost`, its name for people, and its unit in the field's."""


def points_of(costs: Sequence[tuple[str, float | None, Cost]], axis: str) -> dict[str, tuple[float, float]]:
    """(quality, cost) by model, of those where both are known; `costs` has name, quality and cost a model."""
    name, _, unit = AXES[axis]
    found = {}
    for model, quality, cost in costs:
        value = getattr(cost, name)
        if quality is not None and value is not None:
            found[model] = (quality, value / unit)
    return found


def fronts_of(costs: Sequence[tuple[str, float | None, Cost]]) -> dict[str, tuple[str, ...]]:
    """The models that nothing beats in both quality and a cost, by the cost; none for one that fewer than two have."""
    found = {axis: points_of(costs, axis) for axis in AXES}
    return {axis: front(points) for axis, points in found.items() if len(points) > 1}
