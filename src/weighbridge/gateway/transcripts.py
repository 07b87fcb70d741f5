"""The text of a request and of its answer, as the ledger keeps it where the settings say so; on a thread of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

MOST_KEPT_BYTES = 256 << 10
# An image or a sound in a body: what it was can't be read from it, and it would fill the ledger.
_LONGEST_DATA = 2048
_FORMS = frozenset({"/v1/audio/transcriptions"})


def prompt_text(path: str, parts: Sequence[bytes]) -> str | None:
    """The request's body, JSON as it came but for long data within it; None of a form, whose file is a recording."""
    if path in _FORMS:
        return None
    body = b"".join(parts)
    if b";base64," in body or len(body) > MOST_KEPT_BYTES:
        try:
            body = json.dumps(_shortened(json.loads(body)), ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            pass
    return _bounded(body)


def answer_text(pieces: Sequence[bytes], *, is_stream: bool) -> str:
    """What the model said: the text, or where it said more than text (tool calls, vectors) the answer's body."""
    body = b"".join(pieces)
    if is_stream:
        text = "".join(_said(body))
        return text[:MOST_KEPT_BYTES] if text else _bounded(body)
    try:
        answer = json.loads(body)
        found = _whole(answer)
    except (ValueError, RecursionError, TypeError, KeyError, IndexError, AttributeError):
        found = None
    return _bounded(body) if found is None else found[:MOST_KEPT_BYTES]


def _bounded(body: bytes) -> str:
    text = body[:MOST_KEPT_BYTES].decode(errors="replace")
    return text if len(body) <= MOST_KEPT_BYTES else f"{text}... ({len(body):,} bytes)"


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shortened(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_shortened(entry) for entry in value]
    if isinstance(value, str) and len(value) > _LONGEST_DATA and (value.startswith("data:") or " " not in value[:4096]):
        return f"{value[:64]}... ({len(value):,} letters)"
    return value


def _whole(answer: dict[str, Any]) -> str | None:
    """The text of an answer that came at once, in any of the APIs; None where it holds more than that."""
    if "choices" in answer:
        if len(answer["choices"]) != 1:
            return None
        choice = answer["choices"][0]
        message = choice.get("message")
        if message is None:
            return str(choice["text"])
        return None if message.get("tool_calls") or message.get("content") is None else str(message["content"])
    blocks = answer.get("content")
    if blocks is None and "output" in answer:
        blocks = [part for item in answer["output"] for part in item.get("content") or [{}]]
    if not isinstance(blocks, list) or not all(isinstance(block.get("text"), str) for block in blocks):
        return None
    return "".join(block["text"] for block in blocks)


def _said(body: bytes) -> Iterator[str]:
    """The text that a stream's events bring, of its first choice; nothing where one calls a tool."""
    for line in body.split(b"\n"):
        if not line.startswith((b"data: {", b"data:{")):
            continue
        try:
            event = json.loads(line[5:])
            text = _of_event(event)
        except (ValueError, RecursionError, TypeError, KeyError, IndexError, AttributeError):
            continue
        if text:
            yield text


def _of_event(event: dict[str, Any]) -> str | None:
    if "choices" in event:
        choice = event["choices"][0]
        if choice.get("index"):
            return None
        said = choice["delta"].get("content") if "delta" in choice else choice.get("text")
        return None if said is None else str(said)
    if event.get("type") == "response.output_text.delta":
        return str(event["delta"])
    if event.get("type") == "content_block_delta":
        found = event["delta"].get("text")
        return None if found is None else str(found)
    return None
