"""An answer of OpenAI's chat completions, put into the words of Anthropic's Messages, whole or as a stream."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from weighbridge.openai_api import ApiError

from .chat import Call, ChatStream, End, Fault, Keep, Piece, Text, read_whole
from .events import BadAnswer, event, write

_REASONS = {
    "stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "function_call": "tool_use",
    "content_filter": "refusal",
}  # fmt: skip
_PING = event({"type": "ping"})


class Messages:
    """One answer, by the name that makes its own names unlike others'; `model` is what it says where the engine says
    nothing. Either `whole`, or `feed` for each piece and `end`."""

    def __init__(self, name: str, model: str) -> None:
        self._name = name
        self._model = model
        self._stream = ChatStream()
        self._has_begun = self._is_over = False
        self._index = -1
        self._open: tuple[str, int, str] | None = None
        """Of the block that is being said: what it is, and of a call its index and id there."""
        self._calls: set[tuple[int, str]] = set()

    def whole(self, body: bytes) -> bytes:
        """A plain answer. BadAnswer where it is none."""
        pieces, end = read_whole(body)
        blocks = _blocks(pieces, self._name)
        message = self._message(end, blocks)
        message["stop_reason"], message["stop_sequence"] = _stop(end, has_calls=_has_calls(blocks))
        message["usage"] = _usage(end)
        return write(message)

    def feed(self, piece: bytes) -> bytes:
        """What a piece of the stream says, as events. BadAnswer where it is no stream of chat completions."""
        said = [self._say(each) for each in self._stream.feed(piece)]
        if self._stream.is_over:
            said.append(self._last())
        return b"".join(said)

    def end(self) -> bytes:
        """The events that are left once the stream has ended."""
        said = [self._say(each) for each in self._stream.finish()]
        return b"".join([*said, self._last()])

    def _say(self, piece: Piece) -> bytes:
        if isinstance(piece, Fault):
            self._is_over = True
            return error_event(piece.error)
        if isinstance(piece, Keep):
            # The first event says who answers, which nobody has said yet.
            return _PING if self._has_begun else b": ping\n\n"
        begun = b"" if self._has_begun else self._begin()
        if isinstance(piece, Call):
            return begun + self._say_call(piece)
        is_thought = piece.kind == "reasoning"
        kind, key = ("thinking", "thinking") if is_thought else ("text", "text")
        opened = b""
        if self._open is None or self._open[0] != kind:
            empty: dict[str, Any] = {"type": kind, key: ""} | ({"signature": ""} if is_thought else {})
            opened = self._open_block((kind, 0, ""), empty)
        delta = {"type": f"{kind}_delta", key: piece.text}
        return begun + opened + event({"type": "content_block_delta", "index": self._index, "delta": delta})

    def _say_call(self, call: Call) -> bytes:
        opened = b""
        # Some servers give every call the index 0, and a new id.
        is_same = self._open is not None and self._open[:2] == ("tool_use", call.index)
        if not is_same or (call.id and self._open and call.id != self._open[2]):
            key = (call.index, call.id)
            if not call.name or key in self._calls:
                raise BadAnswer("its tool calls are said by turns, which Anthropic's API has no words for")
            self._calls.add(key)
            name = call.id or f"toolu_{self._name}_{self._index + 1}"
            empty = {"type": "tool_use", "id": name, "name": call.name, "input": {}}
            opened = self._open_block(("tool_use", call.index, call.id), empty)
        if not call.arguments:
            return opened
        delta = {"type": "input_json_delta", "partial_json": call.arguments}
        return opened + event({"type": "content_block_delta", "index": self._index, "delta": delta})

    def _open_block(self, what: tuple[str, int, str], empty: dict[str, Any]) -> bytes:
        closed = self._close_block()
        self._index += 1
        self._open = what
        return closed + event({"type": "content_block_start", "index": self._index, "content_block": empty})

    def _close_block(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        return event({"type": "content_block_stop", "index": self._index})

    def _begin(self) -> bytes:
        self._has_begun = True
        message = self._message(self._stream.end, [])
        # What the prompt takes is only known at the end, and stands there.
        message["usage"] = {"input_tokens": 0, "output_tokens": 0}
        return event({"type": "message_start", "message": message})

    def _last(self) -> bytes:
        if self._is_over:
            return b""
        self._is_over = True
        end = self._stream.end
        begun = b"" if self._has_begun else self._begin()
        reason, stop = _stop(end, has_calls=bool(self._calls))
        delta = {"stop_reason": reason, "stop_sequence": stop}
        closed = self._close_block()
        last = event({"type": "message_delta", "delta": delta, "usage": _usage(end)})
        return begun + closed + last + event({"type": "message_stop"})

    def _message(self, end: End, content: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": f"msg_{self._name}", "type": "message", "role": "assistant", "model": end.model or self._model,
            "content": content, "stop_reason": None, "stop_sequence": None,
        }  # fmt: skip


def error_event(error: Mapping[str, Any]) -> bytes:
    """An engine's error in the midst of a stream, in Anthropic's words."""
    code = error.get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    told = ApiError(status, str(error.get("message") or "the engine failed"), kind="server_error", source="engine")
    told.dialect = "anthropic"
    return told.event()


def _blocks(pieces: Iterable[Piece], name: str) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    for piece in pieces:
        if isinstance(piece, Text) and piece.kind == "reasoning":
            blocks.append({"type": "thinking", "thinking": piece.text, "signature": ""})
        elif isinstance(piece, Text):
            blocks.append({"type": "text", "text": piece.text})
        elif isinstance(piece, Call):
            made = piece.id or f"toolu_{name}_{len(blocks)}"
            blocks.append({"type": "tool_use", "id": made, "name": piece.name, "input": _input(piece.arguments)})
    return blocks


def _input(arguments: str) -> dict[str, Any]:
    """A call's arguments; those that were cut off, and so are no JSON, stay readable and can't be taken for whole."""
    try:
        found = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {"_incomplete_json": arguments}


def _has_calls(blocks: Iterable[Mapping[str, Any]]) -> bool:
    return any(block["type"] == "tool_use" for block in blocks)


def _stop(end: End, *, has_calls: bool) -> tuple[str, str | None]:
    """Why it stopped, and at which of the request's stop words."""
    if end.finish_reason in ("", "stop") and has_calls:
        return "tool_use", None
    if end.finish_reason == "stop" and end.stop is not None:
        return "stop_sequence", end.stop
    return _REASONS.get(end.finish_reason, "end_turn"), None


def _usage(end: End) -> dict[str, int]:
    """Anthropic counts what was read from a cache apart."""
    cached = end.tokens("cached", "prompt_tokens_details", "cached_tokens")
    return {
        "input_tokens": max(0, end.tokens("prompt_tokens") - cached),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": end.tokens("completion_tokens"),
    }
