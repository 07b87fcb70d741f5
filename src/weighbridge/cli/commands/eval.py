"""Which model is best on your own data: scores with intervals, paired comparisons, and what each answer costs.

TASK is a file of questions and answers (JSONL or CSV with input and target, a .toml of `weigh eval init`, YAML of
lm-eval or promptfoo). The models that a gateway serves are asked, or those that --model and --url name. Each answer is
kept as it comes: the same command goes on where it was stopped. `report RESULTS...` compares logs, also those of
lm-eval, Inspect, promptfoo and evalplus. `init DATA` makes a task of a file, without DATA of what you type,
and with --ledger of what your gateway was asked.

example:
  weigh eval tasks.jsonl --model arithmetic --model extract
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import dataclasses
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from weighbridge.cli import eval_html, eval_pages, eval_plots, eval_serving, eval_tasks, eval_watching, output
from weighbridge.cli.flag_values import positive, temperature, whole
from weighbridge.cli.gateway_flags import add_address, read_settings
from weighbridge.cli.state_folders import EVALS
from weighbridge.disk import disk_errors
from weighbridge.errors import BadSetting, EvalStopped
from weighbridge.evals import EvalLog, Manner, Price, Report, Target, Task, race, read_tasks, report, table
from weighbridge.evals import run as run_task
from weighbridge.evals.imports import read_results
from weighbridge.evals.log import log_path
from weighbridge.evals.running import Pace
from weighbridge.evals.score import make_scorer
from weighbridge.settings import Settings
from weighbridge.sizes import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("words", nargs="+", metavar="TASK|init|report", help="tasks, or what to do with which files")
    parser.add_argument("--model", action="append", default=[], metavar="NAME", help="a model; may be repeated")
    parser.add_argument("--url", action="append", default=[], metavar="URL[#MODEL]", help="an OpenAI-compatible server")
    parser.add_argument(
        "--candidates", choices=["all"], help="all models of the gateway, or of this machine that fit, in a race"
    )
    parser.add_argument("--data", metavar="FILE", help="the samples of a TASK that only says how to ask them")
    parser.add_argument("--scorer", metavar="NAME", help="exact, includes, regex, numeric, choice, ... (by the data)")
    parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="of the scorer, as in TOML")
    parser.add_argument(
        "--max-tokens", type=positive, metavar="N", help="longest answer; one that is cut is not scored"
    )
    parser.add_argument("--temperature", type=temperature, metavar="T", help="0 (default): the likeliest answer")
    parser.add_argument("--system", metavar="TEXT", help="the system message")
    parser.add_argument("--score-truncated", action="store_true", help="score answers that were cut off, too")
    parser.add_argument(
        "--concurrency", type=whole(1, 4096), metavar="N", help="requests at once (default: the server's knee)"
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="only the first N samples")
    parser.add_argument(
        "--race", action=argparse.BooleanOptionalAction, help="ask a model no more once another is better beyond chance"
    )
    parser.add_argument(
        "--stream", action=argparse.BooleanOptionalAction, help="stream all answers, or none (default: one in eight)"
    )
    parser.add_argument(
        "--price",
        action="append",
        default=[],
        metavar="NAME=P/C",
        help="dollars for a million tokens of prompts/answers",
    )
    parser.add_argument("--again", action="store_true", help="ask all anew, and forget what was answered before")
    parser.add_argument("--logs", metavar="FOLDER", help="where answers are kept (default: evals in the state folder)")
    parser.add_argument("--html", metavar="FILE", help="write the report as one page too")
    parser.add_argument("--plot", metavar="FILE", help="draw scores against costs too, as .svg or .png")
    parser.add_argument("--table", metavar="FILE", help="write the scores by model, task and cluster as CSV too")
    parser.add_argument("--outcomes", metavar="FILE", help="write each outcome as JSON lines, for weigh route learn")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    eval_tasks.add_arguments(parser)
    add_address(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask, score, and tell; or make a task; or compare logs."""
    _check_places(arguments)
    if arguments.words[0] == "init":
        return eval_tasks.init(arguments)
    if arguments.words[0] == "report":
        if len(arguments.words) < 2:
            raise BadSetting("weigh eval report names no results", hint="weigh eval report LOG LOG")
        logs = [log for word in arguments.words[1:] for log in read_results(Path(word))]
        _tell(arguments, report(logs), logs)
        return 0
    data = Path(arguments.data) if arguments.data else None
    tasks = [_task(task, arguments) for word in arguments.words for task in read_tasks(Path(word), data)]
    settings = read_settings(arguments)
    evaluation = _Evaluation(arguments, settings)
    asyncio.run(evaluation.all(tasks))
    _tell(arguments, evaluation.reports, evaluation.logs)
    return 1 if evaluation.failed else 0


