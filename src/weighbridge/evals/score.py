"""`Answer`: what a model said. `Score`: how good that is, and why. `Scorer`: what tells it."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from weighbridge.errors import BadTask

from .task import Sample

ENTRY_POINTS = "weighbridge.scorers"


class State(StrEnum):
    """What became of a sample. Only scored ones make the score; the others are counted, and bound it."""

    SCORED = "scored"
    TRUNCATED = "truncated"
    """The answer was cut off: what it would have been is not known."""
    EMPTY = "empty"
    """There is an answer, and nothing in it."""
    REFUSED = "refused"
    """The server or the model says that it does not answer (`content_filter`, `refusal`)."""
    ERROR = "error"
    """No answer, or none that could be scored; asked again by the next run."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said to one sample."""

    text: str
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    """As OpenAI has them: `{"function": {"name": ..., "arguments": "..."}}`."""
    reasoning: str = ""
    refusal: str = ""
    finish_reason: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    seconds: float = 0.0
    """From the request to the whole answer, of the attempt that succeeded."""
    first_token_seconds: float | None = None
    """To the first piece; None where the answer was not streamed."""
    model: str = ""
    """Who says that it answered."""
    top_logprobs: Mapping[str, float] = field(default_factory=dict)
    """The first token's likeliest alternatives with their log-probabilities, where they were asked for."""


@dataclass(frozen=True, slots=True)
class Score:
    """How good an answer is."""

    value: float
    """From 0, wrong, to 1, right."""
    answer: str | None = None
    """What was taken for the answer, where that is a part of the text; None: nothing was found."""
    explanation: str = ""


class ScoringFailed(Exception):
    """An answer that could not be scored, and not for its own fault: a judge that gave no verdict, no sandbox."""


class Scorer(Protocol):
    """Tells how good an answer is. A module of `scorers` has a `make(**options)` that returns one.

    It may have a `request`, a mapping of what each request must say so that its answer can be scored, and a `close()`
    that gives back what it holds when the run is over.
    """

    async def score(self, sample: Sample, answer: Answer) -> Score:
        """The answer's score. BadTask where the sample lacks what this scorer needs, ScoringFailed where this answer
        cannot be scored."""


def scorer_names() -> list[str]:
    """The scorers that come with the package."""
    folder = Path(__file__).parent / "scorers"
    return sorted(module.name for module in pkgutil.iter_modules([str(folder)]) if not module.name.startswith("_"))


def make_scorer(name: str, options: Mapping[str, Any]) -> Scorer:
    """The scorer of this name, with these options. BadTask names what there is instead."""
    make = _maker(name)
    known = inspect.signature(make).parameters
    takes_any = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in known.values())
    for option in options:
        if option not in known and not takes_any:
            there = f"it has: {', '.join(known)}" if known else "it has none"
            raise BadTask(f"scorer {name} has no option {option!r}", hint=there)
    try:
        made: Scorer = make(**options)
    except TypeError as error:
        raise BadTask(f"scorer {name}: {error}".replace("make() ", ""), hint=f"see docs/evals.md for {name}") from error
    return made


def _maker(name: str) -> Any:
    if name in scorer_names():
        return importlib.import_module(f"{__package__}.scorers.{name}").make
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS, name=name):
        return entry.load()
    raise BadTask(f"no scorer is named {name!r}", hint=f"there are: {', '.join(scorer_names())}")
