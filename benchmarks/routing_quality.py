"""How well the router chooses, on published outcomes: `python -m benchmarks.routing_quality --data FOLDER`.

FOLDER holds a folder a set, as `weigh route eval` reads them (`prompts.jsonl.gz`, `scores.csv.gz`, perhaps
`cost.csv.gz`, `prices.json`, `out_chars.csv.gz`). Three questions: prompts left out by chance (is it better than a
lookup by task that is told the task?), tasks left out (does it ever do worse than the best single model?), and trained
on one set, tested on another. `--embedding NAME` lets the router look at an embedding too, as `weigh route` does.
`--write FILE` writes the page.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weighbridge.cli.route_eval import by_task
from weighbridge.openai_api import Request
from weighbridge.routing import Candidate, route
from weighbridge.routing.embedding import Embedding, load_embedding
from weighbridge.routing.evidence import Evidence, read_evidence
from weighbridge.routing.learning import learn
from weighbridge.routing.measuring import Curve, Interval, Pair, choices, interval, weak_and_strong
from weighbridge.routing.predictor import Predictor

Doubles = NDArray[np.float64]
Places = NDArray[np.intp]

SETS = ("routellm_mmlu", "routellm_gsm8k", "routellm_mtbench", "llmrouter11", "routerbench_sub", "routerdc7", "mmlupro",
        "bfcl_2024_08", "alpaca_eval2")  # fmt: skip
PAIR_SETS = ("routellm_mmlu", "routellm_gsm8k", "routellm_mtbench", "routerbench_sub")
_STRONG, _WEAK = re.compile("gpt-4-1106"), re.compile("mixtral-8x7b", re.IGNORECASE)
# Billions of parameters that one token goes through, where the name does not say them; Gemini's by its price.
_ACTIVE = {"DeepSeek-Coder-V2": 21.0, "Mixtral-8x7B-Instruct-v0.1": 13.0, "Mixtral-8x7B-v0.1": 13.0,
           "Phi-3-mini-4k-instruct": 3.8, "c4ai-command-r-v01": 35.0, "gemini-1.5-flash-002": 30.0,
           "gemini-1.5-pro-002": 200.0, "jamba-1.5-large": 94.0}  # fmt: skip
_LETTERS_A_TOKEN = 4
_PROMPT_SHARE = 0.2
_SEED = 11
# Prompts whose decision is timed, and how often.
_TIMED, _TRIES = 300, 7
# Long ones, of about 8,000 tokens.
_LONG, _LONG_LETTERS = 40, 32_000


@dataclass(frozen=True)
class Data:
    """A set: all models answered all prompts."""

    name: str
    evidence: Evidence
    costs: Doubles

    @property
    def pair(self) -> tuple[int, int] | None:
        """Columns of the weak and the strong model, where there are only two."""
        return pair_of(self.evidence) if len(self.evidence.models) == 2 else None

    @property
    def one_cost(self) -> bool:
        """Whether nothing is known of costs."""
        return bool(np.all(self.costs == 1))


def pair_of(evidence: Evidence) -> tuple[int, int]:
    """Columns of mixtral-8x7b and gpt-4-1106."""
    weak = next(at for at, model in enumerate(evidence.models) if _WEAK.search(model))
    return weak, next(at for at, model in enumerate(evidence.models) if _STRONG.search(model))


def load(folder: Path, name: str, most: int) -> Data:
    """A set, at most so many prompts by chance."""
    evidence = read_evidence(folder / name)
    whole = np.flatnonzero(~np.isnan(evidence.scores).any(1))
    chosen = np.sort(np.random.default_rng(_SEED).permutation(whole)[:most])
    evidence = evidence.rows(chosen)
    costs = evidence.costs
    prices = folder / name / "prices.json"
    if prices.exists():
        known = json.loads(prices.read_text())
        costs = np.tile([known[model]["input_price"] for model in evidence.models], (len(evidence), 1))
    elif name == "mmlupro":
        costs = np.tile([_size(model) for model in evidence.models], (len(evidence), 1))
    elif np.isnan(costs).all():
        costs = np.ones_like(evidence.scores)
    means = np.nanmean(costs, 0)
    costs = np.where(np.isnan(costs), means, costs)
    return Data(name, replace(evidence, costs=costs), costs)


def _size(model: str) -> float:
    found = re.search(r"(\d+)[Bb]", model)
    return _ACTIVE.get(model) or (float(found[1]) if found else 1.0)


@dataclass(frozen=True)
class Expected:
    """What each way expects of prompts that it has not seen."""

    by: dict[str, Doubles]
    costs: Doubles
    fold: Places
    train_seconds: float
    trust: float
    """What part of the near evidence counted, mean."""
    embedded: int
    """In how many folds the embedding counted."""


def expect(data: Data, fold: Places, told: bool, embedding: Embedding | None) -> Expected:
    """In folds."""
    evidence, shape = data.evidence, data.evidence.scores.shape
    found = {name: np.zeros(shape) for name in ("single", "lookup", "router", *(["told"] if told else []))}
    costs, seconds, trust, embedded = np.ones(shape), 0.0, np.zeros(shape[0]), 0
    for each in sorted(set(fold.tolist())):
        rest, own = np.flatnonzero(fold != each), np.flatnonzero(fold == each)
        seen = evidence.rows(rest)
        prompts, tasks = [evidence.prompts[at] for at in own], [evidence.tasks[at] for at in own]
        begun = time.perf_counter()
        predictor = learn(seen, embedding)
        seconds += time.perf_counter() - begun
        embedded += predictor.embedding is not None
        found["router"][own], _, trust[own] = predictor.predict_all(prompts)
        if told:
            found["told"][own] = predictor.predict_all(prompts, tasks)[0]
        found["lookup"][own] = by_task(seen, tasks)
        found["single"][own] = seen.scores.mean(0)
        costs[own] = seen.costs.mean(0)
    return Expected(found, costs, fold, seconds / len(set(fold.tolist())), float(trust.mean()), embedded)


def headline(data: Data, expected: Doubles, costs: Doubles, fold: Places) -> Callable[[Places], float]:
    """The set's measure of a way: APGR for two models, else the area under the curve (or quality, at one cost)."""
    scores = data.evidence.scores
    if data.pair:
        return Pair.of(data.pair, expected, scores, fold).apgr
    return Curve(choices(expected, costs), scores, data.costs).area


