"""`compare()`: two models read a text in lock-step, and their predictions of every token are compared as they come."""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from weighbridge.errors import BadModelFile, BadSetting, DoesNotFit, EngineFailed
from weighbridge.facts import ModelFacts
from weighbridge.fit import LlamaCpp, Plan, Workload, make_plan
from weighbridge.fit.asking import plan_by_asking
from weighbridge.machine import Machine
from weighbridge.sizes import show_bytes

from .comparison import Comparison, Side, Worst
from .divergence import Divergence, diverge
from .intervals import Interval, Segments, interval_of_mean, interval_of_share
from .scorer import Scorer, ScorerSettings
from .text import Text
from .verdict import judge

# Positions of which only the mean is kept: neighbours are alike, and intervals are made of such runs.
_SEGMENT = 64
_NOISE_SEGMENT = 16
# Bytes of scores that one step of one model may leave.
_STEP_BYTES = 48 << 20
_LEAST_ROWS, _LONGEST_CONTEXT = 32, 512
# The engine is compared with itself over so many pieces of so many tokens, fewer if they take over a tenth of the time.
_NOISE_PIECES, _NOISE_TOKENS, _NOISE_SHARE = 8, 128, 0.1
_LEAST_TOKENS = 65
_WORST, _WORST_CONTEXT = 5, 24
_MARGIN_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model to compare: what it is, and the types of its cache."""

    facts: ModelFacts
    name: str
    cache_type_k: str = "f16"
    cache_type_v: str = "f16"


@dataclass(frozen=True, slots=True)
class Manner:
    """How far and how two models are compared."""

    context_tokens: int = _LONGEST_CONTEXT
    """Length of the pieces in which the text is read; the models' own context, if that is shorter."""
    most_tokens: int | None = None
    """Read so many of the text's tokens at most."""
    most_seconds: float | None = None
    """Begin no piece after so many seconds; what was read by then counts."""
    threads: int | None = None
    """Of both together; None: as the plans say."""
    load_seconds: float = 300.0
    step_seconds: float = 600.0


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


