"""`run(task, target)`: every sample asked and scored, each result kept as it comes; a run that was killed goes on."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol

from weighbridge.errors import BadTask, EvalStopped

from .asking import Asked, Patience, ask, body_of
from .footprint import Footprint, Watch
from .http import Connection, Target
from .knee import Knee, Level
from .log import EvalLog, Head, Row, Writer, log_path
from .score import Answer, Score, Scorer, ScoringFailed, State, make_scorer
from .statistics import ConfidenceSequence, Interval
from .task import Sample, Task

_FIRST_LAG_SECONDS, _LAG_SECONDS = 0.001, 0.05
_RECENT_LAGS = 200
_STREAMED = 8
"""One answer in so many is streamed, unless more or none is asked for."""
_GIVEN_UP = 20
"""So many samples in a row that nothing answers at all, and the server is taken for gone."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    done: int
    total: int | None
    per_second: float
    """Samples, in this run."""
    seconds_left: float | None
    score: float | None
    """Of those scored so far."""
    interval: Interval
    """Valid at all times at once: looking at it does not make it wrong."""
    unscored: int
    concurrency: int


@dataclass(frozen=True, slots=True)
class Manner:
    """How a run goes about it."""

    concurrency: int | None = None
    """Requests at once; None: as many as the server's knee."""
    patience: Patience = field(default_factory=Patience)
    stream: bool | None = None
    """Whether answers are streamed, so that the time to the first token is known; None: one in eight, which tells it
    nearly as well and costs little."""
    limit: int | None = None
    """Only so many samples, the first ones."""
    order: Sequence[int] | None = None
    """The samples' places in the order in which they are asked; None: as the dataset has them."""
    watch: Watch | None = None
    """What tells the memory and energy that a model takes; None: nobody asks."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How quickly this run went; None throughout where nothing was asked any more."""

    wall_seconds: float
    answered: int
    levels: tuple[Level, ...]
    """What so many requests at once brought, from one on."""
    concurrency: int
    lag_p99_seconds: float
    """How late our own event loop was, at worst in a hundred: what times are uncertain by."""
    footprint: Footprint | None = None
    """What the model took meanwhile; None: nobody watched."""

    @property
    def at_one(self) -> Level | None:
        """One request at a time."""
        return next((level for level in self.levels if level.concurrency == 1), None)

    @property
    def at_knee(self) -> Level | None:
        """As many requests as the run settled on."""
        return next((level for level in reversed(self.levels) if level.concurrency == self.concurrency), None)


@dataclass(frozen=True, slots=True)
class Ran:
    """The log, and how the run that made it went."""

    log: EvalLog
    pace: Pace


class Endpoint(Protocol):
    """What is asked of an engine's endpoint: the fields of `engines.Endpoint`."""

    @property
    def base_url(self) -> str:
        """It ends before `/v1`."""

    @property
    def socket(self) -> Path | None:
        """The Unix socket that leads there."""

    @property
    def api_key(self) -> str:
        """What it asks for."""

    @property
    def model(self) -> str | None:
        """The engine's own name of the model."""

    @property
    def verify_tls(self) -> bool:
        """Whether its certificate must be good."""


def target_of(endpoint: Endpoint, name: str) -> Target:
    """An engine's endpoint as a target that reports call `name`."""
    return Target(
        endpoint.base_url.removesuffix("/v1"),
        endpoint.model or name,
        endpoint.api_key,
        endpoint.socket,
        endpoint.verify_tls,
        name,
    )


