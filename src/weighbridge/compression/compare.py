"""`compare()`: two models read a text in lock-step, and their predictions of every token are compared as they come."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from weighbridge.errors import BadSetting, EngineFailed
from weighbridge.machine import Machine

from .comparison import Comparison, Side, Worst
from .divergence import diverge
from .intervals import Interval, Segments, interval_of_mean
from .preparation import LEAST_TOKENS, Candidate, Manner, prepare
from .record import SEGMENT, Record
from .scorer import Scorer
from .text import Text
from .verdict import judge

_NOISE_SEGMENT = 16
# The engine is compared with itself over so many pieces of so many tokens, fewer if they take over a tenth of the time.
_NOISE_PIECES, _NOISE_TOKENS, _NOISE_SHARE = 8, 128, 0.1
_WORST_CONTEXT = 24


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a comparison is."""

    done_tokens: int
    total_tokens: int
    tokens_per_second: float
    """Of the text, by both models."""
    seconds_left: float
    is_first: bool = False
    """Whether this is the first that is known of how long it takes."""


@dataclass(frozen=True, slots=True)
class _Step:
    """Tokens that are computed at once."""

    tokens: list[int]
    targets: list[int]
    fresh: bool
    place: int
    """Of the first target in the text."""


def compare(
    quant: Candidate,
    base: Candidate,
    text: Text,
    machine: Machine,
    manner: Manner | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Comparison:
    """Measure what `quant` lost against `base` over a text, through the engine that serves them.

    Each runs in a process of its own, at the same time; scores of a step are compared while the next is computed, and
    none is kept. Raises BadSetting where the two can't be compared or the text is too short, DoesNotFit where memory is
    short, EngineFailed where the engine refuses one, ends, takes too long or is not the known one.
    """
    run = _Run(quant, base, text, machine, manner or Manner(), on_progress)
    return run.measure()


class _Run:
    """One comparison."""

    def __init__(
        self, quant: Candidate, base: Candidate, text: Text, machine: Machine, manner: Manner,
        on_progress: Callable[[Progress], None],
    ) -> None:  # fmt: skip
        self._quant, self._base, self._text, self._manner = quant, base, text, manner
        self._on_progress = on_progress
        self._begun = time.monotonic()
        self._own_cpu_seconds = 0.0
        self._prepared = prepare(quant, base, machine, manner)

    def measure(self) -> Comparison:
        """Load both, compare, judge."""
        with ExitStack() as stack:
            quant, base = (
                stack.enter_context(Scorer(each.name, settings))
                for each, settings in zip(self._both, self._prepared.settings, strict=True)
            )
            for scorer in (quant, base):
                scorer.wait_until_loaded()
            self._scorers = (quant, base)
            tokens = self._tokens()
            record, noises, stopped = self._read(tokens)
            worst = self._worst(record, tokens)
            return self._conclude(record, noises, worst, len(tokens), stopped=stopped)

    @property
    def _both(self) -> tuple[Candidate, Candidate]:
        return self._quant, self._base

    # The text

    def _tokens(self) -> list[int]:
        """The text's tokens, once it is sure that they mean the same to both."""
        quant, base = self._scorers
        if quant.vocabulary_sum != base.vocabulary_sum:
            raise BadSetting(
                f"{quant.name} and {base.name} have different vocabularies: {_first_difference(quant, base)}",
                hint="compare a file with the one that it was made of",
            )
        tokens = base.tokenize(self._text.content)
        if quant.tokenize(self._text.content) != tokens or quant.begin != base.begin:
            raise BadSetting(
                f"{quant.name} and {base.name} cut the text into different tokens",
                hint="their tokenizers differ: compare a file with the one that it was made of",
            )
        if len(tokens) < LEAST_TOKENS:
            raise BadSetting(
                f"{self._text.source} has {len(tokens)} tokens, and at least {LEAST_TOKENS} are needed",
                hint="some thousands tell more: --text takes any file of plain text",
            )
        return tokens

    def _starts(self, tokens: list[int]) -> list[int]:
        """Where each piece of the text begins; a rest that is too short to tell much is left out."""
        last = min(len(tokens), self._manner.most_tokens or len(tokens)) - 1
        return [at for at in range(0, last, self._prepared.context_tokens) if at == 0 or last - at >= SEGMENT]

    def _steps(self, tokens: list[int], start: int, most: int) -> Iterator[_Step]:
        """The steps of a piece of at most so many tokens: each that is read foretells the next. A model that wants a
        mark before any text is given it; without one a piece's first token is foretold by nothing."""
        begin = list(self._scorers[0].begin)
        until = min(len(tokens), self._manner.most_tokens or len(tokens))
        window = [*begin, *tokens[start : min(until, start + most + 1 - len(begin))]]
        for at in range(0, len(window) - 1, self._prepared.rows):
            read = window[at : min(at + self._prepared.rows, len(window) - 1)]
            targets = window[at + 1 : at + 1 + len(read)]
            yield _Step(read, targets, at == 0, start + at + 1 - len(begin))

    # Reading

    def _read(self, tokens: list[int]) -> tuple[Record, tuple[Record, Record], bool]:
        """Compare over all pieces, and the engine with itself after the first; whether it was stopped for the time."""
        record, noises = Record(), (Record(), Record())
        starts = self._starts(tokens)
        total = min(len(tokens), self._manner.most_tokens or len(tokens))
        reading_seconds = 0.0
        for number, start in enumerate(starts):
            if number and self._is_late():
                return record, noises, True
            begun = time.monotonic()
            self._compare_piece(record, self._steps(tokens, start, self._prepared.context_tokens))
            reading_seconds += time.monotonic() - begun
            rate = record.count / reading_seconds
            left = (total - record.count) / rate + (0 if number else _NOISE_SHARE * total / rate)
            self._on_progress(Progress(record.count, total, rate, left, is_first=number == 0))
            if number == 0:
                self._measure_noise(noises, tokens, starts, _NOISE_SHARE * total / rate)
        return record, noises, False

    def _is_late(self) -> bool:
        most = self._manner.most_seconds
        return most is not None and time.monotonic() - self._begun > most

    def _compare_piece(self, record: Record, steps: Iterator[_Step]) -> None:
        """Lock-step: while both compute a step, the one before is compared."""
        waiting: tuple[_Step, int] | None = None
        slots = itertools.cycle((0, 1))
        for step in steps:
            slot = next(slots)
            for scorer in self._scorers:
                scorer.begin_scoring(step.tokens, slot, fresh=step.fresh)
            if waiting:
                self._take(record, *waiting)
            for scorer in self._scorers:
                scorer.wait()
            waiting = step, slot
        if waiting:
            self._take(record, *waiting)

    def _take(self, record: Record, step: _Step, slot: int) -> None:
        quant, base = (scorer.rows(len(step.tokens), slot) for scorer in self._scorers)
        used = time.process_time()
        try:
            record.add(diverge(base, quant, step.targets), step.place)
        except ValueError as error:
            raise EngineFailed(
                f"{self._quant.name} or {self._base.name} gives {error}",
                hint="its file may be damaged: weigh get checks it",
            ) from error
        self._own_cpu_seconds += time.process_time() - used

    def _measure_noise(
        self, noises: tuple[Record, Record], tokens: list[int], starts: list[int], most_seconds: float
    ) -> None:
        """The engine against itself: the first tokens of some pieces in one step, and token by token."""
        begun = time.monotonic()
        count = min(_NOISE_PIECES, len(starts))
        for start in (starts[number * len(starts) // count] for number in range(count)):
            if noises[0].count and time.monotonic() - begun > most_seconds:
                return
            step = next(self._steps(tokens, start, min(_NOISE_TOKENS, self._prepared.context_tokens)))
            for slot in (0, 1):
                for scorer in self._scorers:
                    scorer.begin_scoring(step.tokens, slot, fresh=True, singly=bool(slot))
                for scorer in self._scorers:
                    scorer.wait()
            for scorer, noise in zip(self._scorers, noises, strict=True):
                whole, single = (scorer.rows(len(step.tokens), slot) for slot in (0, 1))
                noise.add(diverge(whole, single, step.targets), step.place, _NOISE_SEGMENT)

    # What comes of it

    def _worst(self, record: Record, tokens: list[int]) -> tuple[Worst, ...]:
        """The places of the largest divergences, in words."""
        found = record.joined()
        _, base = self._scorers
        worst = []
        for kl, at, place in sorted(record.worst, reverse=True):
            if kl <= 0:
                continue
            before = tokens[max(0, place - _WORST_CONTEXT) : place]
            named = [tokens[place], int(found.base_top[at]), int(found.other_top[at])]
            pieces = base.pieces([*before, *named])
            actual, base_top, quant_top = (piece.decode(errors="replace") for piece in pieces[-3:])
            context = b"".join(pieces[:-3]).decode(errors="replace")
            worst.append(
                Worst(
                    place, kl, context, actual, base_top, float(found.base_top_probability[at]),
                    quant_top, float(found.other_top_probability[at]),
                )
            )  # fmt: skip
        return tuple(worst)

    def _conclude(
        self, record: Record, noises: tuple[Record, Record], worst: tuple[Worst, ...], text_tokens: int, *,
        stopped: bool,
    ) -> Comparison:  # fmt: skip
        found = record.joined()
        kl = record.divergence
        change = interval_of_mean(Segments.of(found.other_loss - found.base_loss, record.lengths))
        quant = self._side(0, float(found.other_loss.mean()), noises[0])
        base = self._side(1, float(found.base_loss.mean()), noises[1])
        notes = []
        if self._prepared.context_tokens < self._manner.context_tokens:
            made_for = self._prepared.context_tokens
            notes.append(f"the models were made for {made_for:,} tokens: no longer pieces were read")
        if stopped:
            notes.append(f"stopped after {self._manner.most_seconds:g} s, as asked: the rest of the text was not read")
        if kl.low is None:
            notes.append("the text is too short for intervals: some thousands of tokens give them")
        return Comparison(
            base=base,
            quant=quant,
            text=self._text.source,
            positions=record.count,
            text_tokens=text_tokens,
            context_tokens=self._prepared.context_tokens,
            kl=kl,
            kl_median=float(np.median(found.kl)),
            kl_p99=float(np.quantile(found.kl, 0.99)),
            kl_max=float(found.kl.max()),
            agreement=record.agreement,
            perplexity_ratio=Interval(
                _exp(change.value),
                *(None if each is None else _exp(each) for each in (change.low, change.high)),
            ),
            noise_positions=noises[1].count,
            verdict=judge(kl, base.noise),
            worst=worst,
            engine_version=self._scorers[1].version,
            threads=self._prepared.threads,
            seconds=time.monotonic() - self._begun,
            comparing_cpu_seconds=self._own_cpu_seconds,
            notes=tuple(notes),
        )

    def _side(self, index: int, loss: float, noise: Record) -> Side:
        each, scorer = self._both[index], self._scorers[index]
        return Side(
            name=each.name,
            file=str(scorer.settings.path),
            file_bytes=each.facts.weights_bytes or 0,
            quantization=each.facts.quantization,
            cache_type_k=each.cache_type_k,
            cache_type_v=each.cache_type_v,
            perplexity=_exp(loss),
            noise=noise.divergence,
            noise_agreement=noise.agreement,
            forward_seconds=scorer.forward_seconds,
            forward_cpu_seconds=scorer.forward_cpu_seconds,
        )


def _exp(loss: float) -> float:
    """Of a model that is so broken that this could not be written, the largest that can."""
    return math.exp(min(loss, 700.0))


def _first_difference(quant: Scorer, base: Scorer) -> str:
    if quant.vocabulary_size != base.vocabulary_size:
        return f"{quant.vocabulary_size:,} and {base.vocabulary_size:,} tokens"
    pairs = enumerate(zip(quant.texts(), base.texts(), strict=True))
    return next(
        (f"token {number} is {mine!r} in one and {its!r} in the other" for number, (mine, its) in pairs if mine != its),
        "some tokens are of another kind",
    )
