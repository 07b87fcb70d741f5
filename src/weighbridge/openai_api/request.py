"""What a request says of itself: the little that a gateway must know to send it on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import ApiError

AUTO = "auto"
_CONVERSATIONS = frozenset({"/v1/chat/completions", "/v1/messages", "/v1/messages/count_tokens"})


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


def prompt_of(fields: Mapping[str, object]) -> str:
    """The text that is asked: of the last user message, or of the prompt, the input or the query; empty without one."""
    for turns in (fields.get("messages"), fields.get("input")):
        for turn in reversed(turns) if isinstance(turns, list) else ():
            if isinstance(turn, dict) and turn.get("role") == "user":
                return _text(turn.get("content"))
    texts = (_text(fields.get(name)) for name in ("prompt", "input", "query", "content"))
    return next((text for text in texts if text), "")


def check_messages(path: str, fields: Mapping[str, object]) -> None:
    """ApiError 400 unless what is asked at a path for conversations holds one."""
    if path not in _CONVERSATIONS:
        return
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        raise ApiError(400, "messages is missing or no list of objects, expected at least one", param="messages")
