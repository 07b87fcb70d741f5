"""`Calibration`: what an engine's work costs on this machine, measured once, and what its answers have taught since."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from weighbridge.fit.learning import Learned
from weighbridge.fit.rates import THREAD_NANOSECONDS, Rates, TypeRate
from weighbridge.fit.synthetic import TYPES
from weighbridge.fit.touched import Touched

# What speeds of models that calibration did not see came to, as multiples of those foretold, in nine of ten rows
# (decode, prefill). With one thread two runs of `benchmarks/fit_speed.py` lie inside, 22 rows of eleven shapes, 5th
# to 95th percentile: 0.85 to 1.35 and 0.93 to 1.63 by the first, 0.74 to 1.13 and 0.68 to 1.32 by the second, on two
# cores of an EPYC of Zen 4 at other loads (2026-11; docs/speed.md). With several threads there was one run.
_RESIDUALS = {1: ((0.74, 1.35), (0.68, 1.63)), 2: ((0.69, 1.35), (0.64, 1.74))}
_MOST_SPREAD = 0.5
# What a type that was not measured may be off by: it is judged by its nearest relative.
_THREAD_NANOSECONDS_SPREAD = 0.3


@dataclass(frozen=True, slots=True)
class Measured:
    """Rates with so many threads."""

    threads: int
    rates: Rates
    spread: float
    """How far repeats of decode lay apart here, as a share: a range is at least so wide."""
    prefill_spread: float = 0.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured and learnt on one machine with one version of an engine."""

    machine: str
    """`identity(machine)`: it is of no use on another."""
    engine: str
    """`xllamacpp 2026.10.11549`."""
    day: str
    """When it was measured (ISO 8601)."""
    measured: tuple[Measured, ...] = ()
    read_bandwidth: float = 0.0
    """Most bytes a second that weights were seen to be read at."""
    learned: Mapping[str, Learned] = field(default_factory=dict)
    """By `speed.place_of`, of all models there and of each one; kept in a file of its own (`learning.py`)."""
    notes: tuple[str, ...] = ()

    def rates_for(self, model: Touched, threads: int | None) -> tuple[Rates, Bounds, Bounds] | None:
        """Rates with so many threads (None: the most that were measured), for all types of a model; and the bounds of
        decode and prefill, as multiples of the middle.

        Between thread counts seconds are taken to lie on a straight line over 1 / threads, as work that is divided
        does; outside of them the nearest counts. Bounds are what nine in ten models that no calibration saw came to
        (`_RESIDUALS`), or how far repeats lay apart here, if that is more. None where nothing was measured.
        """
        if not self.measured:
            return None
        nearest = _between(self.measured, threads)
        rates = _with_relatives(nearest.rates, model)
        known = {name for each in self.measured for name in each.rates.types}
        sizes = (*model.weights.items(), *model.output.items())
        total = sum(size for _, size in sizes) + model.active_bytes() * bool(model.experts)
        guessed = sum(size for name, size in sizes if name not in known)
        if any(name not in known for name in model.experts):
            guessed = total
        unsure = _THREAD_NANOSECONDS_SPREAD * min(1.0, guessed / total) if total else 0.0
        decode, prefill = _RESIDUALS[min(2, nearest.threads)]
        return (
            rates,
            _widened(decode, min(nearest.spread, _MOST_SPREAD), unsure),
            _widened(prefill, min(nearest.prefill_spread, _MOST_SPREAD), unsure),
        )


Bounds = tuple[float, float]


def _widened(bounds: Bounds, spread: float, unsure: float) -> Bounds:
    """The bounds, or those of the spread where it is more, and what is not known of the types beside."""
    low, high = min(bounds[0], 1 / (1 + spread)), max(bounds[1], 1 + spread)
    return low / (1 + unsure), high * (1 + unsure)


NUMBERS = (
    "cache",
    "attention",
    "attention_many",
    "layer",
    "vocabulary",
    "mixture",
    "look",
    "piece",
    "activation",
    "row",
    "row_many",
)


def _blend(one: Rates, other: Rates, part: float) -> Rates:
    """`part` of the way from one to the other, for the types that both know."""

    def mix(a: float, b: float) -> float:
        return a + (b - a) * part

    types = {
        name: TypeRate(mix(rate.first, to.first), mix(rate.few, to.few), mix(rate.many, to.many))
        for name, rate in one.types.items()
        if (to := other.types.get(name))
    }
    mixed = {name: mix(getattr(one, name), getattr(other, name)) for name in NUMBERS}
    experts = one.experts if other.experts is None else other.experts
    return Rates(types, experts=experts, **mixed)


def _between(measured: Sequence[Measured], threads: int | None) -> Measured:
    """What was measured with so many threads, or what follows for them from fewer and more."""
    ordered = sorted(measured, key=lambda each: each.threads)
    if threads is None or threads >= ordered[-1].threads:
        return ordered[-1]
    if threads <= ordered[0].threads:
        return ordered[0]
    above = next(place for place, each in enumerate(ordered) if each.threads >= threads)
    low, high = ordered[above - 1], ordered[above]
    part = (1 / low.threads - 1 / threads) / (1 / low.threads - 1 / high.threads)
    return Measured(
        threads,
        _blend(low.rates, high.rates, part),
        max(low.spread, high.spread),
        max(low.prefill_spread, high.prefill_spread),
    )


def _bytes_a_weight(name: str) -> float | None:
    return TYPES[name].block_bytes / TYPES[name].weights if name in TYPES else None


def _with_relatives(rates: Rates, model: Touched) -> Rates:
    """Rates of types that were not measured, by those of the measured one that is nearest in `THREAD_NANOSECONDS`."""
    wanted = {*model.weights, *model.output, *model.experts} - rates.types.keys()
    if not wanted:
        return rates
    found = dict(rates.types)
    for name in wanted:
        rate = _relative(name, rates.types)
        if rate:
            found[name] = rate
    return replace(rates, types=found)


def _relative(name: str, known: Mapping[str, TypeRate]) -> TypeRate | None:
    size = _bytes_a_weight(name)
    if name == "F32" or size is None or name not in THREAD_NANOSECONDS:
        # 32-bit matrices are small (routers, norms) and read as 16-bit ones are; unknown types as the slowest known.
        return (
            max(known.values(), key=lambda rate: rate.first)
            if name != "F32"
            else known.get("F16") or next(iter(known.values()), None)
        )
    nearest = [other for other in known if other in THREAD_NANOSECONDS]
    if not nearest:
        return None
    mine = THREAD_NANOSECONDS[name]
    like = min(nearest, key=lambda other: abs(math.log(THREAD_NANOSECONDS[other][0] / mine[0])))
    rate, other_size = known[like], _bytes_a_weight(like) or size
    factors = [here / there * other_size / size for here, there in zip(mine, THREAD_NANOSECONDS[like], strict=True)]
    first, few, many = rate.first * factors[0], rate.few * factors[1], rate.many * factors[2]
    return TypeRate(first, min(few, first), min(many, few, first))
