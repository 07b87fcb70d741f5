"""`Cascade`: a small model's answer is held back until it is whole; then it is handed on, or another model is asked.

Nothing reaches the client before that is decided, so that nothing need be taken back. How sure the model was is told
by the log-probabilities of its answer's tokens: they are asked for, and taken out again where the client did not.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from weighbridge.openai_api import ApiError, gateway_fault
from weighbridge.routing import AS_CHAT, Escalation, Route, escalates, mean_log_probability

from . import wire
from .adapted import is_event_stream, without_length
from .adapting import CHAT
from .translation import BadAnswer, Translation
from .translation.events import write
from .wire import Body, Response

if TYPE_CHECKING:
    from .door import Door

_LOG = logging.getLogger("weighbridge")
# An answer that is longer is not judged: the bigger model is asked.
_MOST_BYTES = 8 << 20


class Answering(Protocol):
    """One model's answer on its way."""

    def retell(self, route: Route) -> tuple[bytes, bytes]:
        """Give another reason for the choice; the lines of the head that told it before, and those that do now."""

    def abandon(self, error: ApiError | None = None) -> None:
        """Ask no more; the engine is told at once. `error` is what the client is told, where it is for that."""

    def gone(self) -> None:
        """The client has left."""


def asking(path: str, body: Body) -> Body:
    """The body that asks for log-probabilities too; the same where it does."""
    fields = body.fields
    if fields.get("logprobs") not in (None, False):
        return body
    more = {"logprobs": 1} if path == "/v1/completions" else {"logprobs": True, "top_logprobs": 1}
    return type(body)(write({**fields, **more}), body.folding)


def _events(raw: bytes) -> Iterator[tuple[bytes, Any]]:
    """The lines of a stream, with the object that one holds."""
    for line in raw.splitlines(keepends=True):
        found = None
        if line.startswith(b"data:") and line[5:].strip().startswith(b"{"):
            try:
                found = json.loads(line[5:])
            except (ValueError, RecursionError):
                found = None
        yield line, found


def _choices(found: Any) -> list[dict[str, Any]]:
    choices = found.get("choices") if isinstance(found, dict) else None
    return [each for each in choices if isinstance(each, dict)] if isinstance(choices, list) else []


def _told(found: Any) -> Iterator[float]:
    """The log-probabilities in an answer, or in one event of it: as chats have them, or completions."""
    for choice in _choices(found):
        told = choice.get("logprobs")
        if not isinstance(told, dict):
            continue
        for token in told.get("content") or ():
            value = token.get("logprob") if isinstance(token, dict) else None
            if isinstance(value, int | float):
                yield float(value)
        for value in told.get("token_logprobs") or ():
            if isinstance(value, int | float):
                yield float(value)


def read_log_probabilities(raw: bytes, *, is_stream: bool) -> list[float]:
    """Of all tokens of an answer; empty where it tells none."""
    if is_stream:
        return [value for _, found in _events(raw) if found is not None for value in _told(found)]
    try:
        return list(_told(json.loads(raw)))
    except (ValueError, RecursionError):
        return []


def _without(found: Any) -> bytes:
    for choice in _choices(found):
        choice.pop("logprobs", None)
    return write(found)


def without_log_probabilities(raw: bytes, *, is_stream: bool) -> bytes:
    """The answer as it would be had nobody asked for them."""
    if not is_stream:
        return _without(json.loads(raw))
    return b"".join(
        b"data: %b%b" % (_without(found), line[len(line.rstrip(b"\r\n")) :]) if found is not None else line
        for line, found in _events(raw)
    )


