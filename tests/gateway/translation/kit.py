"""Answers of chat completions as engines give them: whole, and the same as a stream in any pieces."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field

from hypothesis import strategies as st

TEXTS = st.text(max_size=12)
NAMES = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)


@dataclass
class Answer:
    """What a model says, each text in the pieces in which it is streamed."""

    reasoning: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    calls: list[tuple[str, str, list[str]]] = field(default_factory=list)
    finish: str = "stop"
    usage: dict | None = None
    key: str = "reasoning_content"

    def _head(self, kind):
        return {"id": "chatcmpl-1", "object": kind, "created": 1_700_000_000, "model": "deep"}

    def whole(self) -> bytes:
        message: dict = {"role": "assistant", "content": "".join(self.text) or None}
        if "".join(self.reasoning):
            message[self.key] = "".join(self.reasoning)
        if self.calls:
            message["tool_calls"] = [
                {"id": name, "type": "function", "function": {"name": called, "arguments": "".join(pieces)}}
                for name, called, pieces in self.calls
            ]
        choice = {"index": 0, "message": message, "finish_reason": self.finish}
        return json.dumps(self._head("chat.completion") | {"choices": [choice], "usage": self.usage}).encode()

    def deltas(self):
        yield {"role": "assistant", "content": None}
        for piece in self.reasoning:
            yield {self.key: piece}
        for piece in self.text:
            yield {"content": piece}
        for index, (name, called, pieces) in enumerate(self.calls):
            first = {"name": called, "arguments": ""}
            yield {"tool_calls": [{"index": index, "id": name, "type": "function", "function": first}]}
            for piece in pieces:
                yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}

    def stream(self, end: bytes = b"\n", comments: bool = False, done: bool = True) -> bytes:
        head = self._head("chat.completion.chunk")
        chunks: list[dict] = [
            head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in self.deltas()
        ]
        chunks.append(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": self.finish}]})
        if self.usage is not None:
            chunks.append(head | {"choices": [], "usage": self.usage})
        events = [b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + end + end for chunk in chunks]
        if comments:
            events = [part for each in events for part in (b": keep-alive" + end + end, each)]
        if done:
            events.append(b"data: [DONE]" + end + end)
        return b"".join(events)


def arguments():
    """JSON objects, cut into pieces."""
    values = st.one_of(st.integers(-5, 5), st.booleans(), TEXTS, st.none(), st.lists(st.integers(0, 3), max_size=2))
    return st.dictionaries(NAMES, values, max_size=3).flatmap(
        lambda made: st.integers(1, 6).map(lambda size: cut(json.dumps(made), size))
    )


def cut(text, size):
    return [text[at : at + size] for at in range(0, len(text), size)]


@st.composite
def answers(draw, calls=True):
    given = draw(st.integers(0, 500))
    cached = draw(st.integers(0, given))
    made = draw(st.integers(0, 500))
    usage = {
        "prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made,
        "prompt_tokens_details": {"cached_tokens": cached},
    }  # fmt: skip
    called = []
    if calls:
        for place, name in enumerate(draw(st.lists(NAMES, max_size=3))):
            called.append((f"call_{place}", name, draw(arguments())))
    return Answer(
        draw(st.lists(TEXTS, max_size=3)), draw(st.lists(TEXTS, max_size=4)), called,
        draw(st.sampled_from(["stop", "length", "tool_calls"])), draw(st.sampled_from([usage, None])),
        draw(st.sampled_from(["reasoning_content", "reasoning"])),
    )  # fmt: skip


def pieces(raw: bytes, places: list[int]) -> list[bytes]:
    """The bytes, cut at these places: within a line, a character, a line's end."""
    bounds = sorted({0, len(raw), *(place % (len(raw) + 1) for place in places)})
    return [raw[a:b] for a, b in itertools.pairwise(bounds)]


PLACES = st.lists(st.integers(0, 1 << 20), max_size=30)


def run(translation, parts) -> bytes:
    """A stream through a translation."""
    return b"".join([*(translation.feed(part) for part in parts), translation.end()])


def events(raw: bytes) -> list[dict]:
    """The events of a stream, each named as its content says."""
    found = []
    for block in raw.decode().split("\n\n")[:-1]:
        if block.startswith(":"):
            continue
        name, _, data = block.partition("\n")
        content = json.loads(data.removeprefix("data: "))
        assert name == f"event: {content['type']}"
        found.append(content)
    return found
