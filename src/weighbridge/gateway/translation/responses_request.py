"""A request in the words of OpenAI's Responses, put into those of its chat completions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weighbridge.openai_api import ApiError

_OWN = frozenset(
    "input instructions tools tool_choice text reasoning max_output_tokens stream include metadata store background "
    "previous_response_id conversation prompt truncation top_logprobs max_tool_calls service_tier safety_identifier "
    "prompt_cache_key prompt_cache_retention user stream_options context_management".split()
)
# A conversation that the server remembers, and answers fetched later: no engine here keeps them.
_STATE = ("previous_response_id", "conversation", "background", "prompt")
_TEXTS = frozenset({"input_text", "output_text", "text"})


def to_chat(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The request for a chat completion that asks the same. ApiError 400 names what can't be said there.

    Fields that the Responses do not know (`min_p`, `seed`, ...) go on as they are.
    """
    for name in _STATE:
        if fields.get(name):
            raise _bad(
                f"{name} is not supported: responses are not kept here; send the whole conversation as input", name
            )
    chat: dict[str, Any] = {name: value for name, value in fields.items() if name not in _OWN}
    chat["messages"] = _messages(fields)
    if fields.get("max_output_tokens") is not None:
        chat["max_tokens"] = fields["max_output_tokens"]
    if fields.get("stream"):
        chat["stream"] = True
        chat["stream_options"] = {"include_usage": True}
    if isinstance(fields.get("user"), str):
        chat["user"] = fields["user"]
    include, scores = fields.get("include"), fields.get("top_logprobs")
    if scores or (isinstance(include, list) and "message.output_text.logprobs" in include):
        chat["logprobs"] = True
        chat["top_logprobs"] = scores or 0
    reasoning = fields.get("reasoning")
    if isinstance(reasoning, dict) and reasoning.get("effort"):
        chat["reasoning_effort"] = reasoning["effort"]
    return chat | _form(fields.get("text")) | _tools(fields)


