"""`Calibration`: what an engine's work costs on this machine, measured once, and what its answers have taught since.

`weigh calibrate` measures models of known bytes (`trials`, whose files `synthetic.py` makes), and `derive` solves for
the rates that `costs.py` sums up: seconds for a byte of each type, a byte of cache, a value of attention, a layer, an
entry of scores. Nothing here runs an engine, so that all of it can be tested without one.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import itertools
import json
import math
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from weighbridge.facts import Layer
from weighbridge.machine import Machine

from .learning import Learned, recall
from .rates import THREAD_NANOSECONDS, Rates, TypeRate
from .synthetic import TYPES, Shape, tensors_of
from .touched import Touched, distinct_share

FILE = "calibration.json"
# 2: attention by what is fetched apart, not by bytes of cache.
_FORMAT = 2
_MOST_ENTRIES = 32
# What speeds of models that calibration did not see came to, as multiples of those foretold, in nine of ten rows
# (decode, prefill). With one thread two runs of `benchmarks/fit_speed.py` lie inside, 22 rows of eleven shapes, 5th
# to 95th percentile: 0.85 to 1.35 and 0.93 to 1.63 by the first, 0.74 to 1.13 and 0.68 to 1.32 by the second, on two
# cores of an EPYC of Zen 4 at other loads (2026-11; docs/speed.md). With several threads there was one run.
_RESIDUALS = {1: ((0.74, 1.35), (0.68, 1.63)), 2: ((0.69, 1.35), (0.64, 1.74))}
_MOST_SPREAD = 0.5
# What a type that was not measured may be off by: it is judged by its nearest relative.
_THREAD_NANOSECONDS_SPREAD = 0.3


@dataclass(frozen=True, slots=True)
class Trial:
    """One made model and what to run on it: for each prompt length, so many tokens of an answer after it."""

    name: str
    shape: Shape
    runs: tuple[tuple[int, int], ...]
    """(tokens of the prompt, tokens of the answer)."""
    needed: bool = True
    """Whether a calibration without it is of no use."""


def trials(*, quick: bool = False) -> tuple[Trial, ...]:
    """What is measured, the needed ones first: most have weights that no cache holds, so that they come from memory as
    those of larger models do. `quick`: an eighth of that, for tests."""
    less = 8 if quick else 1
    # Lengths that are no powers of two: rows that lie so apart share few places of a cache, and would be slow.
    width, inner = (2560, 6912) if not quick else (512, 1280)

    def typed(kind: str, layers: int, *, needed: bool = True) -> Trial:
        shape = Shape(layers, width, inner, width // 64, width // 256, type=kind)
        return Trial(kind, shape, ((8, 13), (96, 2)), needed)

    def attending(name: str, layers: int, heads: int, kv_heads: int, length: int) -> Trial:
        shape = Shape(max(2, layers // less), 768, 2048, heads, kv_heads, length, type="Q8_0")
        return Trial(name, shape, ((64, 9), (640 // (2 if quick else 1), 9)))

    mixture = Shape(3 if not quick else 2, 1024, 768, 16, 4, type="Q8_0", experts=32, used=4)
    return (
        Trial("layers", Shape(32, 256, 256, 4, 2, type="Q8_0"), ((8, 33), (128, 2))),
        Trial("vocabulary", Shape(2, 64, 64, 1, 1, vocabulary=65536 // less, type="Q8_0"), ((8, 33),)),
        typed("Q4_K", 5),
        typed("Q8_0", 3),
        attending("full", 12, 12, 12, 64),
        attending("grouped", 12, 12, 4, 64),
        attending("long", 12, 12, 4, 128),
        Trial("mixture", mixture, ((8, 9), (96, 2))),
        typed("Q6_K", 4, needed=False),
        typed("Q4_0", 5, needed=False),
        typed("F16", 2, needed=False),
    )


@dataclass(frozen=True, slots=True)
class Run:
    """What one run took: seconds of a step of decode, with how the repeats differed, and of the prompt's prefill."""

    prompt_tokens: int
    answer_tokens: int
    decode_seconds: float
    decode_spread: float
    """Second quickest over quickest repeat, or slower over quicker visit, less 1."""
    prefill_seconds: float
    prefill_spread: float = 0.0
    """Slower over quicker visit, less 1."""

    def better(self, other: Run) -> Run:
        """The best of two visits to a model, apart in time: other programs only ever slow one down. How far they lie
        apart says how much they did."""
        decode, prefill = (self.decode_seconds, other.decode_seconds), (self.prefill_seconds, other.prefill_seconds)
        return replace(
            self,
            decode_seconds=min(decode),
            decode_spread=max(decode) / min(decode) - 1,
            prefill_seconds=min(prefill),
            prefill_spread=max(prefill) / min(prefill) - 1,
        )


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


