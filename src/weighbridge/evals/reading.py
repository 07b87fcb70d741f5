"""`read_task(path)`: the task in a file of any format that is known, by the modules of `formats`."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Protocol, cast

from weighbridge.errors import BadTask

from .task import Task


class Format(Protocol):
    """What a module of `formats` offers."""

    def reads(self, path: Path) -> bool:
        """Whether the file looks like one of this format; quickly."""

    def read(self, path: Path, data: Path | None) -> list[Task]:
        """The tasks in it; `data` holds their samples where the file only says how to ask them."""


def format_names() -> list[str]:
    """The formats that there are."""
    folder = Path(__file__).parent / "formats"
    return sorted(module.name for module in pkgutil.iter_modules([str(folder)]) if not module.name.startswith("_"))


def read_task(path: Path, data: Path | None = None) -> Task:
    """The one task in a file. BadTask where it cannot be read, or there are several."""
    tasks = read_tasks(path, data)
    if len(tasks) > 1:
        names = ", ".join(task.name for task in tasks)
        raise BadTask(f"{path}: holds {len(tasks)} tasks: {names}", hint="name a file with one")
    return tasks[0]


def read_tasks(path: Path, data: Path | None = None) -> list[Task]:
    """The tasks in a file, one at least. BadTask where it cannot be read, with file, line and what was found."""
    if not path.is_file():
        raise BadTask(f"{path}: there is no such file", hint="a .jsonl, .csv, .toml or .yaml with a task")
    for name in format_names():
        module = cast("Format", importlib.import_module(f"{__package__}.formats.{name}"))
        try:
            if module.reads(path):
                return module.read(path, data)
        except (KeyError, IndexError, TypeError, AttributeError, ValueError, RecursionError) as error:
            raise BadTask(
                f"{path}: looks like {name}, and is not written so: {error!r}", hint="docs/evals.md shows each format"
            ) from error
    raise BadTask(
        f"{path}: is in no format that is known", hint="JSONL or CSV with input and target; lm-eval or promptfoo YAML"
    )
