"""A request in the words of Anthropic's Messages, put into those of OpenAI's chat completions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weighbridge.openai_api import ApiError

from .events import write

# What both APIs call the same, and what no engine that speaks OpenAI's has a word for.
_OWN = frozenset(
    "system messages max_tokens stop_sequences metadata tools tool_choice thinking stream container mcp_servers "
    "context_management service_tier output_config output_format inference_geo cache_control speed betas".split()
)
_NO_TEXT = frozenset({"redacted_thinking"})
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_SCHEMA = {"type": "object", "properties": {}}


def to_chat(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The request for a chat completion that asks the same. ApiError 400 names what can't be said there.

    Fields that Anthropic does not know (`min_p`, `seed`, ...) go on as they are.
    """
    chat: dict[str, Any] = {name: value for name, value in fields.items() if name not in _OWN}
    chat["messages"] = [*_system(fields.get("system")), *_messages(fields.get("messages"))]
    if fields.get("max_tokens") is not None:
        chat["max_tokens"] = fields["max_tokens"]
    if fields.get("stop_sequences"):
        chat["stop"] = fields["stop_sequences"]
    metadata = fields.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("user_id"), str):
        chat["user"] = metadata["user_id"]
    if fields.get("stream"):
        chat["stream"] = True
        chat["stream_options"] = {"include_usage": True}
    chat |= _tools(fields)
    chat |= _thinking(fields)
    return chat


def _system(system: object) -> list[dict[str, Any]]:
    if not system:
        return []
    if isinstance(system, str):
        return [{"role": "system", "content": system}]
    texts = [_text_of(block, "system") for block in _blocks(system, "system")]
    return [{"role": "system", "content": "\n\n".join(texts)}]


def _messages(messages: object) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for place, message in enumerate(_blocks(messages, "messages")):
        where = f"messages.{place}.content"
        role, content = message.get("role"), message.get("content")
        if role not in ("user", "assistant", "system"):
            raise _bad(f"messages.{place}.role is {str(role)[:40]!r}, expected user or assistant", "messages")
        if isinstance(content, str):
            made.append({"role": role, "content": content})
        elif role == "assistant":
            made.append(_assistant(_blocks(content, where), where))
        else:
            made += _user(_blocks(content, where), where, str(role))
    return made


def _assistant(blocks: list[dict[str, Any]], where: str) -> dict[str, Any]:
    texts, thoughts, calls = [], [], []
    for block in blocks:
        kind = block.get("type")
        if kind == "text":
            texts.append(_text_of(block, where))
        elif kind == "thinking":
            thoughts.append(str(block.get("thinking") or ""))
        elif kind == "tool_use":
            arguments = write(block.get("input") or {}).decode()
            called = {"name": str(block.get("name") or ""), "arguments": arguments}
            calls.append({"id": str(block.get("id") or ""), "type": "function", "function": called})
        elif kind not in _NO_TEXT:
            raise _unsaid(kind, where)
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts)}
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    if calls:
        message["tool_calls"] = calls
        message["content"] = message["content"] or None
    return message


def _user(blocks: list[dict[str, Any]], where: str, role: str) -> list[dict[str, Any]]:
    """What the user says; the results of tools are messages of their own, before it."""
    made: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    for block in blocks:
        if block.get("type") == "tool_result":
            text, pictures = _result(block, where)
            made.append({"role": "tool", "tool_call_id": str(block.get("tool_use_id") or ""), "content": text})
            # OpenAI's results of tools are text: what they show is shown by the user.
            parts += pictures
        else:
            parts.append(_part(block, where))
    if parts:
        only_text = all(part["type"] == "text" for part in parts)
        content = "\n".join(part["text"] for part in parts) if only_text else parts
        made.append({"role": role, "content": content})
    return made


def _result(block: dict[str, Any], where: str) -> tuple[str, list[dict[str, Any]]]:
    content = block.get("content")
    if content is None or isinstance(content, str):
        parts = [{"type": "text", "text": content or ""}]
    else:
        parts = [_part(each, where) for each in _blocks(content, where)]
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    failed = "Error: " if block.get("is_error") else ""
    return failed + text, [part for part in parts if part["type"] != "text"]


