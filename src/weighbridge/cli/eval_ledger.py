"""`weigh eval init --ledger`: a task of what the gateway was asked, with the answers that the user finds right."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weighbridge import ledger
from weighbridge.cli import output
from weighbridge.errors import BadTask
from weighbridge.ledger import Row

_MOST = 200
_SHOWN_CHARACTERS = 600
_PATHS = ("/v1/chat/completions", "/v1/messages")


@dataclass(frozen=True, slots=True)
class Asked:
    """A conversation that the gateway was sent, and what it answered."""

    id: str
    messages: tuple[Mapping[str, str], ...]
    answer: str
    model: str | None


def write(folder: Path, data: Path, models: Sequence[str], most: int | None, *, keep_answers: bool) -> int:
    """Samples of the newest different conversations as JSON lines; how many. The file is the user's alone to read.

    Each answer is shown and judged at the terminal (or by lines of stdin): an empty line takes it for right, `-` leaves
    the conversation out, anything else is the right answer instead, and `.` ends it. With `keep_answers` all are taken.
    Raises BadTask where the ledger holds no texts, or nothing was taken.
    """
    found = _conversations(folder, models, most or _MOST)
    if not keep_answers:
        output.tell("Enter: the answer is right; - leaves it out; . ends; anything else is the right answer")
    lines = []
    for number, asked in enumerate(found, 1):
        target = asked.answer if keep_answers else _judged(asked, number, len(found))
        if target is None:
            break
        if target:
            row = {"id": asked.id, "messages": asked.messages, "target": target, "answered_by": asked.model}
            lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    if not lines:
        raise BadTask(
            "no conversation was taken", hint="Enter takes the answer that was given; --keep-answers takes all"
        )
    with os.fdopen(os.open(data, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.writelines(lines)
    return len(lines)


def _conversations(folder: Path, models: Sequence[str], most: int) -> list[Asked]:
    """The newest ones that differ, oldest first."""
    found: dict[str, Asked] = {}
    unread = 0
    texts = False
    for row in _answered(folder, models):
        texts = True
        asked = _read(row)
        if asked is None:
            unread += 1
            continue
        key = json.dumps(asked.messages, sort_keys=True)
        # What was asked again counts as asked last.
        found.pop(key, None)
        found[key] = asked
        if len(found) > most:
            del found[next(iter(found))]
    if not texts:
        raise BadTask(
            f"{folder}: no request there was kept with its text",
            hint="serve with ledger_text = true (or WEIGHBRIDGE_LEDGER_TEXT=true) for a while",
        )
    if unread:
        output.tell(f"left out: {unread} requests that are no conversation of text, or were too long to be kept whole")
    if not found:
        raise BadTask(f"{folder}: holds no conversation of text", hint="images and tools make no task")
    return list(found.values())


def _answered(folder: Path, models: Sequence[str]) -> Iterator[Row]:
    """Requests that were answered well, and whose texts were kept."""
    for row in ledger.rows(folder, wanted=lambda row: row.kind == "request"):
        fields = row.fields
        if models and fields.get("model") not in models:
            continue
        if fields.get("outcome") == "done" and fields.get("path") in _PATHS and fields.get("prompt"):
            yield row


def _read(row: Row) -> Asked | None:
    """The conversation; None where it is none of text alone."""
    answer = row.fields.get("answer")
    try:
        request = json.loads(row.fields["prompt"])
        messages = [_message(each) for each in request["messages"]]
        if system := request.get("system"):
            messages.insert(0, {"role": "system", "content": _text(system)})
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not messages or request.get("tools") or not isinstance(answer, str) or not answer.strip():
        return None
    return Asked(str(row.fields.get("id") or row.number), tuple(messages), answer, row.fields.get("model"))


def _message(message: Any) -> dict[str, str]:
    """ValueError where it holds more than text."""
    if not isinstance(message["role"], str):
        raise ValueError("no role")
    return {"role": message["role"], "content": _text(message["content"])}


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if any(part.get("type") != "text" for part in content):
        raise ValueError("not text alone")
    return "\n".join(str(part["text"]) for part in content)


def _judged(asked: Asked, number: int, total: int) -> str | None:
    """The right answer; empty: leave it out; None: that is all."""
    last = asked.messages[-1]["content"]
    output.tell("")
    output.tell(f"{number} of {total}, answered by {asked.model}: {last[:_SHOWN_CHARACTERS]}")
    output.tell(f"answer: {asked.answer[:_SHOWN_CHARACTERS]}")
    try:
        said = input("right? ") if sys.stdin.isatty() else sys.stdin.readline()
    except EOFError:
        return None
    if not sys.stdin.isatty() and not said:
        return None
    said = said.strip()
    return {"": asked.answer, "-": "", ".": None}.get(said, said)