@dataclass(slots=True)
class _Record:
    """What is kept of each position."""

    parts: list[Divergence] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    """Of segments."""
    worst: list[tuple[float, int, int]] = field(default_factory=list)
    """(divergence, place in the record, place in the text), a heap of the largest, one a segment."""
    count: int = 0

    def add(self, part: Divergence, place: int, segment: int = _SEGMENT) -> None:
        """A step's positions; the first foretells the token at this place of the text."""
        size = len(part.kl)
        for start in range(0, size, segment):
            run = part.kl[start : start + segment]
            self.lengths.append(len(run))
            at = start + int(run.argmax())
            heapq.heappush(self.worst, (float(part.kl[at]), self.count + at, place + at))
            if len(self.worst) > _WORST:
                heapq.heappop(self.worst)
        self.parts.append(part)
        self.count += size

    def joined(self) -> Divergence:
        """All positions, one after another."""
        names = Divergence.__slots__
        return Divergence(*(np.concatenate([getattr(part, name) for part in self.parts]) for name in names))


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
        lengths = [each.facts.context_length for each in (quant, base)]
        self._context = min([manner.context_tokens, *(length for length in lengths if length)])
        if self._context < _LEAST_TOKENS - 1:
            raise BadSetting(
                f"pieces of {self._context:,} tokens are too short to compare models over",
                hint=f"--context takes {_LEAST_TOKENS - 1} and more",
            )
        self._rows = min(self._context, _rows(max(each.facts.vocabulary_size or 0 for each in (quant, base))))
        plans = [self._plan(each, machine) for each in (quant, base)]
        self._check_memory(plans)
        threads = manner.threads or max(plan.threads for plan in plans)
        self._threads = max(1, threads // 2)
        self._settings = [self._settings_of(each, plan) for each, plan in zip((quant, base), plans, strict=True)]

    def measure(self) -> Comparison:
        """Load both, compare, judge."""
        with ExitStack() as stack:
            quant, base = (
                stack.enter_context(Scorer(each.name, settings))
                for each, settings in zip((self._quant, self._base), self._settings, strict=True)
            )
            for scorer in (quant, base):
                scorer.wait_until_loaded()
            self._scorers = (quant, base)
            tokens = self._tokens()
            record, noises, stopped = self._read(tokens)
            worst = self._worst(record, tokens)
            return self._conclude(record, noises, worst, len(tokens), stopped=stopped)

    # Before anything is loaded

    def _plan(self, each: Candidate, machine: Machine) -> Plan:
        facts = each.facts
        if facts.source.kind != "gguf" or not facts.source.files:
            raise BadSetting(
                f"{each.name} is no GGUF file on this machine, and only those are compared here",
                hint="name two .gguf files: the quantized one, and the one it was made of",
            )
        workload = Workload(
            context_tokens=self._context, parallel=1, ubatch_tokens=self._rows,
            cache_type_k=each.cache_type_k, cache_type_v=each.cache_type_v,
        )  # fmt: skip
        try:
            model = LlamaCpp(facts)
            if model.gives_embeddings_always:
                raise BadSetting(
                    f"{each.name} gives embeddings and foretells no tokens", hint="compare models that write text"
                )
            return make_plan(model, machine, workload, use_devices=False, brief=True)
        except BadModelFile:
            # A graph that was never recorded: the engine itself tells what it takes.
            return plan_by_asking(facts, machine, workload)

    def _step_bytes(self, each: Candidate) -> int:
        """Scores of a step: in the engine's graph, its answer, and twice in shared memory."""
        return 4 * 4 * self._rows * (each.facts.vocabulary_size or 0)

    def _check_memory(self, plans: list[Plan]) -> None:
        needs = [plan.memory.total + self._step_bytes(each) for plan, each in zip(plans, self._both, strict=True)]
        need = sum(needs)
        if self._quant.facts.source.files == self._base.facts.source.files:
            need -= plans[0].memory.weights  # mapped once
        available = plans[0].available_bytes
        if plans[0].devices[0].available_bytes is not None and need > available:
            raise DoesNotFit(
                f"{self._quant.name} and {self._base.name} together need {show_bytes(need)}, "
                f"{show_bytes(available)} are available",
                hint="end other programs, or take a smaller base, such as the Q8_0 file",
            )

    @property
    def _both(self) -> tuple[Candidate, Candidate]:
        return self._quant, self._base

    def _settings_of(self, each: Candidate, plan: Plan) -> ScorerSettings:
        return ScorerSettings(
            path=Path(each.facts.source.files[0]).resolve(),
            context_tokens=self._context,
            rows=self._rows,
            threads=self._threads,
            most_bytes=plan.memory.total + self._step_bytes(each) + _MARGIN_BYTES,
            cache_type_k=each.cache_type_k,
            cache_type_v=each.cache_type_v,
            load_seconds=self._manner.load_seconds,
            step_seconds=self._manner.step_seconds,
        )

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
        if len(tokens) < _LEAST_TOKENS:
            raise BadSetting(
                f"{self._text.source} has {len(tokens)} tokens, and at least {_LEAST_TOKENS} are needed",
                hint="some thousands tell more: --text takes any file of plain text",
            )
        return tokens

    def _starts(self, tokens: list[int]) -> list[int]:
        """Where each piece of the text begins; a rest that is too short to tell much is left out."""
        last = min(len(tokens), self._manner.most_tokens or len(tokens)) - 1
        return [at for at in range(0, last, self._context) if at == 0 or last - at >= _SEGMENT]

    def _steps(self, tokens: list[int], start: int, most: int) -> Iterator[_Step]:
        """The steps of a piece of at most so many tokens: each that is read foretells the next. A model that wants a
        mark before any text is given it; without one a piece's first token is foretold by nothing."""
        begin = list(self._scorers[0].begin)
        until = min(len(tokens), self._manner.most_tokens or len(tokens))
        window = [*begin, *tokens[start : min(until, start + most + 1 - len(begin))]]
        for at in range(0, len(window) - 1, self._rows):
            read = window[at : min(at + self._rows, len(window) - 1)]
            targets = window[at + 1 : at + 1 + len(read)]
            yield _Step(read, targets, at == 0, start + at + 1 - len(begin))

    # Reading

    def _read(self, tokens: list[int]) -> tuple[_Record, tuple[_Record, _Record], bool]:
        """Compare over all pieces, and the engine with itself after the first; whether it was stopped for the time."""
        record, noises = _Record(), (_Record(), _Record())
        starts = self._starts(tokens)
        total = min(len(tokens), self._manner.most_tokens or len(tokens))
        reading_seconds = 0.0
        for number, start in enumerate(starts):
            if number and self._is_late():
                return record, noises, True
            begun = time.monotonic()
            self._compare_piece(record, self._steps(tokens, start, self._context))
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

    def _compare_piece(self, record: _Record, steps: Iterator[_Step]) -> None:
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

    def _take(self, record: _Record, step: _Step, slot: int) -> None:
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
        self, noises: tuple[_Record, _Record], tokens: list[int], starts: list[int], most_seconds: float
    ) -> None:
        """The engine against itself: the first tokens of some pieces in one step, and token by token."""
        begun = time.monotonic()
        count = min(_NOISE_PIECES, len(starts))
        for start in (starts[number * len(starts) // count] for number in range(count)):
            if noises[0].count and time.monotonic() - begun > most_seconds:
                return
            step = next(self._steps(tokens, start, min(_NOISE_TOKENS, self._context)))
            for slot in (0, 1):
                for scorer in self._scorers:
                    scorer.begin_scoring(step.tokens, slot, fresh=True, singly=bool(slot))
                for scorer in self._scorers:
                    scorer.wait()
            for scorer, noise in zip(self._scorers, noises, strict=True):
                whole, single = (scorer.rows(len(step.tokens), slot) for slot in (0, 1))
                noise.add(diverge(whole, single, step.targets), step.place, _NOISE_SEGMENT)

    # What comes of it

    def _worst(self, record: _Record, tokens: list[int]) -> tuple[Worst, ...]:
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
        self, record: _Record, noises: tuple[_Record, _Record], worst: tuple[Worst, ...], text_tokens: int, *,
        stopped: bool,
    ) -> Comparison:  # fmt: skip
        found = record.joined()
        kl = _not_below_zero(interval_of_mean(Segments.of(found.kl, record.lengths)))
        change = interval_of_mean(Segments.of(found.other_loss - found.base_loss, record.lengths))
        quant = self._side(0, float(found.other_loss.mean()), noises[0])
        base = self._side(1, float(found.base_loss.mean()), noises[1])
        notes = []
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
            context_tokens=self._context,
            kl=kl,
            kl_median=float(np.median(found.kl)),
            kl_p99=float(np.quantile(found.kl, 0.99)),
            kl_max=float(found.kl.max()),
            agreement=interval_of_share(Segments.of(found.agrees.astype(np.float64), record.lengths)),
            perplexity_ratio=Interval(
                _exp(change.value),
                *(None if each is None else _exp(each) for each in (change.low, change.high)),
            ),
            noise_positions=noises[1].count,
            verdict=judge(kl, base.noise),
            worst=worst,
            engine_version=self._scorers[1].version,
            threads=self._threads,
            seconds=time.monotonic() - self._begun,
            comparing_cpu_seconds=self._own_cpu_seconds,
            notes=tuple(notes),
        )

    def _side(self, index: int, loss: float, noise: _Record) -> Side:
        each, scorer = self._both[index], self._scorers[index]
        found = noise.joined()
        return Side(
            name=each.name,
            file=str(scorer.settings.path),
            file_bytes=each.facts.weights_bytes or 0,
            quantization=each.facts.quantization,
            cache_type_k=each.cache_type_k,
            cache_type_v=each.cache_type_v,
            perplexity=_exp(loss),
            noise=_not_below_zero(interval_of_mean(Segments.of(found.kl, noise.lengths))),
            noise_agreement=interval_of_share(Segments.of(found.agrees.astype(np.float64), noise.lengths)),
            forward_seconds=scorer.forward_seconds,
            forward_cpu_seconds=scorer.forward_cpu_seconds,
        )


def _rows(vocabulary_size: int) -> int:
    """Tokens of a step, so that its scores take no more than 48 MiB; a multiple of 32, and at least that."""
    fitting = _STEP_BYTES // (4 * max(1, vocabulary_size))
    return max(_LEAST_ROWS, min(_LONGEST_CONTEXT, fitting // _LEAST_ROWS * _LEAST_ROWS))


def _exp(loss: float) -> float:
    """Of a model that is so broken that this could not be written, the largest that can."""
    return math.exp(min(loss, 700.0))


def _not_below_zero(interval: Interval) -> Interval:
    """No divergence lies there."""
    return interval if interval.low is None else replace(interval, low=max(0.0, interval.low))


def _first_difference(quant: Scorer, base: Scorer) -> str:
    if quant.vocabulary_size != base.vocabulary_size:
        return f"{quant.vocabulary_size:,} and {base.vocabulary_size:,} tokens"
    pairs = enumerate(zip(quant.texts(), base.texts(), strict=True))
    return next(
        (f"token {number} is {mine!r} in one and {its!r} in the other" for number, (mine, its) in pairs if mine != its),
        "some tokens are of another kind",
    )
