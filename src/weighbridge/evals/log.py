"""`EvalLog`: what one model answered to one task, a line a sample, written as it comes and never rewritten.

The first line says what was run; each other one is a sample's outcome. A run that was killed leaves at most half a
line, which the next one takes away. A sample that stands there twice counts by its last line.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import re
import time
from array import array
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from weighbridge.disk import disk_errors
from weighbridge.errors import BadTask

from .http import Target
from .score import Answer, Score, State
from .task import Sample, Task

KIND, VERSION = "weighbridge eval log", 1
_MOST_CHARACTERS = 20_000
_SYNC_SECONDS = 2.0
_LONGEST_LINE_BYTES = 64 << 20
# A line that names a place far behind costs memory for all before it.
_MOST_SAMPLES = 1 << 24


@dataclass(frozen=True, slots=True)
class Row:
    """One sample's outcome."""

    at: int
    """The sample's place in the dataset, from 0."""
    id: str
    state: State
    score: float | None = None
    """None where the answer is not scored."""
    cluster: str | None = None
    input: str = ""
    target: Any = None
    answer: str = ""
    """All that the model said, at most 20,000 characters of it."""
    taken: str | None = None
    """What of it was taken for the answer."""
    explanation: str = ""
    """Of the score, or what went wrong."""
    finish_reason: str = ""
    model: str = ""
    """Who says that it answered."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    seconds: float | None = None
    first_token_seconds: float | None = None
    attempts: int = 1
    tool_calls: tuple[Any, ...] = ()
    lag_seconds: float | None = None
    """How late the harness itself was meanwhile, at the most: what its times are uncertain by."""

    @classmethod
    def of(
        cls,
        at: int,
        sample: Sample,
        state: State,
        answer: Answer | None,
        score: Score | None,
        why: str,
        attempts: int,
        lag_seconds: float | None = None,
    ) -> Row:
        """From what was asked, said and judged."""
        said = answer or Answer("")
        return cls(
            at,
            sample.id,
            state,
            score.value if score else None,
            sample.cluster,
            sample.question[:_MOST_CHARACTERS],
            sample.target,
            said.text[:_MOST_CHARACTERS],
            score.answer if score else None,
            why or (score.explanation if score else ""),
            said.finish_reason,
            said.model,
            said.prompt_tokens,
            said.completion_tokens,
            round(said.seconds, 6) if answer else None,
            said.first_token_seconds,
            attempts,
            said.tool_calls,
            None if lag_seconds is None else round(lag_seconds, 4),
        )  # fmt: skip


@dataclass(slots=True)
class Outcomes:
    """All samples' outcomes in little memory: a score is eight bytes, NaN where there is none."""

    scores: array[float] = field(default_factory=lambda: array("d"))
    states: bytearray = field(default_factory=bytearray)
    """An index into `STATES` a sample; 0 where there is no outcome yet."""
    clusters: array[int] = field(default_factory=lambda: array("l"))
    """A number for each cluster; -1 for a sample that stands alone."""
    names: dict[str, int] = field(default_factory=dict)
    """The clusters' numbers by name."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: array[float] = field(default_factory=lambda: array("f"))
    """What single answers took."""
    first_token_seconds: array[float] = field(default_factory=lambda: array("f"))
    after_first_seconds: array[float] = field(default_factory=lambda: array("f"))
    """From the first token to the last, of the answers that were streamed."""
    token_seconds: array[float] = field(default_factory=lambda: array("f"))
    """For each token after the first, of the same answers."""
    lag_seconds: array[float] = field(default_factory=lambda: array("f"))
    """How late the harness was, by answers."""
    counted: int = 0
    """Answers whose tokens the server counted."""

    def put(self, row: Row) -> None:
        """Take note of a row; a later one of the same sample replaces it."""
        self._grow(row.at)
        self.states[row.at] = STATES.index(row.state)
        self.scores[row.at] = math.nan if row.score is None else row.score
        self.clusters[row.at] = -1 if row.cluster is None else self.names.setdefault(row.cluster, len(self.names))
        self.prompt_tokens += row.prompt_tokens or 0
        self.completion_tokens += row.completion_tokens or 0
        if row.seconds is not None:
            self.seconds.append(row.seconds)
        if row.lag_seconds is not None:
            self.lag_seconds.append(row.lag_seconds)
        if row.completion_tokens is not None and row.prompt_tokens is not None:
            self.counted += 1
        if row.first_token_seconds is not None:
            self.first_token_seconds.append(row.first_token_seconds)
            if row.seconds is not None and (row.completion_tokens or 0) > 1:
                after = max(0.0, row.seconds - row.first_token_seconds)
                self.after_first_seconds.append(after)
                self.token_seconds.append(after / ((row.completion_tokens or 0) - 1))

    def _grow(self, at: int) -> None:
        missing = at + 1 - len(self.states)
        if missing > 0:
            self.states.extend(bytes(missing))
            self.scores.extend([math.nan] * missing)
            self.clusters.extend([-1] * missing)

    def count(self, state: State) -> int:
        """Samples in a state."""
        return self.states.count(STATES.index(state))

    @property
    def n(self) -> int:
        """Samples with an outcome of any kind."""
        return len(self.states) - self.states.count(0)

    def is_answered(self, at: int) -> bool:
        """Whether the sample need not be asked again: all but errors."""
        return at < len(self.states) and self.states[at] not in (0, STATES.index(State.ERROR))

    def scored(self) -> tuple[list[float], list[object] | None]:
        """The scores of those that have one, and their clusters; None where no sample shares one."""
        kept = [at for at, score in enumerate(self.scores) if not math.isnan(score)]
        scores = [self.scores[at] for at in kept]
        return scores, [self.cluster(at) for at in kept] if self.names else None

    def cluster(self, at: int) -> object:
        """A sample's cluster; one that stands alone is its own."""
        return self.clusters[at] if self.clusters[at] >= 0 else -2 - at


