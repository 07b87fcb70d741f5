"""`Needs`: what a request asks of a model, and which candidates can give it; each refusal says both numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from weighbridge.openai_api import Request

if TYPE_CHECKING:
    from .policy import Policy
    from .route import Candidate

# Letters a token of English text, about; short of it, so that a prompt is rather taken for longer than it is.
_BYTES_A_TOKEN = 3.5
# What a picture is taken for, where nothing tells: about what 1024 x 1024 pixels are to most models.
_TOKENS_OF_A_PICTURE = 1000
# A conversation begins with few words of the operator's; the user's first follow.
_MOST_TURNS, _KEYED_LETTERS = 64, 4096
_TEXTS = ("content", "text", "tool_calls", "arguments", "function")
_PICTURES = (b'"image_url"', b'"input_image"', b'"image"')
_TELLING = (*_PICTURES, b'"tools"', b'"functions"', b'"response_format"', b'"max_tokens"', b'"max_completion_tokens"',
            b'"max_output_tokens"', b'"json_schema"')  # fmt: skip


@dataclass(frozen=True, slots=True)
class Needs:
    """What is asked, beside the words."""

    context_tokens: int = 0
    """Of prompt and answer, estimated where nobody counted."""
    vision: bool = False
    tools: bool = False
    json_schema: bool = False
    named_tool: bool = False
    """Whether one of the tools must be called, by its name: that is a schema, which needs no model that knows tools."""
    conversation: str | None = None
    """A key of the conversation's first turns, alike in each later request of it."""


def _pictures(messages: object) -> int:
    if not isinstance(messages, list):
        return 0
    parts = [
        part
        for message in messages
        if isinstance(message, dict) and isinstance(message.get("content"), list)
        for part in message["content"]
        if isinstance(part, dict)
    ]
    return sum(part.get("type") in ("image_url", "input_image", "image") for part in parts)


def _letters(messages: object) -> int:
    """Bytes of text in messages, without pictures."""
    if isinstance(messages, str):
        return len(messages) if messages.isascii() else len(messages.encode("utf-8", "replace"))
    if isinstance(messages, list):
        return sum([_letters(each) for each in messages])
    if isinstance(messages, dict):
        if messages.get("type") in ("image_url", "input_image", "image"):
            return 0
        return sum([_letters(messages[key]) for key in _TEXTS if key in messages])
    return 0


def needs_of(fields: Mapping[str, object]) -> Needs:
    """From a request's JSON object, OpenAI's or Anthropic's."""
    messages = fields.get("messages", fields.get("input", fields.get("prompt")))
    pictures = _pictures(messages)
    answers = [fields.get(key) for key in ("max_completion_tokens", "max_tokens", "max_output_tokens")]
    answer = next((each for each in answers if isinstance(each, int) and each > 0), 0)
    tools = fields.get("tools") or fields.get("functions")
    choice = fields.get("tool_choice")
    form = fields.get("response_format") or fields.get("text")
    letters = _letters(messages) + _letters(fields.get("system"))
    letters += len(json.dumps(tools)) if tools else 0
    return Needs(
        context_tokens=int(letters / _BYTES_A_TOKEN) + pictures * _TOKENS_OF_A_PICTURE + answer,
        vision=pictures > 0,
        tools=bool(tools) and choice != "none",
        named_tool=bool(tools) and isinstance(choice, Mapping) and choice.get("type") in ("function", "tool"),
        json_schema=isinstance(form, Mapping) and "json_schema" in json.dumps(form),
        conversation=conversation_of(messages),
    )


def conversation_of(messages: object) -> str | None:
    """A key of what stays alike through a conversation: all up to the first user message. None for a single text.

    Of a long text its length and its first 4,096 letters count, of a picture what is written beside it.
    """
    if not isinstance(messages, list) or not messages:
        return None
    told = []
    for message in messages[:_MOST_TURNS]:
        if not isinstance(message, dict):
            return None
        role, content = message.get("role"), message.get("content")
        parts = [content] if isinstance(content, str) else content if isinstance(content, list) else ()
        told.append(f"{role}\0")
        for part in parts:
            text = part if isinstance(part, str) else part.get("text") if isinstance(part, dict) else None
            told.append(f"{len(text)}\0{text[:_KEYED_LETTERS]}\0" if isinstance(text, str) else "\1")
        if role == "user":
            return hashlib.blake2b("".join(told).encode("utf-8", "replace"), digest_size=12).hexdigest()
    return None


def needs_of_request(request: Request) -> Needs:
    """From its body, which is only parsed where it speaks of more than words; else from the prompt's length."""
    if any(sign in request.body for sign in _TELLING):
        try:
            fields = json.loads(request.body)
        except (ValueError, RecursionError):
            fields = None
        if isinstance(fields, dict):
            return needs_of(fields)
    size = max(len(request.body), len(request.prompt))
    return Needs(context_tokens=int(size / _BYTES_A_TOKEN))


def obstacles(candidate: Candidate, needs: Needs, policy: Policy) -> tuple[str, ...]:
    """Why a candidate must not answer, in words; empty where nothing is known against it."""
    found = []
    if candidate.context_tokens is not None and needs.context_tokens > candidate.context_tokens:
        found.append(f"takes {candidate.context_tokens:,} tokens, about {needs.context_tokens:,} are needed")
    if needs.vision and candidate.vision is False:
        found.append("sees no images")
    if needs.tools and not needs.named_tool and candidate.tools is False:
        found.append("calls no tools")
    if needs.json_schema and candidate.json_schema is False:
        found.append("keeps to no JSON schema")
    if policy.licences is not None or policy.places is not None:
        found += forbidden(candidate, policy)
    if not candidate.loaded and candidate.loadable is False:
        found.append("is not loaded, and what is free does not hold it")
    return tuple(found)


def forbidden(candidate: Candidate, policy: Policy) -> list[str]:
    """What the policy has against a candidate, whoever asks. A licence or place that is unknown is not allowed."""
    found = []
    if policy.licences is not None and (candidate.licence or "").casefold() not in policy.licences:
        found.append(f"its licence is {candidate.licence or 'unknown'}")
    if policy.places is not None and (candidate.place or "").casefold() not in policy.places:
        found.append(f"it runs at {candidate.place or 'an unknown place'}")
    return found


def unknowns(candidate: Candidate, needs: Needs) -> int:
    """How many things that the request needs are not known of a candidate."""
    return (
        (needs.vision and candidate.vision is None)
        + (needs.tools and not needs.named_tool and candidate.tools is None)
        + (needs.json_schema and candidate.json_schema is None)
        + (not candidate.loaded and candidate.loadable is None)
    )
