"""`weigh eval init`: a task of a CSV or JSONL with names of its own, of typed questions, or the gateway's ledger."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from weighbridge.cli import eval_ledger, output
from weighbridge.cli.gateway_flags import read_settings
from weighbridge.errors import BadSetting, BadTask
from weighbridge.evals.formats import plain
from weighbridge.evals.formats.toml import read
from weighbridge.ledger import folder_of

_COLUMNS = ("input", "target", "id", "choices", "cluster")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `init`: which column is what, and where the task goes."""
    for name in _COLUMNS:
        parser.add_argument(f"--{name}", metavar="COLUMN", help=f"for init: the column that holds the {name}")
    parser.add_argument("--out", metavar="FILE", help="for init: the task's file (default: DATA with .toml)")
    parser.add_argument(
        "--ledger", nargs="?", const="", metavar="FOLDER", help="for init: of what the gateway was asked (ledger_text)"
    )
    parser.add_argument("--keep-answers", action="store_true", help="for init --ledger: take all answers for right")


def init(arguments: argparse.Namespace) -> int:
    """Write the task, and say what it makes of the data."""
    if len(arguments.words) > 2:
        raise BadSetting("weigh eval init takes one file", hint="weigh eval init DATA.csv")
    if len(arguments.words) == 2:
        data = Path(arguments.words[1])
        task_file = Path(arguments.out) if arguments.out else data.with_suffix(".toml")
        columns = {name: getattr(arguments, name) for name in _COLUMNS if getattr(arguments, name)}
    else:
        task_file = Path(arguments.out or "task.toml")
        data, columns = task_file.with_suffix(".jsonl"), {}
        if data.exists():
            raise BadTask(f"{data}: is there already", hint="name another: --out FILE.toml")
        if arguments.ledger is not None:
            folder = Path(arguments.ledger) if arguments.ledger else folder_of(read_settings(arguments).state_path)
            eval_ledger.write(folder, data, arguments.model, arguments.limit, keep_answers=arguments.keep_answers)
        else:
            _ask(data)
    if not data.exists():
        raise BadTask(f"{data}: there is no such file", hint="check the path")
    if task_file.exists():
        raise BadTask(f"{task_file}: is there already", hint="name another: --out FILE")
    text = _text(data, task_file, columns, arguments.scorer)
    try:
        task_file.write_text(text, encoding="utf-8")
        [task] = read(task_file, None)
        first = next(iter(task.dataset))
    except BaseException:
        task_file.unlink(missing_ok=True)
        raise
    shown = {"input": first.question, "target": first.target, "choices": list(first.choices), "cluster": first.cluster}
    if arguments.json:
        print(output.to_json({"file": task_file, "samples": task.dataset.count, "scorer": task.scorer, "first": shown}))
    else:
        print(output.fields([(name, str(value)) for name, value in shown.items() if value]))
    output.tell(
        f"written: {task_file}, {task.dataset.count} samples, scorer {task.scorer}; now: weigh eval {task_file}"
    )
    return 0


def _text(data: Path, task_file: Path, columns: dict[str, str], scorer: str | None) -> str:
    beside = os.path.relpath(data, task_file.parent)
    first = next(iter(plain.dataset_of(data, columns)), None)
    if first is None:
        raise BadTask(f"{data}: holds no sample", hint="one JSON object a line, or a CSV with a header")
    lines = [
        "[task]",
        f"data = {_quoted(beside)}",
        f"scorer = {_quoted(scorer or plain.suggested_scorer(first))}",
        'prompt = "{input}"  # each question, put where {input} stands',
        'system = ""',
        "temperature = 0",
        "# max_tokens = 512  # an answer that is cut off there is counted apart, not as wrong",
    ]
    if columns:
        lines += ["", "[columns]", *(f"{name} = {_quoted(column)}" for name, column in columns.items())]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """As TOML has strings: JSON's, but for pairs of surrogates, which it knows not."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _ask(path: Path) -> None:
    """Questions and their answers, line by line from stdin, until an empty line."""
    output.tell("type a question, then its right answer, each on a line; an empty line ends it")
    rows: list[dict[str, str]] = []
    while question := _line("question> "):
        if not (answer := _line("answer> ")):
            break
        rows.append({"input": question, "target": answer})
    if not rows:
        raise BadTask("no question was typed", hint="or name a file: weigh eval init DATA.csv")
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _line(prompt: str) -> str:
    try:
        return (input(prompt) if sys.stdin.isatty() else sys.stdin.readline()).strip()
    except EOFError:
        return ""