def quality(data: Data, expected: Doubles) -> Callable[[Places], float]:
    """Mean score where cost does not matter."""
    first = expected.argmax(1)
    return lambda rows: float(data.evidence.scores[rows, first[rows]].mean())


def difference(one: Callable[[Places], float], other: Callable[[Places], float], count: int) -> Interval:
    """On the same bootstrap samples."""
    return interval(lambda rows: one(rows) - other(rows), count)


def by_chance(count: int, folds: int) -> Places:
    """Folds of equal size."""
    return np.random.default_rng(_SEED).permutation(count) % folds


def by_tasks(tasks: tuple[str | None, ...], folds: int) -> Places | None:
    """Whole tasks together; None where there is one task."""
    named = sorted({str(task) for task in tasks})
    if len(named) < 2:
        return None
    order = np.random.default_rng(_SEED).permutation(len(named))
    of = {named[task]: at % min(folds, len(named)) for at, task in enumerate(order)}
    return np.array([of[str(task)] for task in tasks])


def in_domain(data: Data, folds: int, embedding: Embedding | None) -> list[str]:
    """A row of the first table."""
    count = len(data.evidence)
    expected = expect(data, by_chance(count, folds), True, embedding)
    ways = {name: headline(data, by, expected.costs, expected.fold) for name, by in expected.by.items()}
    oracle = headline(data, data.evidence.scores, data.costs, expected.fold)
    every = np.arange(count)
    gap, told_gap = (difference(ways[name], ways["lookup"], count) for name in ("router", "told"))
    best, first = data.evidence.scores.max(1), expected.by["router"].argmax(1)
    missed = interval(lambda rows: float((best[rows] - data.evidence.scores[rows, first[rows]]).mean()), count)
    columns = data.pair or (None if data.one_cost else weak_and_strong(data.evidence.scores, data.costs))
    pair = Pair.of(columns, expected.by["router"], data.evidence.scores, expected.fold) if columns else None
    return [
        data.name, f"{count:,} x {len(data.evidence.models)}",
        "APGR" if data.pair else "quality" if data.one_cost else "AIQ",
        f"{ways['single'](every):.3f}", f"{ways['lookup'](every):.3f}", str(interval(ways["router"], count)),
        f"{gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]", f"{ways['told'](every):.3f}",
        f"{told_gap.value:+.3f} [{told_gap.low:+.3f}, {told_gap.high:+.3f}]", f"{oracle(every):.3f}", str(missed),
        *([str(interval(pair.apgr, count)), str(interval(pair.cpt, count))] if pair else ["", ""]),
        f"{expected.train_seconds:.0f} s", *_counted(expected, embedding),
    ]  # fmt: skip


