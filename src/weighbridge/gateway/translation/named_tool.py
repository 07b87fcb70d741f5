"""A named `tool_choice` for engines that pass it over: the tool's schema becomes the answer's, and the answer its call.

So vLLM does it too. "required" with that tool alone would not be enough: llama.cpp's grammar lets free text go before
the call, without end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weighbridge.openai_api import ApiError

from .events import BadAnswer, Events, read_object, write

_ANY = {"type": "object"}


def named_tool(fields: Mapping[str, Any]) -> str | None:
    """The tool that must be called; None where that is the model's to choose. The only one, where one is required, is
    as good as named."""
    choice = fields.get("tool_choice")
    if choice == "required":
        return _only_tool(fields.get("tools"))
    if not isinstance(choice, dict) or choice.get("type") != "function":
        return None
    function = choice.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str) or not name:
        raise ApiError(400, "tool_choice.function.name is missing", param="tool_choice")
    return name


def _only_tool(tools: object) -> str | None:
    if not isinstance(tools, list) or len(tools) != 1 or not isinstance(tools[0], dict):
        return None
    function = tools[0].get("function")
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) and name else None


def force(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The request with an answer that is this tool's arguments. ApiError 400 where no such tool is in it.

    `tool_choice` "none" keeps the tool in the prompt and its own grammar away.
    """
    tools = fields.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict) and function.get("name") == name:
            schema = {"name": name, "schema": function.get("parameters") or _ANY, "strict": True}
            forced = {key: value for key, value in fields.items() if key != "parallel_tool_calls"}
            form = {"type": "json_schema", "json_schema": schema}
            return forced | {"tools": [tool], "tool_choice": "none", "response_format": form}
    raise ApiError(400, f"Tool choice {name[:100]!r} not found in 'tools' parameter.", param="tool_choice")


class NamedTool:
    """Makes an answer that is a tool's arguments the call of that tool; either `whole`, or `feed` and `end`."""

    def __init__(self, call_id: str, tool: str) -> None:
        self._id = call_id
        self._tool = tool
        self._events = Events()
        self._named: set[int] = set()

    def whole(self, body: bytes) -> bytes:
        """A plain answer. BadAnswer where it is none."""
        content = read_object(body)
        for choice in _choices(content):
            message = choice.get("message")
            if isinstance(message, dict):
                function = {"name": self._tool, "arguments": message.get("content") or ""}
                call = {"id": self._call_id(choice), "type": "function", "function": function}
                message |= {"content": None, "tool_calls": [call]}
            _end(choice)
        return write(content)

    def feed(self, piece: bytes) -> bytes:
        """What a piece of the stream becomes."""
        return b"".join([self._turned(data) for data in self._events.feed(piece)])

    def end(self) -> bytes:
        """What is left once the stream has ended."""
        return b"".join([self._turned(data) for data in self._events.end()])

    def _turned(self, data: bytes) -> bytes:
        if not data:
            return b": ping\n\n"
        if data == b"[DONE]":
            return b"data: [DONE]\n\n"
        content = read_object(data)
        for choice in _choices(content):
            delta = choice.get("delta")
            if isinstance(delta, dict):
                said = delta.pop("content", None)
                call: dict[str, Any] = {"index": 0, "function": {"arguments": said or ""}}
                index = choice.get("index", 0)
                is_first = index not in self._named and (bool(said) or bool(choice.get("finish_reason")))
                if is_first:
                    self._named.add(index)
                    call |= {"id": self._call_id(choice), "type": "function"}
                    call["function"] = {"name": self._tool, **call["function"]}
                if said or is_first:
                    delta["tool_calls"] = [call]
            _end(choice)
        return b"data: %b\n\n" % write(content)

    def _call_id(self, choice: Mapping[str, Any]) -> str:
        return f"{self._id}_{choice.get('index', 0)}"


def _choices(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    choices = content.get("choices") or []
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        raise BadAnswer("its choices are no list of objects")
    return choices


def _end(choice: dict[str, Any]) -> None:
    if choice.get("finish_reason") == "stop":
        choice["finish_reason"] = "tool_calls"