def identity(machine: Machine) -> str:
    """What tells a machine from another as far as an engine's speed goes: processor, memory, threads, GPUs."""
    memory = f"{round(machine.memory.total_bytes / 2**30)} GiB" if machine.memory else "unknown memory"
    processor = machine.processor
    parts = [processor.model or "unknown processor", memory, f"{processor.usable_threads} threads"]
    return ", ".join([*parts, *(device.name for device in machine.devices)])


_NUMBERS = (
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
    mixed = {name: mix(getattr(one, name), getattr(other, name)) for name in _NUMBERS}
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


def touched_by(shape: Shape) -> Touched:
    """What an engine touches of a made model, by its shape alone."""
    weights: dict[str, float] = {}
    output: dict[str, float] = {}
    experts: dict[str, float] = {}
    parameters = output_parameters = 0.0
    for name, lengths, kind in tensors_of(shape):
        count = math.prod(lengths)
        size = count / TYPES[kind].weights * TYPES[kind].block_bytes
        if name == "token_embd.weight":
            continue
        if name == "output.weight":
            output[kind], output_parameters = output.get(kind, 0.0) + size, output_parameters + count
        elif "_exps" in name:
            experts[kind] = experts.get(kind, 0.0) + size
            parameters += count * shape.used / shape.experts
        else:
            weights[kind] = weights.get(kind, 0.0) + size
            parameters += count
    kept = shape.kv_heads * shape.head_length
    kind = "full" if shape.kv_heads == shape.heads else "grouped_query"
    return Touched(
        weights, output, experts, ((shape.layers, Layer(kind, kept, kept)),), parameters, output_parameters,
        shape.heads, shape.head_length, shape.vocabulary, shape.width, shape.experts or 1, shape.used or 1,
    )  # fmt: skip


def derive(results: Mapping[str, Sequence[Run]], of: Sequence[Trial], threads: int = 1) -> tuple[Measured, float]:
    """The rates that explain what the trials took with so many threads, with how far repeats lay apart (the middle of
    all trials); and the fastest read, bytes a second.

    Each trial is made so that one rate makes most of its time. The other terms are taken off with what is known of them
    by then, and the round is made five times, after which nothing moves any more.
    """
    shapes = {trial.name: touched_by(trial.shape) for trial in of}
    rates = Rates({}, 0.0, 0.0, 0.0, 0.0, 0.0)
    for _ in range(5):
        rates = _round(rates, results, shapes)
    runs = [run for each in results.values() for run in each]
    decode, prefill = (
        statistics.median(apart) if apart else 0.0
        for apart in ([run.decode_spread for run in runs], [run.prefill_spread for run in runs])
    )
    fastest = max(
        (sum(shapes[name].weights.values()) / runs[0].decode_seconds for name, runs in results.items() if name in _BIG),
        default=0.0,
    )
    return Measured(threads, rates, decode, prefill), fastest


_BIG = frozenset({"Q4_0", "Q4_K", "Q6_K", "Q8_0", "F16"})


def _depth(run: Run) -> float:
    """Tokens in the cache in the middle of the answer."""
    return run.prompt_tokens + run.answer_tokens / 2


def _rest(rates: Rates, model: Touched, run: Run, *, without: str) -> float:
    """Seconds of a step of decode that the rates known so far explain, all but one term."""
    depth = _depth(run)
    terms = {
        "types": sum(
            size * rate.first
            for table in (model.weights, model.output)
            for name, size in table.items()
            if (rate := rates.types.get(name) or rates.types.get("Q8_0"))
        ),
        "layer": model.block_count * rates.layer,
        "vocabulary": model.vocabulary * rates.vocabulary,
        "cache": model.cache_bytes(round(depth)) * rates.cache,
        "attention": model.attended(depth) * rates.attention
        + model.looks(depth) * rates.look
        + model.pieces(depth) * rates.piece,
        "activation": model.block_count * model.width * rates.activation,
        "row": model.rows * rates.row,
    }
    return sum(seconds for name, seconds in terms.items() if name != without)


def _round(rates: Rates, results: Mapping[str, Sequence[Run]], shapes: Mapping[str, Touched]) -> Rates:
    for name in _BIG & results.keys():
        rates = replace(rates, types={**rates.types, name: _type_rate(rates, shapes[name], results[name], name)})
    if "layers" in results:
        rates = _layers(rates, shapes["layers"], results["layers"])
    if "vocabulary" in results:
        left = _left(rates, shapes["vocabulary"], results["vocabulary"][0], "vocabulary")
        rates = replace(rates, vocabulary=left / shapes["vocabulary"].vocabulary)
    rates = _rows(_attention(rates, results, shapes), results, shapes)
    if "mixture" in results:
        rates = replace(rates, experts=_experts(rates, shapes["mixture"], results["mixture"][-1]))
    return rates


def _rows(rates: Rates, results: Mapping[str, Sequence[Run]], shapes: Mapping[str, Touched]) -> Rates:
    """A row's seconds from narrow networks, whose weights alone do not explain them: the middle of three."""
    first, many = [], []
    for name in _ATTENDING:
        if name not in results or "Q8_0" not in rates.types:
            continue
        model, run = shapes[name], results[name][0]
        tokens, rate = run.prompt_tokens, rates.types["Q8_0"]
        first.append(max(0.0, run.decode_seconds - _rest(rates, model, run, without="row")) / model.rows)
        known = _prompt_rest(replace(rates, row=0.0, row_many=0.0), model, tokens)
        known += sum(model.weights.values()) * rate.seconds(tokens)
        many.append(max(0.0, run.prefill_seconds - known) / model.rows / (tokens - 1))
    if not first:
        return rates
    return replace(rates, row=statistics.median(first), row_many=statistics.median(many))


def _layers(rates: Rates, model: Touched, runs: Sequence[Run]) -> Rates:
    """A layer's own seconds from decode, and an activation's from a prompt."""
    rates = replace(rates, layer=_left(rates, model, runs[0], "layer") / model.block_count)
    tokens = runs[-1].prompt_tokens
    known = _prompt_rest(rates, model, tokens, activations=False)
    known += sum(model.weights.values()) * rates.types["Q8_0"].seconds(tokens) if "Q8_0" in rates.types else 0.0
    left = max(0.0, runs[-1].prefill_seconds - known)
    return replace(rates, activation=left / (tokens * model.block_count * model.width))


def _experts(rates: Rates, model: Touched, run: Run) -> float | None:
    """What a further token costs an expert's matrix, as a share of the first."""
    tokens = run.prompt_tokens
    rate = rates.types.get("Q8_0")
    if rate is None:
        return None
    left = run.prefill_seconds - _prompt_rest(rates, model, tokens)
    left -= sum(model.weights.values()) * rate.seconds(tokens)
    size = sum(model.experts.values())
    distinct = distinct_share(model.experts_total, model.experts_used, tokens)
    each = tokens * model.experts_used / model.experts_total / distinct
    further = (left / (size * distinct) - rate.first) / (each - 1) / rate.first
    return min(1.0, max(0.05, further))


def _prompt_rest(rates: Rates, model: Touched, tokens: int, *, activations: bool = True) -> float:
    """Seconds of a prompt that its matrices do not explain."""
    rest = model.attended_by_prompt(tokens) * rates.attention_many + model.block_count * rates.layer
    rest += model.rows * (rates.row + (tokens - 1) * rates.row_many)
    return rest + tokens * model.block_count * model.width * rates.activation * activations


def _left(rates: Rates, model: Touched, run: Run, term: str) -> float:
    """Seconds of a step that one term must explain. The bytes of small files lie in a cache, so what they take is
    overestimated; but what is left is not nothing."""
    return max(run.decode_seconds - _rest(rates, model, run, without=term), 0.2 * run.decode_seconds)


def _type_rate(rates: Rates, model: Touched, runs: Sequence[Run], name: str) -> TypeRate:
    """From decode, from a prompt of a few tokens, and from one of many."""
    size = sum(model.weights.values()) + sum(model.output.values())
    decode = runs[0].decode_seconds - _rest(rates, model, runs[0], without="types")
    first = max(decode, 0.2 * runs[0].decode_seconds) / size
    further = []
    for run in runs:
        tokens = run.prompt_tokens
        rest = _prompt_rest(rates, model, tokens)
        matrices = sum(model.weights.values())
        left = (max(run.prefill_seconds - rest, 0.2 * run.prefill_seconds) - matrices * first) / matrices / (tokens - 1)
        further.append(min(first, max(left, first / 100)))
    few = further[0]
    return TypeRate(first, few, min(few, further[-1]))


_ATTENDING = ("full", "grouped", "long")


def _attention(rates: Rates, results: Mapping[str, Sequence[Run]], shapes: Mapping[str, Touched]) -> Rates:
    """Pieces, looks and values from three models that keep and compute unlike, by what deeper prompts add. Bytes of
    cache are no term: they cannot explain that heads of 64 cost as much to fetch as heads of 128 (`Rates.piece`)."""
    rows: list[tuple[float, float, float]] = []
    added: list[float] = []
    prompts: list[tuple[float, float]] = []
    for name in _ATTENDING:
        if name not in results or len(results[name]) < 2:
            continue
        model, (near, far) = shapes[name], results[name][:2]
        fetched = model.pieces(_depth(far)) - model.pieces(_depth(near))
        looks = model.looks(_depth(far)) - model.looks(_depth(near))
        rows.append((fetched, looks, model.attended(_depth(far)) - model.attended(_depth(near))))
        added.append(max(0.0, far.decode_seconds - near.decode_seconds))
        # A prompt's own products grow with its length; what grows with its square is attention.
        times = far.prompt_tokens / near.prompt_tokens
        values = model.attended_by_prompt(far.prompt_tokens) - times * model.attended_by_prompt(near.prompt_tokens)
        prompts.append((values, max(0.0, far.prefill_seconds - times * near.prefill_seconds)))
    if len(rows) < len(_ATTENDING):
        return rates
    piece, look, attention = _not_negative(rows, added)
    many = sum(seconds for _, seconds in prompts) / sum(values for values, _ in prompts)
    return replace(rates, piece=piece, look=look, attention=attention, attention_many=many)


def _not_negative(rows: Sequence[Sequence[float]], wanted: Sequence[float]) -> list[float]:
    """Least squares of relative errors with no factor below 0: each choice of factors is solved, the best is taken."""
    count = len(rows[0])
    scaled = [[value / (target or 1.0) for value in row] for row, target in zip(rows, wanted, strict=True)]
    best, found = math.inf, [0.0] * count
    for size in range(1, count + 1):
        for chosen in itertools.combinations(range(count), size):
            solved = _least_squares([[row[place] for place in chosen] for row in scaled])
            if solved is None or min(solved) < 0:
                continue
            factors = [0.0] * count
            for place, value in zip(chosen, solved, strict=True):
                factors[place] = value
            off = sum((sum(a * b for a, b in zip(row, factors, strict=True)) - 1) ** 2 for row in scaled)
            if off < best - 1e-12:
                best, found = off, factors
    return found


def _least_squares(rows: Sequence[Sequence[float]]) -> list[float] | None:
    """The x for which each row's product with it is nearest 1, by the normal equations; None where there is not one."""
    count = len(rows[0])
    scales = [math.sqrt(sum(row[place] ** 2 for row in rows)) or 1.0 for place in range(count)]
    table = [
        [sum(row[i] * row[j] for row in rows) / scales[i] / scales[j] for j in range(count)]
        + [sum(row[i] for row in rows) / scales[i]]
        for i in range(count)
    ]
    for place in range(count):
        pivot = max(range(place, count), key=lambda row: abs(table[row][place]))
        if abs(table[pivot][place]) < 1e-9:
            return None
        table[place], table[pivot] = table[pivot], table[place]
        table[place] = [value / table[place][place] for value in table[place]]
        for row in range(count):
            if row != place:
                factor = table[row][place]
                table[row] = [a - factor * b for a, b in zip(table[row], table[place], strict=True)]
    return [table[place][-1] / scales[place] for place in range(count)]


def _as_data(calibration: Calibration) -> dict[str, Any]:
    # What answers teach has a file of its own.
    return {name: value for name, value in asdict(calibration).items() if name != "learned"}


def digest(calibration: Calibration | None) -> str:
    """A short name of what was measured; empty where nothing was."""
    if calibration is None or not calibration.measured:
        return ""
    told = json.dumps([asdict(each) for each in calibration.measured], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _rates_from(data: Mapping[str, Any]) -> Rates:
    types = {
        str(name): TypeRate(**{key: float(value) for key, value in rate.items()})
        for name, rate in data["types"].items()
    }
    experts = None if data["experts"] is None else float(data["experts"])
    rates = Rates(types, experts=experts, **{name: float(data[name]) for name in _NUMBERS})
    numbers = [*(getattr(rates, name) for name in _NUMBERS), experts or 0.0]
    numbers += [value for rate in types.values() for value in (rate.first, rate.few, rate.many)]
    if not all(math.isfinite(value) and value >= 0 for value in numbers) or not types:
        raise ValueError("a rate is not a number of seconds")
    return rates


def _from_data(data: Mapping[str, Any]) -> Calibration:
    return Calibration(
        machine=str(data["machine"]),
        engine=str(data["engine"]),
        day=str(data["day"])[:10],
        measured=tuple(
            Measured(
                int(each["threads"]),
                _rates_from(each["rates"]),
                float(each["spread"]),
                float(each.get("prefill_spread", 0.0)),
            )
            for each in data["measured"]
        ),
        read_bandwidth=float(data["read_bandwidth"]),
        notes=tuple(map(str, data["notes"])),
    )


def _entries(folder: Path) -> tuple[dict[str, Any], str | None]:
    """What the file holds by machine, and what is wrong with it; a file that is not there is just empty."""
    path = folder / FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, None
    except (OSError, ValueError, RecursionError) as error:
        return {}, f"{path} cannot be read and is left aside: {error}"
    if not isinstance(data, dict) or not isinstance(data.get("machines"), dict):
        return {}, f"{path} is no calibration and is left aside"
    if data.get("format") != _FORMAT:
        return {}, f"{path} has format {data.get('format')}, expected {_FORMAT}: run weigh calibrate again"
    return dict(data["machines"]), None


def load(folder: Path, machine: Machine, engine: str | None = None) -> tuple[Calibration | None, str | None]:
    """The calibration of this machine with what answers taught since, and a note where there is one that is not used,
    or that another version of the engine was measured. Both are None where nothing was measured or learnt yet."""
    found, note = _measured(folder, machine, engine)
    name = identity(machine)
    learned = recall(folder, name, digest(found))
    if found is None:
        return (Calibration(name, "", "", learned=learned) if learned else None), note
    return replace(found, learned=learned), note


def _measured(folder: Path, machine: Machine, engine: str | None) -> tuple[Calibration | None, str | None]:
    entries, trouble = _entries(folder)
    entry = entries.get(identity(machine))
    if entry is None:
        return None, trouble
    try:
        found = _from_data(entry)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        return None, f"{folder / FILE}: this machine's entry is damaged and is left aside: {error!r}"
    if engine and found.engine != engine:
        return None, f"the calibration of {found.day} is of {found.engine}, the engine is {engine}: run weigh calibrate"
    return found, trouble


def save(folder: Path, calibration: Calibration) -> Path:
    """Keep it, in one step, beside those of other machines. OSError where the folder cannot be written."""
    entries, _ = _entries(folder)
    entries.pop(calibration.machine, None)
    entries[calibration.machine] = _as_data(calibration)
    kept = dict(list(entries.items())[-_MOST_ENTRIES:])
    folder.mkdir(parents=True, exist_ok=True)
    path, beside = folder / FILE, folder / f"{FILE}.{os.getpid()}"
    try:
        beside.write_text(json.dumps({"format": _FORMAT, "machines": kept}, indent=1) + "\n", encoding="utf-8")
        beside.replace(path)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
    return path


def today() -> str:
    """The day, as it is kept."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()
