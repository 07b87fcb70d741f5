"""Results made elsewhere, one file a harness: `recognizes(path)` says whether a file is one, `read(path)` its logs.

They get the same statistics as our own, without asking any model again.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Protocol, cast

from weighbridge.errors import BadTask
from weighbridge.evals.log import EvalLog


class Results(Protocol):
    """What a module here offers."""

    def recognizes(self, path: Path) -> bool:
        """Whether the file looks like results of this harness; quickly."""

    def read(self, path: Path) -> list[EvalLog]:
        """The logs in it, one a model and task."""


def read_results(path: Path) -> list[EvalLog]:
    """The logs in a file of results, of whatever harness. BadTask where it is none that is known, or is damaged."""
    if not path.is_file():
        fault = "is a folder: name the files in it" if path.is_dir() else "there is no such file"
        raise BadTask(f"{path}: {fault}", hint="a log of weigh eval, or results of another harness")
    for found in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        module = cast("Results", importlib.import_module(f"{__name__}.{found.name}"))
        try:
            if not module.recognizes(path):
                continue
            logs = module.read(path)
        except (KeyError, IndexError, TypeError, AttributeError, ValueError, RecursionError) as error:
            raise BadTask(f"{path}: not as {found.name} writes it: {error!r}", hint="is it damaged?") from error
        except (OSError, EOFError) as error:
            raise BadTask(f"{path}: {error}", hint="check the file") from error
        if not logs:
            raise BadTask(f"{path}: holds no result", hint="is it the right file?")
        return logs
    raise BadTask(
        f"{path}: is no log of results that is known",
        hint="weigh eval, lm-eval samples_*.jsonl, Inspect .eval, promptfoo JSON, evalplus eval_results.json",
    )
