"""What OpenAI's chat completions say, whole or as a stream, as pieces that other APIs' answers are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .events import BadAnswer, Events, read_object

# What a whole answer may take, since the last event of some APIs repeats all of it.
_MOST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of what is said: the answer itself, the thinking before it, or a refusal."""

    kind: Literal["text", "reasoning", "refusal"]
    text: str
    logprobs: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """A piece of a tool's call, by the call's index; the first one has id and name."""

    index: int
    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Keep:
    """Nothing but a sign of life."""


@dataclass(frozen=True, slots=True)
class Fault:
    """The engine failed in the midst of its answer, in its own words."""

    error: Mapping[str, Any]


Piece = Text | Call | Keep | Fault


@dataclass(slots=True)
class End:
    """How an answer ended and what it used, as far as it was said."""

    model: str = ""
    created: int = 0
    finish_reason: str = ""
    stop: str | None = None
    """The stop word that ended it, where the engine tells."""
    usage: Mapping[str, Any] = field(default_factory=dict)

    def note(self, content: Mapping[str, Any]) -> None:
        """What an answer, or one chunk of it, says beside its words."""
        model, created, usage = content.get("model"), content.get("created"), content.get("usage")
        if isinstance(model, str) and model:
            self.model = model
        if isinstance(created, int) and not self.created:
            self.created = created
        if isinstance(usage, dict):
            self.usage = usage
        told = content.get("__verbose")
        if isinstance(told, dict) and told.get("stopping_word"):
            self.stop = str(told["stopping_word"])

    def note_choice(self, choice: Mapping[str, Any]) -> None:
        """How it ended."""
        if choice.get("finish_reason"):
            self.finish_reason = str(choice["finish_reason"])
        # vLLM tells the stop word, or the number of a token that stops.
        if isinstance(choice.get("stop_reason"), str):
            self.stop = choice["stop_reason"]

    def tokens(self, name: str, detail: str = "", part: str = "") -> int:
        """A number of its usage, 0 where it says none."""
        source: Any = self.usage.get(detail) if detail else self.usage
        found = source.get(part or name) if isinstance(source, dict) else None
        return found if isinstance(found, int) else 0


def first_choice(content: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The choice that is asked for where only one can be; None where a chunk has none."""
    choices = content.get("choices")
    if choices is None or choices == []:
        return None
    if not isinstance(choices, list) or not isinstance(choices[0], dict):
        raise BadAnswer("its choices are no list of objects")
    return choices[0]


def pieces_of(message: Mapping[str, Any], logprobs: object = None) -> Iterator[Piece]:
    """What a message says, or a delta of one."""
    for key in ("reasoning_content", "reasoning"):
        thought = message.get(key)
        if isinstance(thought, str) and thought:
            yield Text("reasoning", thought)
            break
    text, refusal = _text(message.get("content")), message.get("refusal")
    if text:
        scores = logprobs.get("content") if isinstance(logprobs, dict) else None
        yield Text("text", text, tuple(scores) if isinstance(scores, list) else ())
    if isinstance(refusal, str) and refusal:
        yield Text("refusal", refusal)
    calls = message.get("tool_calls")
    for place, call in enumerate(calls if isinstance(calls, list) else ()):
        if not isinstance(call, dict):
            raise BadAnswer("its tool calls are no objects")
        called = call.get("function")
        called = called if isinstance(called, dict) else {}
        index = call.get("index", place)
        yield Call(
            index if isinstance(index, int) else place,
            str(call.get("id") or ""),
            str(called.get("name") or ""),
            str(called.get("arguments") or ""),
        )


def _text(content: object) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


class ChatStream:
    """A stream of chat completions; `end` says what is known of its end so far, `is_over` whether it said all."""

    def __init__(self) -> None:
        self._events = Events()
        self._bytes = 0
        self.end = End()
        self.is_over = False

    def feed(self, piece: bytes) -> Iterator[Piece]:
        """More bytes; what they say. BadAnswer where they are no such stream, or one without end."""
        self._bytes += len(piece)
        if self._bytes > 8 * _MOST_BYTES:
            raise BadAnswer("its answer is without end")
        for data in self._events.feed(piece):
            yield from self._read(data)

    def finish(self) -> Iterator[Piece]:
        """The stream has ended."""
        for data in self._events.end():
            yield from self._read(data)
        self.is_over = True

    def _read(self, data: bytes) -> Iterator[Piece]:
        if self.is_over:
            return
        if not data:
            yield Keep()
            return
        if data == b"[DONE]":
            self.is_over = True
            return
        content = read_object(data)
        if content.get("error"):
            self.is_over = True
            error = content["error"]
            yield Fault(error if isinstance(error, dict) else {"message": str(error)})
            return
        self.end.note(content)
        choice = first_choice(content)
        if choice is None:
            return
        delta = choice.get("delta")
        if isinstance(delta, dict):
            yield from pieces_of(delta, choice.get("logprobs"))
        self.end.note_choice(choice)


def read_whole(body: bytes) -> tuple[list[Piece], End]:
    """A whole chat completion: what it says, and how it ended. BadAnswer where it is none."""
    content = read_object(body)
    choice = first_choice(content)
    message = choice.get("message") if choice is not None else None
    if choice is None or not isinstance(message, dict):
        raise BadAnswer(f"it has no message: {body[:100]!r}")
    end = End()
    end.note(content)
    end.note_choice(choice)
    return list(pieces_of(message, choice.get("logprobs"))), end
