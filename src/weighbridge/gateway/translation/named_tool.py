"""A named or required `tool_choice` for engines that pass it over: the schema of the tool, or of a choice among
several, becomes the answer's, and the answer its call.

So vLLM does it too. "required" itself would not be enough: llama.cpp's grammar lets free text go before the call,
without end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weighbridge.openai_api import ApiError

from .events import BadAnswer, Events, read_object, write
from .told_call import Told

_ANY = {"type": "object"}
# As many as OpenAI takes: a grammar of more would take the engine long.
_MOST_TOOLS = 128


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


def force_any(fields: Mapping[str, Any]) -> dict[str, Any] | None:
    """The request with an answer that names one of its tools and tells the arguments: {"name": ..., "arguments": ...}.
    None where none of several is required."""
    tools = fields.get("tools")
    if fields.get("tool_choice") != "required" or not isinstance(tools, list) or not 1 < len(tools) <= _MOST_TOOLS:
        return None
    calls, places = [], {}
    for at, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        schema = function.get("parameters") or _ANY if isinstance(function, dict) else None
        if not isinstance(name, str) or not name or not isinstance(schema, dict):
            return None
        places[f"tool{at}"] = _moved({**_ANY, **schema}, f"#/$defs/tool{at}")
        of_call = {"name": {"const": name}, "arguments": {"$ref": f"#/$defs/tool{at}"}}
        calls.append({"type": "object", "properties": of_call, "required": [*of_call], "additionalProperties": False})
    form = {"name": "call", "schema": {"anyOf": calls, "$defs": places}, "strict": True}
    forced = {key: value for key, value in fields.items() if key != "parallel_tool_calls"}
    return forced | {"tool_choice": "none", "response_format": {"type": "json_schema", "json_schema": form}}


def _moved(schema: Any, place: str) -> Any:
    """A schema with what it refers to in itself, now that it stands at a place of another one."""
    if isinstance(schema, list):
        return [_moved(each, place) for each in schema]
    if not isinstance(schema, dict):
        return schema
    moved = {key: _moved(value, place) for key, value in schema.items()}
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        moved["$ref"] = place + reference[1:]
    return moved


class NamedTool:
    """Makes an answer that is a tool's arguments the call of that tool; either `whole`, or `feed` and `end`. Without a
    tool the answer names it (`force_any`)."""

    def __init__(self, call_id: str, tool: str | None) -> None:
        self._id = call_id
        self._tool = tool
        self._events = Events()
        self._named: set[int] = set()
        self._told: dict[int, Told] = {}

    def whole(self, body: bytes) -> bytes:
        """A plain answer. BadAnswer where it is none."""
        content = read_object(body)
        for choice in _choices(content):
            message = choice.get("message")
            if isinstance(message, dict):
                name, arguments = self._read(choice, message.get("content") or "")
                message["content"] = None
                # One that was cut before it named a tool is no call.
                if name is not None:
                    function = {"name": name, "arguments": arguments}
                    message["tool_calls"] = [{"id": self._call_id(choice), "type": "function", "function": function}]
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
                name, said = self._read(choice, delta.pop("content", None) or "")
                call: dict[str, Any] = {"index": 0, "function": {"arguments": said}}
                index = choice.get("index", 0)
                is_first = index not in self._named and bool(said or choice.get("finish_reason")) and name is not None
                if is_first:
                    self._named.add(index)
                    call |= {"id": self._call_id(choice), "type": "function"}
                    call["function"] = {"name": name, **call["function"]}
                if said or is_first:
                    delta["tool_calls"] = [call]
            _end(choice)
        return b"data: %b\n\n" % write(content)

    def _read(self, choice: Mapping[str, Any], text: Any) -> tuple[str | None, str]:
        """Which tool a choice calls, once that is known, and what a piece of it says of the arguments."""
        if not isinstance(text, str):
            raise BadAnswer("its content is no text")
        if self._tool is not None:
            return self._tool, text
        told = self._told.setdefault(choice.get("index", 0), Told())
        arguments = told.feed(text)
        if told.name is None and choice.get("finish_reason") == "stop":
            raise BadAnswer("it calls no tool")
        return told.name, arguments

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
