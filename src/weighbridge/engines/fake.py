"""A shipped engine that computes nothing: a real process with adjustable load time, memory, speed and failures."""

from __future__ import annotations

from collections.abc import Callable

from weighbridge import __version__
from weighbridge.errors import BadSetting
from weighbridge.sizes import parse_bytes

from .child_process import ChildProcess, Launch, new_socket
from .endpoint import Endpoint, Running
from .finding import Found
from .manner import Manner
from .model import Model
from .surroundings import Surroundings

IS_ENGINE = True
formats: frozenset[str] = frozenset()

# Each with how it is read, and what is expected.
OPTIONS: dict[str, tuple[Callable[[str], object], str]] = {
    "load_seconds": (float, "a number"),
    "memory_bytes": (parse_bytes, "a size, e.g. 64MiB"),
    "memory_limit_bytes": (parse_bytes, "a size, e.g. 256MiB"),
    "leak_bytes_per_token": (parse_bytes, "a size, e.g. 1MiB"),
    "tokens_per_second": (float, "a number"),
    "tokens": (int, "a whole number"),
    "context_tokens": (int, "a whole number"),
    "reply": (str, "text"),
    "log_probability": (float, "a number"),
    "fail_start": (str, "text"),
    "die_after_tokens": (int, "a whole number"),
    "hang_after_tokens": (int, "a whole number"),
    "abort_after_tokens": (int, "a whole number"),
    "stop_after_tokens": (int, "a whole number"),
    "status": (int, "a whole number"),
}
"""What the fake can be told.

`memory_bytes` are really taken, each page written to; with `memory_limit_bytes` the kernel gives it no more (an
out-of-memory at the start, or with `leak_bytes_per_token` in the middle of an answer). After so many tokens of an
answer it dies (exit code 9), hangs (its connection stays open), aborts (SIGABRT) or stops itself (SIGSTOP: nothing of
it runs any more). `fail_start` is the cause with which it fails to start. `status` is what every request is answered
with.
"""


def find() -> Found:
    """It is part of weighbridge."""
    return Found("fake", __version__)


def manner(model: Model) -> Manner:
    """It speaks chat completions and nothing else."""
    return Manner(speaks=frozenset(), heeds_named_tool=False, gives_choices=False)


async def start(model: Model, surroundings: Surroundings) -> Running:
    """The fake in a child of its own, with the model's options."""
    options: dict[str, object] = {}
    for name, value in model.options.items():
        if name not in OPTIONS:
            raise BadSetting(f"{model.name}: fake has no option {name!r}", hint=f"there are: {', '.join(OPTIONS)}")
        read, expected = OPTIONS[name]
        try:
            options[name] = read(value)
        except ValueError as error:
            raise BadSetting(f"{model.name}: {name} is {value!r}, expected {expected}") from error
    endpoint = Endpoint("http://engine", socket=new_socket(surroundings))
    child = ChildProcess(model.name, endpoint, Launch("fake", {"name": model.name, **options}), surroundings)
    await child.start()
    return child