def _counted(expected: Expected, embedding: Embedding | None) -> list[str]:
    return [f"{expected.embedded} of {len(set(expected.fold.tolist()))}"] if embedding else []


def tasks_out(data: Data, folds: int, embedding: Embedding | None) -> list[str] | None:
    """A row of the second table."""
    fold = by_tasks(data.evidence.tasks, folds)
    if fold is None:
        return None
    count, every = len(data.evidence), np.arange(len(data.evidence))
    expected = expect(data, fold, False, embedding)
    router, single = (quality(data, expected.by[name]) for name in ("router", "single"))
    gap = difference(router, single, count)
    line = [headline(data, expected.by[name], expected.costs, fold) for name in ("single", "router")]
    wide = difference(line[1], line[0], count)
    return [
        data.name, f"{single(every):.3f}", f"{router(every):.3f}",
        f"{gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]",
        f"{line[0](every):.3f}", f"{line[1](every):.3f}", f"{wide.value:+.3f} [{wide.low:+.3f}, {wide.high:+.3f}]",
        f"{expected.trust:.2f}", *_counted(expected, embedding),
    ]  # fmt: skip


def both(data: Data, folds: int, setting: str) -> tuple[list[str], list[str] | None]:
    """The set's rows of the first two tables."""
    embedding = load_embedding(setting)
    return in_domain(data, folds, embedding), tasks_out(data, folds, embedding)


def across(sets: dict[str, Data], embedding: Embedding | None) -> list[list[str]]:
    """Rows of the third table: mixtral-8x7b against gpt-4-1106, trained on one set and tested on another."""
    rows = []
    pairs = {}
    for name, data in sets.items():
        if name in PAIR_SETS:
            weak, strong = pair_of(data.evidence)
            pairs[name] = Evidence.of_table(
                ("weak", "strong"), data.evidence.prompts, data.evidence.scores[:, [weak, strong]], data.evidence.tasks
            )
    for source, seen in pairs.items():
        predictor = learn(seen, embedding)
        for target, new in pairs.items():
            if source != target:
                rows.append([source, target, *_carried(predictor, seen, new)])
    return rows


def _carried(predictor: Predictor, seen: Evidence, new: Evidence) -> list[str]:
    expected, _, trust = predictor.predict_all(list(new.prompts))
    place = [predictor.models.index(model) for model in ("weak", "strong")]
    expected = expected[:, place]
    best = int(seen.scores.mean(0).argmax())
    first = expected.argmax(1)
    gap = interval(lambda rows: float((new.scores[rows, first[rows]] - new.scores[rows, best]).mean()), len(new))
    wide = interval(Pair.of((0, 1), expected, new.scores, np.zeros(len(new), np.intp)).apgr, len(new))
    return [
        f"{new.scores[:, best].mean():.3f}", f"{gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]", str(wide),
        f"{float(trust.mean()):.2f}",
    ]  # fmt: skip


@dataclass(frozen=True)
class Decision:
    """How long `route` takes."""

    models: int
    embedded: bool
    """Whether it looks at an embedding."""
    middle: float
    high: float
    """Seconds: median and 99th percentile over prompts."""
    long: float
    """Seconds: median, of prompts of `_LONG_LETTERS`."""

    def __str__(self) -> str:
        told = ", with the embedding" if self.embedded else ""
        return (
            f"`route` with evidence of {self.models} models{told}: {self.middle * 1000:.2f} ms median, "
            f"{self.high * 1000:.2f} ms at the 99th percentile; {self.long * 1000:.2f} ms median for prompts of "
            f"{_LONG_LETTERS:,} letters"
        )


