"""What routing learns from, as plain outcomes: scores of evals, outcomes of others that were added, users' thumbs.

The evals know nothing of routing, and routing nothing of evals: their scores are handed over here.
"""

from __future__ import annotations

import gzip
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from weighbridge import routing
from weighbridge.cli import output
from weighbridge.cli.state_folders import ADDED, EVALS
from weighbridge.errors import BadSetting, WeighbridgeError
from weighbridge.evals.log import EvalLog, read_log
from weighbridge.settings import Settings

if TYPE_CHECKING:
    from weighbridge.routing import Evidence, Outcome

_MOST_OUTCOMES = 500_000
# A cluster with fewer samples is no kind of question but a few that belong together.
_FEWEST_OF_A_CLUSTER = 8


def of_logs(folder: Path) -> Iterator[Outcome]:
    """A scored sample an outcome, of all logs of evals in a folder; what is no log is told and passed over.

    The task is the eval's, or of a larger cluster of it that cluster. What has no score (errors, refusals, answers that
    were cut off) says nothing.
    """
    for path in sorted(folder.glob("*.jsonl")):
        try:
            log = read_log(path, keep_ids=False)
            yield from _of_log(log)
        except WeighbridgeError as error:
            output.tell(f"passed over: {error}")


def _of_log(log: EvalLog) -> Iterator[Outcome]:
    sizes = Counter(row.cluster for row in log.rows() if row.cluster is not None)
    for row in log.rows():
        if row.score is None or not row.input:
            continue
        task = log.head.task
        if row.cluster is not None and sizes[row.cluster] >= _FEWEST_OF_A_CLUSTER and len(sizes) > 1:
            task = f"{task}/{row.cluster}"
        yield routing.Outcome(log.head.model, row.input, row.score, task, seconds=row.seconds)


def gather(settings: Settings) -> Evidence:
    """All that there is: evals, what was added, thumbs. BadSetting where there is nothing."""
    state = settings.state_path
    found: list[Outcome] = []
    for outcome in _all(state):
        found.append(outcome)
        if len(found) >= _MOST_OUTCOMES:
            output.tell(f"only the first {_MOST_OUTCOMES:,} outcomes are learnt from")
            break
    if not found:
        raise BadSetting(
            "there is nothing to learn from: no eval was run, no outcomes were added, no thumb was given",
            hint="weigh eval TASK, weigh route add DATA, or POST to /v1/feedback; until then rules and cards decide",
        )
    return routing.Evidence.of(found)


def _all(state: Path) -> Iterator[Outcome]:
    yield from of_logs(state / EVALS)
    for path in sorted((state / ADDED).glob("*.jsonl.gz")):
        yield from routing.read_outcomes(path)
    yield from routing.read_thumbs(state)


def add(data: Path, settings: Settings) -> Path:
    """Keep outcomes made elsewhere, to be learnt from with all else; the same name takes the place of what it had."""
    evidence = routing.read_evidence(data)
    folder = settings.state_path / ADDED
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", data.name.removesuffix(".gz").rsplit(".", 1)[0]).strip("-.") or "outcomes"
    place = folder / f"{name[:80]}.jsonl.gz"
    beside = place.with_name(place.name + ".new")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with gzip.open(beside, "wt", encoding="utf-8") as file:
            for row in _rows(evidence):
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        beside.replace(place)
    except OSError as error:
        raise BadSetting(f"{place}: {error.strerror}", hint="choose another folder: WEIGHBRIDGE_STATE_DIR") from error
    return place


def _rows(evidence: Evidence) -> Iterator[dict[str, object]]:
    tables = {
        "score": evidence.scores, "cost": evidence.costs, "seconds": evidence.seconds,
        **({} if evidence.log_probabilities is None else {"mean_log_probability": evidence.log_probabilities}),
    }  # fmt: skip
    for at, prompt in enumerate(evidence.prompts):
        for column, model in enumerate(evidence.models):
            if not evidence.weights[at, column]:
                continue
            told = {name: float(table[at, column]) for name, table in tables.items()}
            known = {name: value for name, value in told.items() if math.isfinite(value)}
            yield {"model": model, "prompt": prompt, "task": evidence.tasks[at], **known}
