"""One sample's request and its answer: sent, tried again where that may help, and read."""

from __future__ import annotations

import asyncio
import email.utils
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from weighbridge.errors import EvalStopped

from .http import Connection, ConnectionLost, Response, Target
from .score import Answer
from .task import Generation, Message

_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_CONFIGURATION = {401: "set the key: --api-key or WEIGHBRIDGE_API_KEY", 403: "set the key", 404: "check URL and model"}
_LONGEST_WAIT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often a request is tried."""

    attempts: int = 5
    first_wait_seconds: float = 0.5
    """Doubled each time, and drawn between a half and the whole of it, so that workers don't come back together."""
    most_wait_seconds: float = 30.0
    timeout_seconds: float = 600.0
    """For one attempt."""


@dataclass(frozen=True, slots=True)
class Failure:
    """No answer, after all attempts."""

    message: str
    attempts: int
    unreachable: bool = False
    """Whether nothing answered at all."""
    foreign: bool = False
    """Whether what answered speaks no chat completions: a page to log in at, say."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of one request."""

    answer: Answer | None
    failure: Failure | None
    attempts: int


def body_of(messages: list[Message], target: Target, generation: Generation, *, stream: bool = False) -> dict[str, Any]:
    """The request of a chat completion."""
    body: dict[str, Any] = {"model": target.model, "messages": messages}
    if generation.max_tokens is not None:
        body["max_tokens"] = generation.max_tokens
    if generation.temperature is not None:
        body["temperature"] = generation.temperature
    if generation.stop:
        body["stop"] = list(generation.stop)
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body | dict(generation.options)


async def ask(
    connection: Connection,
    body: Mapping[str, Any],
    patience: Patience,
    *,
    on_busy: Callable[[], None] | None = None,
) -> Asked:
    """The answer to one request. EvalStopped where the server refuses what every other request says too.

    `on_busy` is called whenever the server says that it has too much to do.
    """
    encoded = json.dumps(body, ensure_ascii=False).encode()
    message, unreachable, foreign = "", False, False
    for attempt in range(1, patience.attempts + 1):
        wait: float | None = None
        streamed = _Streamed() if body.get("stream") else None
        try:
            response = await connection.request(
                "POST", "/v1/chat/completions", encoded, timeout=patience.timeout_seconds, on_piece=streamed
            )
            if response.status == 200:
                answer = streamed.answer(response) if streamed and streamed.is_begun else read_answer(response)
                return Asked(answer, None, attempt)
            message, foreign = _said(response), False
            if response.status in _CONFIGURATION:
                raise EvalStopped(message, hint=_CONFIGURATION[response.status])
            if response.status not in _AGAIN:
                return Asked(None, Failure(message, attempt), attempt)
            unreachable = False
            wait = retry_after(response.headers.get("retry-after"))
            if response.status in (429, 503) and on_busy is not None:
                on_busy()
        except ConnectionLost as error:
            message, unreachable, foreign = str(error), error.refused, False
        except TimeoutError:
            message, foreign = f"no answer within {patience.timeout_seconds:g} s", False
        except ValueError as error:
            message, foreign = f"the answer cannot be read: {error}", True
        if attempt < patience.attempts:
            await asyncio.sleep(pause(attempt, patience) if wait is None else wait)
    return Asked(None, Failure(message, patience.attempts, unreachable, foreign), patience.attempts)


def pause(attempt: int, patience: Patience) -> float:
    """Seconds to wait after so many failed attempts."""
    most: float = min(patience.most_wait_seconds, patience.first_wait_seconds * 2 ** (attempt - 1))
    return most * random.uniform(0.5, 1.0)