def _messages(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    given, instructions = fields.get("input"), fields.get("instructions")
    made: list[dict[str, Any]] = []
    if isinstance(instructions, str) and instructions:
        made.append({"role": "system", "content": instructions})
    if isinstance(given, str):
        return [*made, {"role": "user", "content": given}]
    if not isinstance(given, list) or not given or not all(isinstance(item, dict) for item in given):
        raise _bad("input is missing, or neither a text nor a list of objects", "input")
    thought = ""
    for place, item in enumerate(given):
        kind = item.get("type", "message")
        where = f"input.{place}"
        if kind == "reasoning":
            thought += _thought(item)
            continue
        if kind == "message":
            message = _message(item, where)
            if message["role"] == "system" and made and made[-1]["role"] == "system" and _is_text(message, made[-1]):
                made[-1]["content"] += "\n\n" + message["content"]
                continue
            made.append(message)
        elif kind == "function_call":
            _call(made, item)
        elif kind == "function_call_output":
            made.append(_output(item, where))
        else:
            raise _bad(f"{where}: the engine of this model takes no {str(kind)[:60]!r}", "input")
        if thought and made[-1]["role"] == "assistant":
            made[-1]["reasoning_content"] = thought
            thought = ""
    return made


def _is_text(*messages: Mapping[str, Any]) -> bool:
    return all(isinstance(message["content"], str) for message in messages)


def _message(item: dict[str, Any], where: str) -> dict[str, Any]:
    role = item.get("role")
    if role not in ("user", "assistant", "system", "developer"):
        raise _bad(f"{where}.role is {str(role)[:40]!r}, expected user, assistant, system or developer", "input")
    # The templates of open models know no developer.
    role = "system" if role == "developer" else role
    return {"role": role, "content": _content(item.get("content"), where)}


def _content(content: object, where: str) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise _bad(f"{where}.content is neither a text nor a list of objects", "input")
    parts = [_part(part, where) for part in content]
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def _part(part: dict[str, Any], where: str) -> dict[str, Any]:
    kind = part.get("type")
    if isinstance(kind, str) and kind in _TEXTS:
        return {"type": "text", "text": str(part.get("text") or "")}
    if kind == "refusal":
        return {"type": "text", "text": str(part.get("refusal") or "")}
    if kind == "input_image" and isinstance(part.get("image_url"), str):
        picture = {"url": part["image_url"]} | ({"detail": part["detail"]} if part.get("detail") else {})
        return {"type": "image_url", "image_url": picture}
    if kind == "input_audio":
        return {"type": "input_audio", "input_audio": part.get("input_audio")}
    if kind == "input_file" and isinstance(part.get("file_data"), str):
        return {"type": "file", "file": {key: part[key] for key in ("file_data", "filename") if key in part}}
    if part.get("file_id"):
        raise _bad(f"{where}: files are not kept here; send its content", "input")
    raise _bad(f"{where}: the engine of this model takes no {str(kind)[:60]!r}", "input")


def _thought(item: Mapping[str, Any]) -> str:
    """What was thought: all of it, or at least its summary."""
    for key in ("content", "summary"):
        parts = item.get(key)
        texts = [str(part.get("text") or "") for part in parts if isinstance(part, dict)] if parts else []
        if any(texts):
            return "\n".join(texts)
    return ""


def _call(made: list[dict[str, Any]], item: Mapping[str, Any]) -> None:
    """A tool's call is part of what the assistant said last."""
    called = {"name": str(item.get("name") or ""), "arguments": str(item.get("arguments") or "{}")}
    call = {"id": str(item.get("call_id") or item.get("id") or ""), "type": "function", "function": called}
    if not made or made[-1]["role"] != "assistant":
        made.append({"role": "assistant", "content": None})
    made[-1].setdefault("tool_calls", []).append(call)


def _output(item: Mapping[str, Any], where: str) -> dict[str, Any]:
    said = item.get("output")
    content = said if isinstance(said, str) else _content(said, where)
    if not isinstance(content, str):
        raise _bad(f"{where}: a tool's result may be text alone for the engine of this model", "input")
    return {"role": "tool", "tool_call_id": str(item.get("call_id") or ""), "content": content}


def _form(text: object) -> dict[str, Any]:
    form = text.get("format") if isinstance(text, dict) else None
    if not isinstance(form, dict) or form.get("type") in (None, "text"):
        return {}
    if form["type"] == "json_schema":
        schema = {key: form[key] for key in ("name", "description", "schema", "strict") if form.get(key) is not None}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    if form["type"] == "json_object":
        return {"response_format": {"type": "json_object"}}
    raise _bad(f"text.format.type is {str(form['type'])[:40]!r}, expected text, json_schema or json_object", "text")


def _tools(fields: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    tools = fields.get("tools")
    if tools:
        if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
            raise _bad("tools is no list of objects", "tools")
        made["tools"] = [_tool(tool) for tool in tools]
    choice = fields.get("tool_choice")
    if not isinstance(choice, dict):
        return made if choice is None else made | {"tool_choice": choice}
    kind, name = choice.get("type"), choice.get("name")
    if kind == "function":
        made["tool_choice"] = {"type": "function", "function": {"name": str(name or "")}}
    elif kind == "allowed_tools" and isinstance(choice.get("tools"), list):
        allowed = [tool.get("name") for tool in choice["tools"] if isinstance(tool, dict)]
        made["tools"] = [tool for tool in made.get("tools", ()) if tool["function"]["name"] in allowed]
        made["tool_choice"] = choice.get("mode") or "auto"
    else:
        raise _bad(f"tool_choice.type is {str(kind)[:40]!r}, expected function or allowed_tools", "tool_choice")
    return made


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    kind = tool.get("type")
    if kind != "function":
        raise _bad(f"the tool {str(kind)[:60]!r} is OpenAI's own, and no engine here has it", "tools")
    keys = ("name", "description", "parameters", "strict")
    return {"type": "function", "function": {key: tool[key] for key in keys if tool.get(key) is not None}}


def _bad(message: str, param: str) -> ApiError:
    return ApiError(400, message, param=param)