class Cascade:
    """One request that a small model answers, unless it is unsure. Stands where its client's response would.

    Messages and Responses can't tell log-probabilities of all tokens: the small model is asked for a chat completion,
    which becomes what the client wants once it is kept.
    """

    def __init__(self, door: Door, request: wire.Request, response: Response, body: Body, route: Route) -> None:
        assert route.escalation is not None
        self._door, self._request, self._response, self._body, self._route = door, request, response, body, route
        self._escalation: Escalation = route.escalation
        path, first = request.path, body
        self._translate: Callable[[], Translation] | None = None
        if path.decode() in AS_CHAT:
            path = CHAT
            first, self._translate = door.adapting.in_chat(route.model, request.path, body)
        self._asked = asking(path.decode(), first)
        self._is_told_more = self._asked is not first
        self._head = b""
        self._pieces: list[bytes] = []
        self._bytes = 0
        self._answer: Answering | None = None
        self.status = 0
        self.is_over = False
        self.is_paused = False
        self.writer: Any = None

    def start(self) -> None:
        """Ask the small model."""
        self._answer = self._door.begin(self._request, self, self._asked, self._route)  # type: ignore[arg-type]
        self._response.writer = self

    # As a response, to the small model's answer.

    def begin(
        self,
        status: int,
        headers: bytes,
        length: int | None,
        body: bytes = b"",
        framed: bytes | None = None,
        *,
        has_length: bool = False,
    ) -> None:
        """Its head."""
        if not self.is_over and not self.status:
            self.status, self._head = status, headers
            self.write(body)

    def write(self, body: bytes, framed: bytes | None = None) -> None:
        """A piece of it."""
        if self.is_over:
            return
        self._pieces.append(body)
        self._bytes += len(body)
        if self._bytes > _MOST_BYTES:
            self._escalate(f"is longer than {_MOST_BYTES >> 20} MiB")
            if self._answer is not None:
                self._answer.abandon()

    def end(self) -> None:
        """It is whole."""
        if self.is_over:
            return
        if self.status >= 400:
            self._escalate(f"is an error ({self.status})")
            return
        raw = b"".join(self._pieces)
        is_stream = is_event_stream(self._head)
        sure = read_log_probabilities(raw, is_stream=is_stream)
        mean, threshold = mean_log_probability(sure), self._escalation.threshold
        limit = f"{threshold.value:.2f} ({threshold.basis.value})"
        if escalates(self._escalation, sure):
            self._escalate(
                "tells no log-probabilities" if mean is None else f"has mean log-probability {mean:.2f}, below {limit}"
            )
            return
        self._keep(raw, is_stream, f"its mean log-probability is {mean:.2f}, not below {limit}")

    def send(self, status: int, headers: bytes, body: bytes = b"") -> None:
        """A whole answer."""
        self.begin(status, headers, len(body), body)
        self.end()

    def error(self, error: ApiError, headers: bytes = b"") -> None:
        """It failed."""
        self.status = self.status or error.status
        self._escalate(f"failed: {error}")

    def cut(self, last: bytes = b"") -> None:
        """It broke off."""
        self._escalate("broke off")

    # As a writer, to the client's connection.

    def gone(self) -> None:
        """The client has left."""
        writer, self.writer, self.is_over = self.writer, None, True
        if writer is not None:
            writer.gone()

    def pause(self) -> None:
        """Nothing is written yet."""

    def resume(self) -> None:
        """Nothing is written yet."""

    # What becomes of it.

    def _keep(self, raw: bytes, is_stream: bool, why: str) -> None:
        if self._is_told_more:
            raw = without_log_probabilities(raw, is_stream=is_stream)
        if self._translate is not None:
            translation = self._translate()
            try:
                raw = translation.feed(raw) + translation.end() if is_stream else translation.whole(raw)
            except BadAnswer as error:
                self._escalate(f"can't be put into the words of this API: {error}")
                return
        head = without_length(self._head)
        if self._answer is not None:
            head = head.replace(*self._answer.retell(self._retold(self._route.model, f"{self._route.model}: {why}")))
        self._over()
        self._response.send(self.status, head, raw)

    def _escalate(self, why: str) -> None:
        if self.is_over:
            return
        # Not answered, and so counted as such.
        self.status = 0
        self._pieces = []
        self._over()
        small, big = self._route.model, self._escalation.to
        route = self._retold(big, f"asked after {small}, whose answer {why}")
        # The small model's request is over, and its room free, before the other one is asked.
        asyncio.get_running_loop().call_soon(self._ask_next, dataclasses.replace(route, escalation=None))

    def _over(self) -> None:
        self.is_over = True
        self.writer = None
        self._response.writer = None

    def _retold(self, model: str, why: str) -> Route:
        policy = self._route.reason.partition(": ")[0]
        return dataclasses.replace(self._route, model=model, reason=f"{policy}: {why}")

    def _ask_next(self, route: Route) -> None:
        if self._response.is_over:
            self._door.left(self._request)
            return
        try:
            self._door.begin(self._request, self._response, self._body, route)
        except ApiError as error:
            self._refuse(error)
        except Exception:
            _LOG.exception("a fault of the gateway")
            self._refuse(gateway_fault())

    def _refuse(self, error: ApiError) -> None:
        self._response.error(error, self._door.refused(self._request, error))
