"""`Evidence`: which model answered which prompt how well, at what cost and in what time, from wherever that is known.

A row says one outcome: model, prompt, score, and perhaps task, cost, seconds and where it comes from. Scores are
between 0 and 1, or numbers of any range that is scaled to it. A thumb is a score of 1 or 0 that weighs less than a
measured one.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, cast

import numpy as np
from numpy.typing import NDArray

from weighbridge.errors import BadSetting

from .features import Looks

WEIGHTS: Mapping[str, float] = {"eval": 1.0, "imported": 1.0, "feedback": 0.3}
"""What one outcome weighs, by its source: a thumb also says how the user felt, and about what is not known."""

# What others measured weighs half beside what was measured here: their prompts, settings and scorers are their own.
_BESIDE_OWN = 0.5
_MOST_ROWS = 5_000_000
_MOST_BYTES = 1 << 30
_COLUMNS = ("model", "prompt", "score", "task", "cost", "seconds", "source", "mean_log_probability", "id")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How well one model did on one prompt."""

    model: str
    prompt: str | Looks
    """Its text, or where that is not kept what it looks like; those that are alike in text are one prompt."""
    score: float
    """From 0, useless, to 1, all right."""
    task: str | None = None
    cost: float | None = None
    """Of the answer, in any one currency."""
    seconds: float | None = None
    source: str = "eval"
    """`eval`, `imported` or `feedback`."""
    mean_log_probability: float | None = None
    """Of the answer's tokens, in nats: how sure the model was; a cascade learns from it."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Outcomes as a table: a row a prompt, a column a model; NaN where a model was not asked."""

    models: tuple[str, ...]
    prompts: tuple[str | Looks, ...]
    tasks: tuple[str | None, ...]
    scores: NDArray[np.float64]
    weights: NDArray[np.float64]
    """What each score weighs, 0 to 1; 0 where there is none."""
    costs: NDArray[np.float64]
    seconds: NDArray[np.float64]
    log_probabilities: NDArray[np.float64] | None = None
    """Mean, of the answers' tokens; None where none is known at all."""

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> Evidence:
        """From single outcomes; several of one model on one prompt are averaged by weight.

        BadSetting names an outcome whose score is no number from 0 to 1, or whose source is unknown.
        """
        listed = list(outcomes)
        models = tuple(sorted({outcome.model for outcome in listed}))
        column = {model: at for at, model in enumerate(models)}
        rows: dict[tuple[str | Looks, str | None], int] = {}
        for outcome in listed:
            rows.setdefault((outcome.prompt, outcome.task), len(rows))
        shape = (len(rows), len(models))
        weights, sums = np.zeros(shape), np.zeros(shape)
        costs, seconds, sure = _Means(shape), _Means(shape), _Means(shape)
        measured_here = any(outcome.source == "eval" for outcome in listed)
        for outcome in listed:
            weight = _weight(outcome)
            if measured_here and outcome.source == "imported":
                weight *= _BESIDE_OWN
            at = rows[outcome.prompt, outcome.task], column[outcome.model]
            weights[at] += weight
            sums[at] += weight * outcome.score
            costs.add(at, outcome.cost)
            seconds.add(at, outcome.seconds)
            sure.add(at, outcome.mean_log_probability)
        with np.errstate(invalid="ignore", divide="ignore"):
            scores = sums / weights
        keys = tuple(rows)
        return cls(
            models,
            tuple(prompt for prompt, _ in keys),
            tuple(task for _, task in keys),
            scores,
            np.minimum(weights, 1.0),
            costs.means(),
            seconds.means(),
            sure.means() if any(outcome.mean_log_probability is not None for outcome in listed) else None,
        )

    @classmethod
    def of_table(
        cls,
        models: Sequence[str],
        prompts: Sequence[str | Looks],
        scores: NDArray[np.float64],
        tasks: Sequence[str | None] | None = None,
        costs: NDArray[np.float64] | None = None,
        seconds: NDArray[np.float64] | None = None,
    ) -> Evidence:
        """From a table that is there already: (prompts, models), NaN for none."""
        unknown = np.full(scores.shape, np.nan)
        return cls(
            tuple(models),
            tuple(prompts),
            tuple(tasks) if tasks is not None else (None,) * len(prompts),
            np.asarray(scores, np.float64),
            (~np.isnan(scores)).astype(np.float64),
            unknown if costs is None else np.asarray(costs, np.float64),
            unknown if seconds is None else np.asarray(seconds, np.float64),
        )

    def __len__(self) -> int:
        return len(self.prompts)

    def rows(self, chosen: NDArray[np.intp]) -> Evidence:
        """Some of the prompts."""
        return Evidence(
            self.models,
            tuple(self.prompts[at] for at in chosen),
            tuple(self.tasks[at] for at in chosen),
            self.scores[chosen],
            self.weights[chosen],
            self.costs[chosen],
            self.seconds[chosen],
            None if self.log_probabilities is None else self.log_probabilities[chosen],
        )


