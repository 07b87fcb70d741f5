"""An answer of OpenAI's chat completions, put into the words of its Responses, whole or as a stream."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from .chat import Call, ChatStream, End, Fault, Keep, Piece, Text, read_whole
from .events import BadAnswer, event, write

# What a response repeats of its request, with what each is where the request is silent.
_ECHOED: dict[str, Any] = {
    "instructions": None, "max_output_tokens": None, "metadata": {}, "parallel_tool_calls": True, "temperature": None,
    "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [], "top_p": None, "truncation": "disabled",
    "user": None,
}  # fmt: skip
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_MOST_BYTES = 64 << 20


class Responses:
    """One answer, by the name that makes its own names unlike others', to the request that it repeats; `model` is what
    it says where the engine says nothing. Either `whole`, or `feed` for each piece and `end`."""

    def __init__(self, name: str, model: str, asked: Mapping[str, Any]) -> None:
        self._name = name
        self._model = model
        self._asked = {key: usual if asked.get(key) is None else asked[key] for key, usual in _ECHOED.items()}
        reasoning = asked.get("reasoning")
        effort = reasoning.get("effort") if isinstance(reasoning, dict) else None
        self._asked |= {"reasoning": {"effort": effort, "summary": None}, "previous_response_id": None, "store": False}
        self._stream = ChatStream()
        self._number = 0
        self._has_begun = self._is_over = False
        self._created = 0
        self._items: list[dict[str, Any]] = []
        """Items that are whole."""
        self._item: dict[str, Any] | None = None
        """The one that is being said."""
        self._call: tuple[int, str] = (-1, "")
        self._said: list[str] = []
        self._logprobs: list[Any] = []
        self._bytes = 0

    def whole(self, body: bytes) -> bytes:
        """A plain answer. BadAnswer where it is none."""
        pieces, self._stream.end = read_whole(body)
        for piece in pieces:
            self._say(piece)
        self._close()
        return write(self._response(self._status()))

    def feed(self, piece: bytes) -> bytes:
        """What a piece of the stream says, as events. BadAnswer where it is no stream of chat completions."""
        said = [self._told(each) for each in self._stream.feed(piece)]
        if self._stream.is_over:
            said.append(self._last())
        return b"".join(said)

    def end(self) -> bytes:
        """The events that are left once the stream has ended."""
        said = [self._told(each) for each in self._stream.finish()]
        return b"".join([*said, self._last()])

    def _told(self, piece: Piece) -> bytes:
        if isinstance(piece, Keep):
            return b": ping\n\n"
        begun = b"" if self._has_begun else self._begin()
        if isinstance(piece, Fault):
            self._is_over = True
            error = {"code": str(piece.error.get("code") or "server_error"),
                     "message": str(piece.error.get("message") or "the engine failed")}  # fmt: skip
            failed = self._response("failed") | {"error": error}
            return begun + self._event("error", **error, param=None) + self._event("response.failed", response=failed)
        return begun + self._say(piece)

    def _say(self, piece: Piece) -> bytes:
        if isinstance(piece, Call):
            return self._say_call(piece)
        if not isinstance(piece, Text):
            return b""
        kind = "reasoning" if piece.kind == "reasoning" else "message"
        part = {"reasoning": "reasoning_text", "text": "output_text", "refusal": "refusal"}[piece.kind]
        opened = b""
        if self._item is None or self._item["type"] != kind:
            opened = self._open_text(kind)
        if self._item is not None and (not self._item["content"] or self._item["content"][-1]["type"] != part):
            opened += self._open_part(part)
        self._take(piece.text)
        self._logprobs += piece.logprobs
        more = {"logprobs": list(piece.logprobs)} if part == "output_text" else {}
        return opened + self._event(f"response.{part}.delta", **self._place(part=True), delta=piece.text, **more)

    def _say_call(self, call: Call) -> bytes:
        item, opened = self._item, b""
        is_same = item is not None and item["type"] == "function_call" and self._call[0] == call.index
        # Some servers give every call the index 0, and a new id.
        if not is_same or (call.id and call.id != self._call[1]):
            if not call.name:
                raise BadAnswer("its tool calls are said by turns, which the Responses have no words for")
            made = self._id("fc")
            opened = self._open({
                "id": made, "type": "function_call", "status": "in_progress", "arguments": "",
                "call_id": call.id or f"call_{made[3:]}", "name": call.name,
            })  # fmt: skip
            self._call = (call.index, call.id)
        if not call.arguments:
            return opened
        self._take(call.arguments)
        return opened + self._event(
            "response.function_call_arguments.delta", **self._place(part=False), delta=call.arguments
        )

    # Items, and their parts.

    def _open_text(self, kind: str) -> bytes:
        if kind == "reasoning":
            return self._open({
                "id": self._id("rs"), "type": "reasoning", "summary": [], "content": [], "status": "in_progress"
            })  # fmt: skip
        return self._open(
            {"id": self._id("msg"), "type": "message", "role": "assistant", "status": "in_progress", "content": []}
        )

    def _open(self, item: dict[str, Any]) -> bytes:
        closed = self._close()
        self._item = item
        # What is sent is written at once, so that the item may grow after it.
        return closed + self._event("response.output_item.added", output_index=len(self._items), item=item)

    def _open_part(self, kind: str) -> bytes:
        closed = self._close_part()
        assert self._item is not None
        part: dict[str, Any] = {"type": kind, "refusal" if kind == "refusal" else "text": ""}
        if kind == "output_text":
            part |= {"annotations": [], "logprobs": []}
        self._item["content"].append(part)
        return closed + self._event("response.content_part.added", **self._place(part=True), part=part)

    def _close_part(self) -> bytes:
        item = self._item
        if item is None or not item.get("content"):
            return b""
        part = item["content"][-1]
        kind = part["type"]
        key = "refusal" if kind == "refusal" else "text"
        part[key], self._said = "".join(self._said), []
        more = {}
        if kind == "output_text":
            part["logprobs"], self._logprobs = self._logprobs, []
            more = {"logprobs": part["logprobs"]}
        place = self._place(part=True)
        done = self._event(f"response.{kind}.done", **place, **{key: part[key]}, **more)
        return done + self._event("response.content_part.done", **place, part=part)

    def _close(self) -> bytes:
        item = self._item
        if item is None:
            return b""
        if item["type"] == "function_call":
            item["arguments"], self._said = "".join(self._said), []
            closed = self._event(
                "response.function_call_arguments.done",
                **self._place(part=False),
                name=item["name"],
                arguments=item["arguments"],
            )
        else:
            closed = self._close_part()
        item["status"] = "completed"
        closed += self._event("response.output_item.done", output_index=len(self._items), item=item)
        self._items.append(item)
        self._item = None
        return closed

    def _take(self, text: str) -> None:
        self._said.append(text)
        self._bytes += len(text)
        if self._bytes > _MOST_BYTES:
            raise BadAnswer("its answer is without end")

    # The response itself.

    def _begin(self) -> bytes:
        self._has_begun = True
        begun = self._response("in_progress")
        return self._event("response.created", response=begun) + self._event("response.in_progress", response=begun)

    def _last(self) -> bytes:
        if self._is_over:
            return b""
        self._is_over = True
        begun = b"" if self._has_begun else self._begin()
        closed = self._close()
        status = self._status()
        return begun + closed + self._event(f"response.{status}", response=self._response(status))

    def _status(self) -> str:
        return "incomplete" if self._stream.end.finish_reason in _INCOMPLETE else "completed"

    def _response(self, status: str) -> dict[str, Any]:
        end = self._stream.end
        self._created = self._created or end.created or int(time.time())
        is_over = status != "in_progress"
        why = {"reason": _INCOMPLETE[end.finish_reason]} if status == "incomplete" else None
        return {
            "id": f"resp_{self._name}", "object": "response", "created_at": self._created, "status": status,
            "completed_at": int(time.time()) if status == "completed" else None, "background": False, "error": None,
            "incomplete_details": why, "model": end.model or self._model, "output": list(self._items),
            **self._asked, "usage": _usage(end) if is_over else None,
        }  # fmt: skip

    def _id(self, kind: str) -> str:
        return f"{kind}_{self._name}_{len(self._items) + (self._item is not None)}"

    def _place(self, *, part: bool) -> dict[str, Any]:
        item = self._item
        assert item is not None
        place = {"item_id": item["id"], "output_index": len(self._items)}
        return place | {"content_index": max(0, len(item["content"]) - 1)} if part else place

    def _event(self, kind: str, **content: Any) -> bytes:
        self._number += 1
        return event({"type": kind, "sequence_number": self._number - 1, **content})


def _usage(end: End) -> dict[str, Any] | None:
    if not end.usage:
        return None
    given, made = end.tokens("prompt_tokens"), end.tokens("completion_tokens")
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": end.tokens("", "prompt_tokens_details", "cached_tokens")},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": end.tokens("", "completion_tokens_details", "reasoning_tokens")},
        "total_tokens": given + made,
    }