def _part(block: dict[str, Any], where: str) -> dict[str, Any]:
    kind, source = block.get("type"), block.get("source")
    source = source if isinstance(source, dict) else {}
    if kind == "text":
        return {"type": "text", "text": _text_of(block, where)}
    if kind == "image":
        if source.get("type") == "base64":
            url = f"data:{source.get('media_type')};base64,{source.get('data')}"
        elif source.get("type") == "url":
            url = str(source.get("url") or "")
        else:
            raise _bad(f"{where}: an image's source is {str(source.get('type'))[:40]!r}, expected base64 or url", where)
        return {"type": "image_url", "image_url": {"url": url}}
    if kind == "document" and source.get("type") == "text":
        title = f"{block['title']}\n" if isinstance(block.get("title"), str) else ""
        return {"type": "text", "text": title + str(source.get("data") or "")}
    if kind == "search_result":
        texts = [_text_of(each, where) for each in _blocks(block.get("content"), where)]
        return {"type": "text", "text": "\n".join([str(block.get("title") or ""), *texts])}
    raise _unsaid(f"{kind} ({source['type']})" if "type" in source else kind, where)


def _tools(fields: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    tools = fields.get("tools")
    if tools:
        made["tools"] = [_tool(tool) for tool in _blocks(tools, "tools")]
    choice = fields.get("tool_choice")
    if isinstance(choice, dict):
        kind = choice.get("type")
        if kind == "tool":
            made["tool_choice"] = {"type": "function", "function": {"name": str(choice.get("name") or "")}}
        elif isinstance(kind, str) and kind in _CHOICES:
            made["tool_choice"] = _CHOICES[kind]
        else:
            raise _bad(f"tool_choice.type is {str(kind)[:40]!r}, expected auto, any, tool or none", "tool_choice")
        if choice.get("disable_parallel_tool_use") is not None:
            made["parallel_tool_calls"] = not choice["disable_parallel_tool_use"]
    elif choice is not None:
        raise _bad("tool_choice is no object", "tool_choice")
    return made


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    kind = tool.get("type")
    if kind not in (None, "custom"):
        raise _bad(f"the tool {str(kind)[:60]!r} is Anthropic's own, and no engine here has it", "tools")
    function: dict[str, Any] = {"name": str(tool.get("name") or ""), "parameters": tool.get("input_schema") or _SCHEMA}
    if isinstance(tool.get("description"), str):
        function["description"] = tool["description"]
    if isinstance(tool.get("strict"), bool):
        function["strict"] = tool["strict"]
    return {"type": "function", "function": function}


def _thinking(fields: Mapping[str, Any]) -> dict[str, Any]:
    """How much is thought, and in which form it is answered."""
    made: dict[str, Any] = {}
    config = fields.get("output_config")
    config = config if isinstance(config, dict) else {}
    form = config.get("format") or fields.get("output_format")
    if isinstance(form, dict) and form.get("type") == "json_schema":
        named = {"name": "answer", "schema": form.get("schema") or {}, "strict": True}
        made["response_format"] = {"type": "json_schema", "json_schema": named}
    if isinstance(config.get("effort"), str):
        made["reasoning_effort"] = config["effort"]
    thinking = fields.get("thinking")
    if isinstance(thinking, dict) and thinking.get("type") in ("enabled", "disabled"):
        # By this the templates of open models are told; what knows no such field passes it over.
        given = fields.get("chat_template_kwargs")
        made["chat_template_kwargs"] = {
            **(given if isinstance(given, dict) else {}),
            "enable_thinking": thinking["type"] == "enabled",
        }
    return made


def _blocks(content: object, where: str) -> list[dict[str, Any]]:
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        raise _bad(f"{where} is no list of objects", where)
    return content


def _text_of(block: dict[str, Any], where: str) -> str:
    text = block.get("text")
    if not isinstance(text, str):
        raise _bad(f"{where}: a text block has no text", where)
    return text


def _bad(message: str, param: str) -> ApiError:
    return ApiError(400, message, param=param.partition(".")[0])


def _unsaid(kind: object, where: str) -> ApiError:
    return _bad(f"{where}: the engine of this model takes no {str(kind)[:60]!r}", where)