def _check_places(arguments: argparse.Namespace) -> None:
    """A place that cannot be written to is told before any model is asked."""
    if arguments.plot:
        eval_plots.check(Path(arguments.plot))
    for flag in ("html", "plot", "table", "outcomes"):
        place = Path(getattr(arguments, flag) or "report")
        if place.is_dir() or not place.parent.is_dir():
            fault = "is a folder" if place.is_dir() else f"there is no folder {place.parent}"
            raise BadSetting(f"--{flag} {place}: {fault}", hint="name a file in a folder that is there")


def _task(task: Task, arguments: argparse.Namespace) -> Task:
    """The task with the flags laid over it."""
    generation = task.generation
    if arguments.max_tokens is not None:
        generation = dataclasses.replace(generation, max_tokens=arguments.max_tokens)
    if arguments.temperature is not None:
        generation = dataclasses.replace(generation, temperature=arguments.temperature)
    options = dict(task.scorer_options) if arguments.scorer in (None, task.scorer) else {}
    options |= dict(_option(text) for text in arguments.option)
    scorer = arguments.scorer or task.scorer
    # A wrong name or option is told before any model is asked.
    make_scorer(scorer, options)
    return dataclasses.replace(
        task,
        generation=generation,
        scorer=scorer,
        scorer_options=options,
        system=task.system if arguments.system is None else arguments.system,
        scores_truncated=task.scores_truncated or arguments.score_truncated,
    )


