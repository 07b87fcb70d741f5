"""`derive()`: the rates that explain what trials took.

Seconds for a byte of each type, a head's keys and values that are fetched, a value of attention, a layer, an entry of
scores: what `costs.py` sums up.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

from weighbridge.fit.rates import Rates, TypeRate
from weighbridge.fit.touched import Touched, distinct_share

from .calibration import Measured
from .trials import Run, Trial, touched_by


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