STATES: tuple[State | None, ...] = (None, *State)


@dataclass(frozen=True, slots=True)
class Head:
    """The first line: what was run."""

    task: str
    model: str
    fingerprint: str
    """Of all that may change an answer or its score, the model's name and address apart."""
    scorer: str
    origin: str = ""
    """Where the model is from."""
    samples: int | None = None
    started_at: float = 0.0
    source: str = "weighbridge"
    """Whose results these are: our own, or those of another harness."""
    dataset_sha256: str = ""


@dataclass(slots=True)
class EvalLog:
    """One model's outcomes on one task: in a file, or of another harness."""

    head: Head
    path: Path
    outcomes: Outcomes = field(default_factory=Outcomes)
    ids: list[str] | None = None
    """The samples' ids by place; None where they were not kept, as a run need not."""
    kept: list[Row] | None = None
    """The outcomes themselves, of a log that is no file of ours."""

    @classmethod
    def of_rows(cls, head: Head, path: Path, rows: list[Row]) -> EvalLog:
        """A log of outcomes that another harness found; their places are those in the list."""
        log = cls(head, path, ids=[row.id for row in rows], kept=rows)
        for row in rows:
            log.outcomes.put(row)
        return log

    def rows(self) -> Iterator[Row]:
        """The outcomes one by one, each sample once and by its last line; read from the file."""
        if self.kept is not None:
            yield from self.kept
            return
        last: dict[int, int] = {}
        for number, (_, found) in enumerate(_lines(self.path)):
            if number:
                last[found["at"]] = number
        for number, (_, found) in enumerate(_lines(self.path)):
            if number and last[found["at"]] == number:
                yield _row(found)


def log_path(folder: Path, task: Task, target: Target) -> Path:
    """Where the log of this task and model belongs: the same run finds what it left."""
    key = hashlib.sha256(f"{task.fingerprint}\n{target.label}\n{target.identity}".encode()).hexdigest()[:10]
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{task.name}--{target.label}").strip("-.")[:80]
    return folder / f"{plain}--{key}.jsonl"