async def run(
    task: Task,
    target: Target,
    folder: Path,
    manner: Manner | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Ran:
    """Ask every sample that the log in `folder` has no answer of yet, and score it.

    Raises BadTask where the task cannot be read or scored, EvalStopped where the server is gone or refuses; what came
    until then is kept, and the same call goes on from there.
    """
    manner = manner or Manner()
    head = Head(
        task.name,
        target.label,
        task.fingerprint,
        task.scorer,
        target.identity,
        task.dataset.count,
        time.time(),
        dataset_sha256=task.dataset.sha256,
    )
    scorer = make_scorer(task.scorer, task.scorer_options)
    with Writer(log_path(folder, task, target), head) as writer:
        running = _Run(task, target, scorer, writer, manner, on_progress)
        if manner.watch is None:
            pace = await running.all()
        else:
            async with manner.watch(target) as footprint:
                pace = await running.all()
            pace = dataclasses.replace(pace, footprint=footprint)
    return Ran(writer.log, pace)


class _Run:
    """The state of one run."""

    def __init__(
        self,
        task: Task,
        target: Target,
        scorer: Scorer,
        writer: Writer,
        manner: Manner,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self._task, self._target, self._scorer, self._writer = task, target, scorer, writer
        self._manner, self._on_progress = manner, on_progress
        # What a scorer must have in the answer: log-probabilities, say. An answer that it cuts short is whole.
        self._request: Mapping[str, Any] = getattr(scorer, "request", {})
        self._outcomes = writer.log.outcomes
        self._knee = Knee(manner.concurrency)
        self._samples: Iterator[tuple[int, Sample]] = self._open_samples()
        self._exhausted = False
        self._workers: set[asyncio.Task[None]] = set()
        self._unreachable = 0
        self._refused = 0
        self._answered = 0
        self._running_score = ConfidenceSequence()
        self._sum, self._scored = 0.0, 0
        self._unscored = 0
        for score in self._outcomes.scores:
            if score == score:
                self._note(score)
        self._lags: list[float] = []
        self._recent_lags: deque[tuple[float, float]] = deque(maxlen=_RECENT_LAGS)
        self._begun = time.perf_counter()

    def _open_samples(self) -> Iterator[tuple[int, Sample]]:
        for at, sample in islice(self._ordered(), self._manner.limit):
            if not self._outcomes.is_answered(at):
                yield at, sample

    def _ordered(self) -> Iterator[tuple[int, Sample]]:
        if self._manner.order is None:
            yield from enumerate(self._task.dataset)
            return
        samples = list(self._task.dataset)
        for at in self._manner.order:
            yield at, samples[at]

    async def all(self) -> Pace:
        """Until every sample has an outcome."""
        # What was answered before is gone through now, and not while requests wait for their answers to be read.
        first = next(self._samples, None)
        self._samples = chain(() if first is None else (first,), self._samples)
        watch = asyncio.create_task(self._watch_lag())
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._grow()
        except BaseExceptionGroup as errors:
            # They all fail for the same cause.
            raise errors.exceptions[0] from None
        finally:
            watch.cancel()
            for close in filter(None, [getattr(self._scorer, "close", None)]):
                close()
        self._show()
        lags = sorted(self._lags)
        return Pace(
            time.perf_counter() - self._begun,
            self._answered,
            tuple(self._knee.levels),
            self._knee.concurrency,
            # A run that was over before we could look may have been late all along.
            lags[min(len(lags) - 1, len(lags) * 99 // 100)] if lags else time.perf_counter() - self._begun,
        )

    def _grow(self) -> None:
        """As many workers as there may be requests; those that are too many end by themselves."""
        while len(self._workers) < self._knee.concurrency and not self._exhausted:
            worker = self._group.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    async def _work(self) -> None:
        connection = Connection(self._target)
        try:
            while len(self._workers) <= self._knee.concurrency:
                found = next(self._samples, None)
                if found is None:
                    self._exhausted = True
                    return
                await self._one(connection, *found)
                self._grow()
        finally:
            connection.close()

    async def _one(self, connection: Connection, at: int, sample: Sample) -> None:
        stream = at % _STREAMED == 0 if self._manner.stream is None else self._manner.stream
        # What a scorer asks for beside the text is read from whole answers alone.
        stream = stream and not self._request
        body = body_of(self._task.messages(sample), self._target, self._task.generation, stream=stream)
        body |= self._request
        if tools := sample.metadata.get("tools"):
            body["tools"] = tools
        asked = await ask(connection, body, self._manner.patience, on_busy=self._knee.busy)
        self._check_reachable(asked)
        row = await self._row(at, sample, asked)
        self._writer.write(row)
        self._answered += 1
        if asked.answer is not None:
            self._knee.finished(time.perf_counter(), asked.answer.seconds, asked.answer.completion_tokens)
        if row.score is not None:
            self._note(row.score)
        else:
            self._unscored += 1
        self._show()

    def _check_reachable(self, asked: Asked) -> None:
        gone = asked.failure is not None and asked.failure.unreachable
        self._unreachable = self._unreachable + 1 if gone else 0
        if self._unreachable >= min(_GIVEN_UP, 2 * self._knee.concurrency) and asked.failure is not None:
            raise EvalStopped(
                f"{asked.failure.message}; {self._outcomes.n} samples are answered",
                hint="start the server and run the same again: it goes on from there",
            )
        self._refused = self._refused + 1 if asked.failure is not None else 0
        if asked.failure is None or self._scored:
            return
        # What speaks another language will not learn ours; what only fails may be loading still.
        most = 2 * self._knee.concurrency
        if self._refused >= (most if asked.failure.foreign else max(_GIVEN_UP, most)):
            raise EvalStopped(
                f"the first {self._refused} samples all failed: {asked.failure.message}",
                hint="check model and settings",
            )

    async def _row(self, at: int, sample: Sample, asked: Asked) -> Row:
        if asked.answer is None:
            why = asked.failure.message if asked.failure else ""
            return Row.of(at, sample, State.ERROR, None, None, why, asked.attempts)
        answer, lag = asked.answer, self._lag_during(asked.answer.seconds)
        state = state_of(answer, scores_truncated=self._task.scores_truncated or "max_tokens" in self._request)
        if state is not State.SCORED:
            return Row.of(at, sample, state, answer, None, answer.refusal, asked.attempts, lag)
        try:
            score = await self._scorer.score(sample, answer)
        except ScoringFailed as error:
            return Row.of(at, sample, State.ERROR, answer, None, str(error), asked.attempts, lag)
        return Row.of(at, sample, State.SCORED, answer, _bounded(score), "", asked.attempts, lag)

    def _lag_during(self, seconds: float) -> float | None:
        """How late our loop was while an answer came that took so long, at the most; the last that was seen counts
        always."""
        begun, worst = time.perf_counter() - seconds, None
        for at, lag in reversed(self._recent_lags):
            if worst is not None and at < begun:
                break
            worst = max(lag, worst or 0.0)
        return worst

    def _note(self, score: float) -> None:
        self._running_score.add(score)
        self._sum += score
        self._scored += 1

    def _show(self) -> None:
        if self._on_progress is None:
            return
        passed = time.perf_counter() - self._begun
        rate = self._answered / passed if passed > 0 else 0.0
        total, done = self._task.dataset.count, self._outcomes.n
        if total is not None and self._manner.limit is not None:
            total = min(total, self._manner.limit)
        left = max(0, total - done) / rate if total is not None and rate else None
        score = self._sum / self._scored if self._scored else None
        self._on_progress(
            Progress(
                done, total, rate, left, score, self._running_score.interval, self._unscored, self._knee.concurrency
            )
        )

    async def _watch_lag(self) -> None:
        """How late the loop wakes us: what the times that we measure are wrong by. Looked at often in the beginning, so
        that a run of a few answers knows it too."""
        pause = _FIRST_LAG_SECONDS
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(pause)
            now = time.perf_counter()
            lag = max(0.0, now - begun - pause)
            pause = min(_LAG_SECONDS, 2 * pause)
            self._lags.append(lag)
            self._recent_lags.append((now, lag))
            if len(self._lags) > 10_000:
                self._lags = self._lags[::2]


def state_of(answer: Answer, *, scores_truncated: bool) -> State:
    """Whether an answer may be scored, or is counted apart."""
    if answer.refusal or answer.finish_reason == "content_filter":
        return State.REFUSED
    if answer.finish_reason == "length" and not (scores_truncated and answer.text):
        return State.TRUNCATED
    if not answer.text.strip() and not answer.tool_calls:
        return State.EMPTY
    return State.SCORED


def _bounded(score: Score) -> Score:
    if not 0 <= score.value <= 1:
        raise BadTask(f"the scorer gave {score.value}, expected 0 to 1", hint="mend the scorer")
    return dataclasses.replace(score, value=float(score.value))
