"""A shipped engine that computes nothing: a real process with adjustable load time, speed and failures."""

from __future__ import annotations

from pathlib import Path

from weighbridge.errors import BadSetting

from . import children
from .child_process import ChildProcess
from .endpoint import Running
from .model import Model
from .surroundings import Surroundings

IS_ENGINE = True

OPTIONS: dict[str, type] = {
    "load_seconds": float,
    "tokens_per_second": float,
    "tokens": int,
    "context_tokens": int,
    "reply": str,
    "fail_start": str,
    "die_after_tokens": int,
    "hang_after_tokens": int,
    "status": int,
}


async def start(model: Model, surroundings: Surroundings) -> Running:
    """The fake in a child of its own, with the model's options."""
    options: dict[str, object] = {}
    for name, value in model.options.items():
        if name not in OPTIONS:
            raise BadSetting(f"{model.name}: fake has no option {name!r}", hint=f"there are: {', '.join(OPTIONS)}")
        try:
            options[name] = OPTIONS[name](value)
        except ValueError as error:
            raise BadSetting(f"{model.name}: {name} is {value!r}, expected {OPTIONS[name].__name__}") from error
    child = ChildProcess(
        model.name,
        Path(children.__file__).with_name("fake.py"),
        {"name": model.name, **options},
        surroundings,
    )
    await child.start()
    return child
