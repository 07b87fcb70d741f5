"""`Task`, `Dataset`, `Sample`: what is asked; in the words of Inspect."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weighbridge.errors import BadTask

Message = Mapping[str, Any]
"""One of OpenAI's messages: at least `role` and `content`."""


_FIELD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Sample:
    """One question, and what is known of its answer."""

    id: str
    input: str | tuple[Message, ...]
    """A question, or a conversation whose last turn is to be answered."""
    target: Any = None
    """The right answer: text, a list of texts of which each is right, a number, an object; None: there is none."""
    choices: tuple[str, ...] = ()
    """The answers to choose from, where there are such."""
    cluster: str | None = None
    """What it shares with others (a document, a template, a subject), which makes their outcomes alike."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else its line holds."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The right answers as texts."""
        if self.target is None:
            return ()
        if isinstance(self.target, list | tuple):
            return tuple(map(as_text, self.target))
        return (as_text(self.target),)

    @property
    def question(self) -> str:
        """The text of the last turn."""
        if isinstance(self.input, str):
            return self.input
        content = self.input[-1].get("content") if self.input else ""
        if isinstance(content, list):
            return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
        return str(content or "")


@dataclass(frozen=True, slots=True)
class Dataset:
    """Samples that are read anew each time they are gone through, one by one, so that size costs no memory."""

    name: str
    read: Callable[[], Iterator[Sample]] = field(repr=False)
    count: int | None = None
    """How many there are; None where only going through them would tell."""
    sha256: str = ""
    """Of the files that they come from."""

    def __iter__(self) -> Iterator[Sample]:
        """The samples. BadTask where one is not as the task says."""
        try:
            yield from self.read()
        except (KeyError, IndexError, TypeError, AttributeError, ValueError, RecursionError) as error:
            raise BadTask(
                f"{self.name}: a sample cannot be made: {error!r}", hint="mend its line, or the task"
            ) from error


@dataclass(frozen=True, slots=True)
class Generation:
    """How answers are to be made."""

    max_tokens: int | None = None
    """The longest answer in tokens; None: as long as the server lets it be."""
    temperature: float | None = 0.0
    """0: the likeliest answer; None: as the server likes it."""
    stop: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else goes into the request (`top_p`, `seed`, `tools`, `response_format`)."""


@dataclass(frozen=True, slots=True)
class Task:
    """A dataset, how it is asked, and how answers are scored."""

    name: str
    dataset: Dataset
    scorer: str
    """The name of a module in `scorers`, or of an entry point of `weighbridge.scorers`."""
    scorer_options: Mapping[str, Any] = field(default_factory=dict)
    generation: Generation = field(default_factory=Generation)
    system: str = ""
    """The system message of each conversation."""
    prompt: str = "{input}"
    """Each question, put where `{input}` stands; a sample's other fields where their names stand so."""
    scores_truncated: bool = False
    """Whether an answer that was cut off at `max_tokens` is scored as it is. If not, it is counted apart."""

    @property
    def fingerprint(self) -> str:
        """Changes with whatever may change an answer or its score."""
        parts: dict[str, Any] = {
            "data": self.dataset.sha256,
            "scorer": [self.scorer, dict(self.scorer_options)],
            "generation": [
                self.generation.max_tokens,
                self.generation.temperature,
                self.generation.stop,
                dict(self.generation.options),
            ],
            "asked": [self.system, self.prompt, self.scores_truncated],
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def messages(self, sample: Sample) -> list[Message]:
        """The conversation that is sent."""
        begin: list[Message] = [{"role": "system", "content": self.system}] if self.system else []
        if not isinstance(sample.input, str):
            return [*begin, *sample.input]

        def field(found: re.Match[str]) -> str:
            if found[1] == "input":
                return asked(sample)
            value = sample.metadata.get(found[1])
            if value is None:
                return found[0]
            return "\n".join(map(as_text, value)) if isinstance(value, list) else as_text(value)

        # One pass, so that braces in a question stay what they are.
        return [*begin, {"role": "user", "content": _FIELD.sub(field, self.prompt)}]


def asked(sample: Sample) -> str:
    """The question, with its choices as lettered lines below."""
    if not sample.choices:
        return sample.question
    lines = [f"{letter(index)}) {choice}" for index, choice in enumerate(sample.choices)]
    return "\n".join([sample.question, *lines, "Answer with the letter of the right choice."])


def letter(index: int) -> str:
    """A, B, C, ..."""
    return chr(ord("A") + index)


def as_text(value: Any) -> str:
    """A target as a model would write it: text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def sha256_of(*paths: Path) -> str:
    """The sum of the files' contents, one after the other."""
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                total.update(block)
    return total.hexdigest()
