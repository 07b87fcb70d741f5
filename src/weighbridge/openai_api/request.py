"""What a request says of itself: the little that a gateway must know to send it on."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from .errors import ApiError

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Request:
    """A request as routing sees it; `body` is what the client sent and goes on unchanged."""

    path: str
    model: str
    stream: bool
    prompt: str
    """The text of the last user message, or of the prompt or input; empty where there is none."""
    body: bytes = field(repr=False)


def _text(content: object) -> str:
    """The text in a message's content: a string, or OpenAI's list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = [part.get("text") if isinstance(part, dict) else part for part in content]
        return "\n".join(text for text in texts if isinstance(text, str))
    return ""


def _prompt(fields: dict[str, object]) -> str:
    messages = fields.get("messages")
    if isinstance(messages, list):
        for message in reversed(messages):
            if isinstance(message, dict) and message.get("role") == "user":
                return _text(message.get("content"))
    return _text(fields.get("prompt")) or _text(fields.get("input"))


def parse_request(path: str, body: bytes) -> Request:
    """A request from its path and JSON body. ApiError 400 tells what is wrong; a missing model means `auto`."""
    try:
        fields = json.loads(body)
    except UnicodeDecodeError as error:
        raise ApiError(400, f"the body is not UTF-8: byte {error.start} is {body[error.start]:#04x}") from error
    except json.JSONDecodeError as error:
        raise ApiError(
            400, f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from error
    except (RecursionError, ValueError) as error:
        raise ApiError(400, "the body's JSON is nested too deeply or holds a number that is too long") from error
    if not isinstance(fields, dict):
        raise ApiError(400, f"the body is a JSON {type(fields).__name__}, expected an object")
    model, stream = fields.get("model", AUTO), fields.get("stream", False)
    if not isinstance(model, str) or not model:
        raise ApiError(400, f"model is {model!r}, expected a name", param="model")
    if stream is not None and not isinstance(stream, bool):
        raise ApiError(400, f"stream is {stream!r}, expected true or false", param="stream")
    if path.endswith("/chat/completions"):
        messages = fields.get("messages")
        if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
            raise ApiError(400, "messages is missing or no list of objects, expected at least one", param="messages")
    return Request(path, model, bool(stream), _prompt(fields), body)