def _option(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign:
        raise BadSetting(f"--option {text} has no value", hint="write --option tolerance=0.01")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


class _Evaluation:
    """All tasks and all models, one after the other."""

    def __init__(self, arguments: argparse.Namespace, settings: Settings) -> None:
        self._arguments, self._settings = arguments, settings
        self._folder = Path(arguments.logs) if arguments.logs else settings.state_path / EVALS
        self._prices: dict[str, Price] = {}
        self.reports: list[Report] = []
        self.logs: list[EvalLog] = []
        self.failed = False
        """Whether a model could not be asked to the end."""

    async def all(self, tasks: list[Task]) -> None:
        """Ask; the reports and logs are here then."""
        async with _targets(self._arguments, self._settings) as targets:
            self._prices = eval_watching.prices(self._arguments.price, targets, self._settings)
            async with eval_watching.watching(targets) as watch:
                manner = Manner(
                    self._arguments.concurrency, stream=self._arguments.stream, limit=self._arguments.limit, watch=watch
                )
                for task in tasks:
                    await self._task(task, targets, manner)

    async def _task(self, task: Task, targets: list[Target], manner: Manner) -> None:
        output.tell(
            f"task {task.name}: {_size(task, manner.limit)}, scorer {task.scorer}, {counted(len(targets), 'model')}"
        )
        if self._arguments.again:
            for target in targets:
                log_path(self._folder, task, target).unlink(missing_ok=True)
        if self._is_race(task, targets):
            logs, reports = await self._race(task, targets, manner)
        else:
            logs, reports = await self._each(task, targets, manner)
        self.logs += logs
        self.reports += reports

    def _is_race(self, task: Task, targets: list[Target]) -> bool:
        """As was asked; and for all candidates, where samples may be taken one by one."""
        if len(targets) < 2 or self._arguments.race is not None:
            return len(targets) > 1 and bool(self._arguments.race)
        if self._arguments.candidates and any(sample.cluster is not None for sample in task.dataset):
            output.tell(f"{task.name}: its samples come in clusters, so all models are asked all of them")
            return False
        return bool(self._arguments.candidates)

    async def _each(self, task: Task, targets: list[Target], manner: Manner) -> tuple[list[EvalLog], list[Report]]:
        """One model after the other on all samples, so that none is unloaded for another in between."""
        logs: list[EvalLog] = []
        paces: dict[str, Pace] = {}
        for target in targets:
            try:
                log, pace = await _one(task, target, self._folder, manner)
            except EvalStopped as error:
                if target is targets[-1] and not logs:
                    raise
                self._left_out(target.label, error)
                continue
            logs.append(log)
            paces[target.label] = pace
        return logs, report(logs, paces, self._prices)

    async def _race(self, task: Task, targets: list[Target], manner: Manner) -> tuple[list[EvalLog], list[Report]]:
        """All models in blocks, the beaten ones no more."""
        lines = {target.label: eval_pages.shown_progress(target.label) for target in targets}
        try:
            raced = await race(task, targets, self._folder, manner, lambda target: lines[target.label])
        finally:
            for line in lines.values():
                line.end()
        for name, why in raced.failed.items():
            self._left_out(name, why)
        for name, beaten in raced.beaten.items():
            output.tell(f"{name}: beaten by {beaten.by} after {beaten.samples:,} of {raced.samples:,} samples")
        return raced.logs, report(raced.logs, raced.paces, self._prices, raced.p_values)

    def _left_out(self, model: str, why: object) -> None:
        self.failed = True
        output.tell(f"{model}: {why}; the others go on without it")


def _size(task: Task, limit: int | None) -> str:
    count = task.dataset.count
    if limit is not None and (count is None or limit < count):
        return f"the first {limit:,} of {'its' if count is None else f'{count:,}'} samples"
    return "as yet unknown how many samples" if count is None else counted(count, "sample")


async def _one(task: Task, target: Target, folder: Path, manner: Manner) -> tuple[EvalLog, Pace]:
    line = eval_pages.shown_progress(target.label)
    try:
        ran = await run_task(task, target, folder, manner, line)
    except (KeyboardInterrupt, asyncio.CancelledError):
        line.end()
        output.tell("stopped; what was answered is kept: run the same again, and it goes on from there")
        raise
    finally:
        line.end()
    output.tell(f"{target.label}: {ran.pace.answered:,} asked in {ran.pace.wall_seconds:.1f} s; log: {ran.log.path}")
    if manner.limit is not None and ran.log.outcomes.n > manner.limit:
        output.tell(f"{target.label}: {ran.log.outcomes.n:,} are answered already, and all of them count")
    return ran.log, ran.pace


@contextlib.asynccontextmanager
async def _targets(arguments: argparse.Namespace, settings: Settings) -> AsyncIterator[list[Target]]:
    remotes = [await eval_serving.named(eval_serving.remote(text, settings)) for text in arguments.url]
    if remotes and not arguments.model and not arguments.candidates:
        yield _distinct(remotes)
        return
    all_here = bool(arguments.candidates) and not arguments.model
    async with eval_serving.gateway_targets(arguments.model, settings, all_here=all_here) as local:
        yield _distinct([*local, *remotes])


def _distinct(targets: list[Target]) -> list[Target]:
    """Models of one name on several servers bear their server's name too."""
    labels = [target.label for target in targets]
    return [
        dataclasses.replace(target, name=f"{target.label} at {target.base_url}")
        if labels.count(target.label) > 1
        else target
        for target in targets
    ]


def _tell(arguments: argparse.Namespace, reports: list[Report], logs: list[EvalLog]) -> None:
    for flag, write in (
        ("html", _write_page),
        ("plot", _write_plot),
        ("table", _write_table),
        ("outcomes", _write_outcomes),
    ):
        if place := getattr(arguments, flag):
            with disk_errors(
                Path(place), full="free some, and run the same again", choose=f"name another: --{flag} FILE"
            ):
                write(Path(place), reports, logs)
            output.tell(f"written: {place}")
    if arguments.json:
        print(output.to_json(reports))
        return
    pages = [eval_pages.page(each) for each in reports]
    print("\n\n".join(pages if len(reports) < 2 else [*pages, eval_pages.lanes(reports)]))


def _write_page(path: Path, reports: list[Report], logs: list[EvalLog]) -> None:
    path.write_text(eval_html.html_page(reports), encoding="utf-8")


def _write_plot(path: Path, reports: list[Report], logs: list[EvalLog]) -> None:
    eval_plots.write(path, reports)


def _write_table(path: Path, reports: list[Report], logs: list[EvalLog]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("model", "task", "cluster", "score", "n", "low", "high"))
        rows.writerows(dataclasses.astuple(row) for row in table(logs))


def _write_outcomes(path: Path, reports: list[Report], logs: list[EvalLog]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for log in logs:
            for row in log.rows():
                if row.score is not None:
                    found = {"model": log.head.model, "prompt": row.input, "score": row.score, "task": log.head.task}
                    if row.cluster is not None:
                        found["cluster"] = row.cluster
                    if row.seconds is not None:
                        found["seconds"] = row.seconds
                    file.write(json.dumps(found, ensure_ascii=False) + "\n")