def decisions(sets: list[Data], embedding: Embedding | None) -> list[Decision]:
    """Of `route` with a predictor and each set's models. Of each prompt the quickest of several tries, the sets in
    turn, so that what else the machine does counts little."""
    asked = []
    for data in sets:
        predictor = learn(data.evidence.rows(np.arange(min(len(data.evidence), 1000))), embedding)
        candidates = [Candidate(model) for model in predictor.models]
        texts = [str(prompt) for prompt in data.evidence.prompts[:_TIMED]]
        whole = "\n".join(texts)
        longer = [
            (whole[at * 500 :] + whole * (1 + _LONG_LETTERS // len(whole)))[:_LONG_LETTERS] for at in range(_LONG)
        ]
        requests = [Request("/v1/chat/completions", "auto", False, text, b"") for text in (*texts, *longer)]
        asked.append((predictor, candidates, requests))
    taken = [np.full(len(requests), np.inf) for _, _, requests in asked]
    for _ in range(_TRIES):
        for own, (predictor, candidates, requests) in zip(taken, asked, strict=True):
            for at, request in enumerate(requests):
                begun = time.perf_counter()
                route(request, candidates, predictor)
                own[at] = min(own[at], time.perf_counter() - begun)
    return [
        Decision(
            len(candidates),
            predictor.embedding is not None,
            float(np.median(own[:-_LONG])),
            float(np.quantile(own[:-_LONG], 0.99)),
            float(np.median(own[-_LONG:])),
        )
        for own, (predictor, candidates, _) in zip(taken, asked, strict=True)
    ]


def table(head: tuple[str, ...], rows: list[list[str]]) -> str:
    """In Markdown."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


PAGE = """# How well the router chooses{title}

Published outcomes of many models on many prompts; made by `python -m benchmarks.routing_quality`. All figures are on
prompts that the router has not learnt from. Strengths are chosen inside the training part. Brackets: 95 % of
bootstrap samples. {note}

## Prompts left out by chance

AIQ: area under the hull of quality over the logarithm of cost. APGR: share of the gap between two models that is
recovered, mean over all shares of calls to the better one; 0.5 by chance. *Lookup* is each model's mean on the prompt's
task, and is told the task; the router is told nothing, except in the column *told the task*. *Oracle gap*: quality that
an oracle has more than the router where cost does not matter. *APGR* and *CPT(50 %)*, the least share of calls to the
better model that recovers half of the gap: the router's, between the cheapest and the best model.

{first}

## Whole tasks left out

*Quality* is the mean score where cost does not matter; the curve is AIQ or APGR, for the best single models the hull
through them. *Trust* is the mean part of what was learnt that the router lets count.

{second}

## Trained on one set, tested on another

mixtral-8x7b and gpt-4-1106. *Against the best single*: quality where cost does not matter, less that of the model that
was best in training.

{third}

## The decision

Of each prompt the quickest of seven tries, one core.

{decision}
"""


def main() -> None:
    """Print the page, and write it if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="a folder a set")
    parser.add_argument("--sets", nargs="+", default=list(SETS), metavar="NAME", help="which sets")
    parser.add_argument("--most", type=int, default=20000, metavar="N", help="prompts taken of each set")
    parser.add_argument("--folds", type=int, default=3, metavar="N", help="parts that are left out in turn")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="sets measured at once")
    parser.add_argument("--embedding", default="", metavar="NAME", help="bundled, or a folder; none by default")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page here")
    arguments = parser.parse_args()
    sets = {name: load(arguments.data, name, arguments.most) for name in arguments.sets}
    first, second = [], []
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for one, other in pool.map(
            both, sets.values(), [arguments.folds] * len(sets), [arguments.embedding] * len(sets)
        ):
            print(" | ".join(one), "\n  tasks out:", " | ".join(other or ["-"]), flush=True)
            first.append(one)
            second += [other] if other else []
    embedding = load_embedding(arguments.embedding)
    third = across(sets, embedding)
    timed = [sets[name] for name in ("routellm_mmlu", "llmrouter11") if name in sets]
    took = "".join(f"- {each}.\n" for each in decisions(timed, embedding))
    note = f"At most {arguments.most:,} prompts of each set, {arguments.folds} folds."
    title = ", with an embedding" if embedding else ""
    counted = ("embedding counted",) if embedding else ()
    if embedding:
        note += (
            f"\nThe router may look at the embedding {embedding.name} (sha256 {embedding.sha256[:12]}) too; in how "
            "many folds it did, the last columns say."
        )
    page = PAGE.format(
        note=note,
        title=title,
        first=table(
            ("set", "prompts x models", "measure", "best single(s)", "lookup", "router", "less lookup",
             "told the task", "less lookup", "oracle", "oracle gap", "APGR", "CPT(50 %)", "training", *counted),
            first,
        ),
        second=table(
            ("set", "best single", "router", "difference", "curve of singles", "curve of router", "difference",
             "trust", *counted),
            second,
        ),
        third=table(("trained on", "tested on", "best single", "against the best single", "APGR", "trust"), third),
        decision=took.rstrip(),
    )  # fmt: skip
    print(page)
    if arguments.write:
        arguments.write.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