class _Means:
    """Means of what is known of each cell."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._sums, self._counts = np.zeros(shape), np.zeros(shape)

    def add(self, at: tuple[int, int], value: float | None) -> None:
        if value is not None and math.isfinite(value):
            self._sums[at] += value
            self._counts[at] += 1

    def means(self) -> NDArray[np.float64]:
        with np.errstate(invalid="ignore", divide="ignore"):
            found: NDArray[np.float64] = self._sums / self._counts
        return found


def _weight(outcome: Outcome) -> float:
    if not 0 <= outcome.score <= 1:
        raise BadSetting(
            f"{outcome.model}: a score is {outcome.score}", hint="scores are numbers from 0, useless, to 1, all right"
        )
    if outcome.source not in WEIGHTS:
        raise BadSetting(f"an outcome's source is {outcome.source!r}", hint=f"there are: {', '.join(WEIGHTS)}")
    return WEIGHTS[outcome.source]


def read_evidence(path: Path) -> Evidence:
    """From a file of outcomes, or from a folder of tables.

    A file holds one outcome a row or line, with columns or keys of `Outcome`: CSV, or JSON lines, both perhaps with
    `.gz`. A folder holds `prompts.jsonl` (id, prompt, perhaps task) and `scores.csv` (a row a prompt's id, a column a
    model), perhaps `cost.csv` and `seconds.csv` likewise. Scores beyond 1 are divided by the power of ten above them.
    BadSetting names file, line, what was found and what was expected.
    """
    if path.is_dir():
        return _not_empty(_read_tables(path))
    return _not_empty(Evidence.of(read_outcomes(path)))


def _not_empty(evidence: Evidence) -> Evidence:
    if not len(evidence) or not evidence.models:
        raise BadSetting("there are no outcomes", hint="one outcome a line: model, prompt, score")
    return evidence


def _opened(path: Path) -> TextIO:
    """As text; a byte order mark is no part of it."""
    if path.suffix == ".gz":
        return cast("TextIO", gzip.open(path, "rt", encoding="utf-8-sig", newline=""))
    return path.open(encoding="utf-8-sig", newline="")


def _lines(path: Path) -> Iterable[tuple[int, str]]:
    """Numbered lines of a text file, unpacked if its name ends in .gz."""
    try:
        with _opened(path) as text:
            taken = 0
            for number, line in enumerate(text, 1):
                taken += len(line)
                if number > _MOST_ROWS or taken > _MOST_BYTES:
                    raise BadSetting(f"{path}: more than {_MOST_ROWS:,} rows or {_MOST_BYTES:,} letters", hint="cut it")
                yield number, line
    except FileNotFoundError:
        raise BadSetting(f"{path}: there is no such file", hint="check the path") from None
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise BadSetting(
            f"{path}: cannot be read: {error}", hint="expected UTF-8 text, or such text packed by gzip"
        ) from error


def _records(path: Path) -> Iterable[tuple[int, Mapping[str, object]]]:
    """Rows of a CSV file, objects of a file of JSON lines."""
    kind = path.name.removesuffix(".gz").rsplit(".", 1)[-1]
    if kind == "csv":
        reader = csv.DictReader(line for _, line in _lines(path))
        try:
            for row in reader:
                yield reader.line_num, row
        except csv.Error as error:
            raise BadSetting(
                f"{path}, line {reader.line_num}: {error}", hint="expected CSV; long texts fit JSON lines"
            ) from error
        return
    if not path.exists():
        raise BadSetting(f"{path}: there is no such file", hint="a .csv or .jsonl of outcomes, or a folder of tables")
    if kind not in ("jsonl", "ndjson"):
        raise BadSetting(f"{path}: ends in {kind!r}", hint="expected .csv or .jsonl, perhaps with .gz, or a folder")
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadSetting(f"{path}, line {number}: no JSON: {error}", hint="one object a line") from error
        if not isinstance(found, dict):
            raise BadSetting(f"{path}, line {number}: a {type(found).__name__}", hint="expected an object a line")
        yield number, found


def _number(value: object, where: str, *, needed: bool = False) -> float | None:
    if value is None or value == "":
        if needed:
            raise BadSetting(f"{where} is missing", hint="every outcome needs model, prompt and score")
        return None
    try:
        found = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise BadSetting(f"{where} is {value!r}", hint="expected a number")
    return found


def read_outcomes(path: Path) -> Iterable[Outcome]:
    """The outcomes of a file, one by one, as `read_evidence` reads them."""
    for number, record in _records(path):
        where = f"{path}, line {number}:"
        model, prompt = record.get("model"), record.get("prompt")
        if not isinstance(model, str) or not isinstance(prompt, str) or not model:
            raise BadSetting(
                f"{where} model is {model!r} and prompt a {type(prompt).__name__}",
                hint=f"expected texts; columns: {', '.join(_COLUMNS)}",
            )
        score = _number(record.get("score"), f"{where} score", needed=True)
        assert score is not None
        if not 0 <= score <= 1:
            raise BadSetting(f"{where} score is {score}", hint="expected 0, useless, to 1, all right")
        task = record.get("task")
        yield Outcome(
            model,
            prompt,
            score,
            str(task) if task not in (None, "") else None,
            _number(record.get("cost"), f"{where} cost"),
            _number(record.get("seconds"), f"{where} seconds"),
            str(record.get("source") or "imported"),
            _number(record.get("mean_log_probability"), f"{where} mean_log_probability"),
        )


def _table(folder: Path, name: str) -> tuple[tuple[str, ...], dict[str, list[float]]] | None:
    """Models and rows of `name.csv`, or None where there is none."""
    path = next((p for p in (folder / f"{name}.csv", folder / f"{name}.csv.gz") if p.exists()), None)
    if path is None:
        return None
    reader = csv.reader(line for _, line in _lines(path))
    head = tuple(next(reader, []))[1:]
    rows: dict[str, list[float]] = {}
    for row in reader:
        where = f"{path}, line {reader.line_num}:"
        if len(row) != len(head) + 1:
            raise BadSetting(f"{where} {len(row)} cells", hint=f"expected {len(head) + 1}, as the first line has")
        found = [_number(cell, f"{where} a cell") for cell in row[1:]]
        rows[row[0]] = [math.nan if value is None else value for value in found]
    return head, rows


def _read_tables(folder: Path) -> Evidence:
    path = next((p for p in (folder / "prompts.jsonl", folder / "prompts.jsonl.gz") if p.exists()), None)
    scored = _table(folder, "scores")
    if path is None or scored is None:
        raise BadSetting(f"{folder}: prompts.jsonl or scores.csv is missing", hint="a folder of tables holds both")
    models, scores = scored
    prompts, tasks, ids = [], [], []
    for _, record in _records(path):
        key, prompt, task = str(record.get("id")), record.get("prompt"), record.get("task")
        if key in scores and isinstance(prompt, str):
            ids.append(key)
            prompts.append(prompt)
            tasks.append(str(task) if task is not None else None)
    if not ids:
        raise BadSetting(f"{folder}: no id of prompts.jsonl stands in scores.csv", hint="each row begins with an id")
    table = np.array([scores[key] for key in ids])
    most = float(np.nanmax(table)) if np.isfinite(table).any() else 1.0
    if most > 1:
        table = table / 10 ** math.ceil(math.log10(most))
    if np.nanmin(table) < 0:
        raise BadSetting(f"{folder}/scores.csv: a score is below 0", hint="expected 0, useless, to 1 (or 10, or 100)")
    others = [_beside(folder, name, models, ids) for name in ("cost", "seconds")]
    return Evidence.of_table(models, prompts, table, tasks, *others)


def _beside(folder: Path, name: str, models: Sequence[str], ids: Sequence[str]) -> NDArray[np.float64] | None:
    """Costs or seconds in the order of the scores."""
    found = _table(folder, name)
    if found is None:
        return None
    head, rows = found
    order = [head.index(model) if model in head else None for model in models]
    empty = [math.nan] * len(head)
    return np.array([[math.nan if at is None else rows.get(key, empty)[at] for at in order] for key in ids], np.float64)
