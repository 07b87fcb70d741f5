"""`race(task, targets)`: all models on the same samples in blocks; one that another is better than asks no more.

Samples come in a random order that is always the same for a task, so that a race that was stopped goes on. Whether one
model is better than another is told by betting (`statistics.PairedTest`), which holds however often one looks; the
error is shared among all ordered pairs. An answer without a score counts against whom it would help.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

from weighbridge.errors import BadTask, EvalStopped

from .http import Target
from .log import EvalLog, Outcomes
from .running import Manner, Pace, Progress, run
from .statistics import PairedTest
from .task import Task

ERROR = 0.05
_FIRST_BLOCK = 16


@dataclass(frozen=True, slots=True)
class Beaten:
    """A model that left the race."""

    by: str
    samples: int
    """After so many."""


@dataclass(frozen=True, slots=True)
class Raced:
    """How a race ended."""

    logs: list[EvalLog]
    paces: Mapping[str, Pace]
    beaten: Mapping[str, Beaten]
    p_values: Mapping[frozenset[str], float]
    """For each pair, valid though the race looked again and again, and corrected for the number of pairs."""
    samples: int
    """That there are."""
    failed: Mapping[str, str]
    """Models that could not be asked any more, and why; what they answered until then counts."""


async def race(
    task: Task,
    targets: Sequence[Target],
    folder: Path,
    manner: Manner,
    on_progress: Callable[[Target], Callable[[Progress], None] | None] = lambda target: None,
) -> Raced:
    """Ask in blocks of 16, 32, 64, ... samples until one model is left, or all samples are asked.

    A model that cannot be asked any more leaves, and the others go on. Raises as `run` where none is left, and BadTask
    for samples in clusters: a bet a sample takes each for a new one.
    """
    count = _count(task)
    count = min(count, manner.limit) if manner.limit is not None else count
    order = list(range(count))
    random.Random(task.dataset.sha256).shuffle(order)
    tests = _Tests([target.label for target in targets], order)
    logs: dict[str, EvalLog] = {}
    paces: dict[str, Pace] = {}
    beaten: dict[str, Beaten] = {}
    failed: dict[str, EvalStopped] = {}
    size = min(_FIRST_BLOCK, count)
    while True:
        for target in targets:
            if target.label not in beaten and target.label not in failed:
                part = dataclasses.replace(manner, limit=size, order=order)
                try:
                    ran = await run(task, target, folder, part, on_progress(target))
                except EvalStopped as error:
                    failed[target.label] = error
                    if len(failed) == len(targets):
                        raise
                    continue
                logs[target.label] = ran.log
                paces[target.label] = _longer(paces.get(target.label), ran.pace)
        tests.feed({name: log.outcomes for name, log in logs.items()}, size)
        for name, winner in tests.losers().items():
            beaten.setdefault(name, Beaten(winner, size))
        if size >= count or len(beaten) + len(failed) >= len(targets) - 1:
            kept = [logs[target.label] for target in targets if target.label in logs]
            why = {name: str(error) for name, error in failed.items()}
            return Raced(kept, paces, beaten, tests.p_values(), count, why)
        size = min(2 * size, count)


def _count(task: Task) -> int:
    count = 0
    for sample in task.dataset:
        count += 1
        if sample.cluster is not None:
            raise BadTask(
                f"{task.name}: its samples come in clusters, and a race takes each as a new one",
                hint="leave --race away, or the clusters out of the data",
            )
    return count


def _longer(before: Pace | None, now: Pace) -> Pace:
    """The pace that saw more answers, as a block may be too short to tell one; with the most memory of both."""
    if before is None:
        return now
    longer, other = (now, before) if now.answered >= before.answered else (before, now)
    if longer.footprint is not None and other.footprint is not None:
        longer.footprint.see(other.footprint.memory_bytes)
    return longer


class _Tests:
    """One test for each ordered pair: that the first is better than the second."""

    def __init__(self, names: Sequence[str], order: Sequence[int]) -> None:
        self._order = order
        self._pairs = len(names) * (len(names) - 1)
        self._tests = {pair: PairedTest(ERROR / self._pairs, one_sided=True) for pair in permutations(names, 2)}
        self._fed = dict.fromkeys(self._tests, 0)

    def feed(self, outcomes: Mapping[str, Outcomes], size: int) -> None:
        """The samples up to this many in the race's order, as far as both of a pair were asked."""
        for pair, test in self._tests.items():
            if not set(pair) <= set(outcomes):
                continue
            first, second = (outcomes[name] for name in pair)
            while self._fed[pair] < size:
                at = self._order[self._fed[pair]]
                if not (_is_asked(first, at) and _is_asked(second, at)):
                    break
                test.add(_or(first.scores[at], 0.0) - _or(second.scores[at], 1.0))
                self._fed[pair] += 1

    def losers(self) -> dict[str, str]:
        """Who is beaten, and by whom."""
        return {second: first for (first, second), test in self._tests.items() if test.is_decided}

    def p_values(self) -> dict[frozenset[str], float]:
        """For each pair, whichever is ahead."""
        found: dict[frozenset[str], float] = {}
        for pair, test in self._tests.items():
            key = frozenset(pair)
            found[key] = min(found.get(key, 1.0), test.p_value * self._pairs)
        return found


def _is_asked(outcomes: Outcomes, at: int) -> bool:
    return at < len(outcomes.states) and outcomes.states[at] != 0


def _or(score: float, otherwise: float) -> float:
    return otherwise if math.isnan(score) else score