class Writer:
    """Appends to a log. Opening it takes up what is there: `log.outcomes` then holds what was answered before."""

    def __init__(self, path: Path, head: Head) -> None:
        self._path = path
        with self._disk_errors():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.log = self._take_up(path, head)
        except BlockingIOError as error:
            os.close(self._file)
            raise BadTask(
                f"{path}: another run is writing this log", hint="wait for it, or name another folder: --logs"
            ) from error
        except BaseException:
            os.close(self._file)
            raise
        self._synced_at = time.monotonic()

    def _take_up(self, path: Path, head: Head) -> EvalLog:
        whole = _whole_bytes(self._file)
        os.ftruncate(self._file, whole)
        if not whole:
            self._append({"kind": KIND, "version": VERSION, **asdict(head)})
            return EvalLog(head, path)
        found = read_log(path, keep_ids=False)
        if found.head.fingerprint != head.fingerprint:
            raise BadTask(f"{path}: is of another task or other settings", hint="name another folder: --logs")
        return found

    def write(self, row: Row) -> None:
        """One outcome; in the file when this returns, so that only the machine's own end can lose it."""
        self._append(_plain(row))
        self.log.outcomes.put(row)
        if time.monotonic() - self._synced_at > _SYNC_SECONDS:
            os.fsync(self._file)
            self._synced_at = time.monotonic()

    def _append(self, found: Mapping[str, Any]) -> None:
        line = json.dumps(found, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n"
        data = line.encode("utf-8", "replace")
        with self._disk_errors():
            while data:
                data = data[os.write(self._file, data) :]

    def _disk_errors(self) -> AbstractContextManager[None]:
        return disk_errors(
            self._path,
            full="free some, and run the same again: it goes on from there",
            choose="name another folder: --logs",
        )

    def close(self) -> None:
        """On disk, and given back."""
        try:
            with self._disk_errors():
                os.fsync(self._file)
        finally:
            os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _plain(row: Row) -> dict[str, Any]:
    """A row without what says nothing."""
    found: dict[str, Any] = {"at": row.at, "id": row.id, "state": row.state.value}
    for name in Row.__slots__[3:]:
        value = getattr(row, name)
        if value not in (None, "", ()):
            found[name] = value
    return found


def _row(found: Mapping[str, Any]) -> Row:
    known = {name: found[name] for name in Row.__slots__ if name in found}
    return Row(**(known | {"state": State(found["state"]), "tool_calls": tuple(found.get("tool_calls", ()))}))


def _whole_bytes(file: int) -> int:
    """How much of a file is whole lines."""
    size = os.fstat(file).st_size
    end = size
    while end > 0:
        begin = max(0, end - 65536)
        block = os.pread(file, end - begin, begin)
        at = block.rfind(b"\n")
        if at >= 0:
            return begin + at + 1
        end = begin
    return 0


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The whole lines of a log with their numbers from 1. BadTask names the one that is none."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE_BYTES), b""), 1):
                if not line.endswith(b"\n"):
                    # The last words of a run that was killed.
                    return
                found = json.loads(line)
                if not isinstance(found, dict):
                    raise ValueError("no object")
                yield number, found
    except FileNotFoundError:
        raise BadTask(f"{path}: there is no such file", hint="check the path") from None
    except (ValueError, RecursionError) as error:
        raise BadTask(f"{path}: line {number}: {error}", hint="a log is a JSON object a line") from error
    except OSError as error:
        raise BadTask(f"{path}: {error.strerror}", hint="check the path") from error


def read_log(path: Path, *, keep_ids: bool = True) -> EvalLog:
    """A log of ours, read in one go. BadTask where it is none."""
    log: EvalLog | None = None
    ids: list[str] = []
    for number, found in _lines(path):
        if log is None:
            log = EvalLog(_head(path, found), path)
            continue
        try:
            row = _row(found)
            if row.at < 0 or row.at > _MOST_SAMPLES or not 0 <= (row.score or 0.0) <= 1:
                raise ValueError("the place or the score is out of bounds")
            log.outcomes.put(row)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadTask(f"{path}: line {number} is no outcome: {error}", hint="is it a log of weigh eval?") from error
        if keep_ids:
            ids.extend([""] * (row.at + 1 - len(ids)))
            ids[row.at] = row.id
    if log is None:
        raise BadTask(f"{path}: is empty", hint="is it a log of weigh eval?")
    log.ids = ids if keep_ids else None
    return log


def _head(path: Path, found: Mapping[str, Any]) -> Head:
    if found.get("kind") != KIND or found.get("version") != VERSION:
        raise BadTask(
            f"{path}: is no log of this version of weigh eval", hint=f"its first line would say {KIND!r}, {VERSION}"
        )
    try:
        return Head(**{name: found[name] for name in Head.__slots__ if name in found})
    except TypeError as error:
        raise BadTask(f"{path}: line 1: {error}", hint="is it a log of weigh eval?") from error