def retry_after(value: str | None) -> float | None:
    """What `Retry-After` asks for in seconds (a number or a date), at most five minutes; None for anything else."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return min(max(0.0, seconds), _LONGEST_WAIT_SECONDS) if seconds == seconds else None


def _said(response: Response) -> str:
    try:
        message = str(json.loads(response.body)["error"]["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        message = response.body[:200].decode(errors="replace")
    return f"HTTP {response.status}: {message[:500]}"


def read_answer(response: Response) -> Answer:
    """The answer in a chat completion. ValueError where there is none."""
    try:
        found = json.loads(response.body)
        choice = found["choices"][0]
        message = choice["message"]
        usage = found.get("usage") or {}
        return Answer(
            _text(message.get("content")),
            tuple(message.get("tool_calls") or ()),
            _text(message.get("reasoning_content") or message.get("reasoning")),
            _text(message.get("refusal")),
            _text(choice.get("finish_reason")),
            _count(usage, "prompt_tokens"),
            _count(usage, "completion_tokens"),
            response.seconds,
            None,
            response.headers.get("x-weighbridge-model") or found.get("model") or "",
            _first_token(choice),
        )
    except (ValueError, RecursionError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"no chat completion: {response.body[:200].decode(errors='replace')!r}") from error


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _count(usage: Mapping[str, Any], name: str) -> int | None:
    """A number of tokens; None where the server tells none."""
    count = usage.get(name)
    return count if isinstance(count, int) and count >= 0 else None


def _first_token(choice: Mapping[str, Any]) -> dict[str, float]:
    tokens = (choice.get("logprobs") or {}).get("content") or ()
    return {str(each["token"]): float(each["logprob"]) for each in tokens[0].get("top_logprobs", ())} if tokens else {}


class _Streamed:
    """A streamed answer, put together as it comes; knows when its first word came."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self._rest = b""
        self._first: float | None = None
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._model = ""
        self._calls: dict[int, dict[str, Any]] = {}
        self._finish = ""
        self._usage: dict[str, Any] = {}
        self._error = ""
        self._is_begun = False

    @property
    def is_begun(self) -> bool:
        """Whether the server streams: some answer as a whole all the same."""
        return self._is_begun

    def __call__(self, piece: bytes) -> None:
        lines = (self._rest + piece).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            if line.startswith(b"data:"):
                self._is_begun = True
                if (data := line[5:].strip()) != b"[DONE]":
                    self._read(data)

    def _read(self, data: bytes) -> None:
        try:
            self._event(json.loads(data))
        except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise ValueError(f"no event of a chat completion: {data[:200].decode(errors='replace')!r}") from error

    def _event(self, event: dict[str, Any]) -> None:
        if "error" in event:
            self._error = str(event["error"].get("message", event["error"]))
        self._usage = event.get("usage") or self._usage
        self._model = event.get("model") or self._model
        for choice in event.get("choices", ())[:1]:
            delta = choice.get("delta") or {}
            text = _text(delta.get("content"))
            reasoning = _text(delta.get("reasoning_content") or delta.get("reasoning"))
            self._refusal.append(_text(delta.get("refusal")))
            if (text or reasoning or delta.get("tool_calls")) and self._first is None:
                self._first = time.perf_counter() - self._begun
            self._texts.append(text)
            self._reasoning.append(reasoning)
            for call in delta.get("tool_calls") or ():
                self._call(call)
            self._finish = choice.get("finish_reason") or self._finish

    def _call(self, piece: dict[str, Any]) -> None:
        call = self._calls.setdefault(piece.get("index", 0), {"function": {"name": "", "arguments": ""}})
        function = piece.get("function") or {}
        call["function"]["name"] += function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or ""

    def answer(self, response: Response) -> Answer:
        """The whole. ValueError where the stream told of an error, or ended before it was done."""
        if self._error or not self._finish:
            raise ValueError(self._error or "the stream ended before the answer was done")
        return Answer(
            "".join(self._texts),
            tuple(self._calls[index] for index in sorted(self._calls)),
            "".join(self._reasoning),
            "".join(self._refusal),
            self._finish,
            _count(self._usage, "prompt_tokens"),
            _count(self._usage, "completion_tokens"),
            response.seconds,
            self._first,
            response.headers.get("x-weighbridge-model") or self._model,
        )
