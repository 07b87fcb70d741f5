"""One engine's answer on its way to one client: passed on as it comes, and watched only at its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from weighbridge.openai_api import ApiError

from .connection import Response
from .heads import AnswerHead
from .upstream import Exchange, Failure, Upstream

_TAIL_BYTES = 4_096
_MOST_ERROR_BYTES = 1 << 20
Outcome = Literal["", "done", "gone", "failed", "error", "dropped"]


class Relay:
    """Passes one answer from an engine to a client.

    What the gateway wants to know or to decide on the way it does in a subclass: `lines`, `piece`, `takes_errors` and
    `error`, `recovers`, `is_complete`, `done`. None of them need be there for bytes to pass.
    """

    __slots__ = (
        "_exchange",
        "_held_error",
        "_recent",
        "_recent_bytes",
        "answer",
        "body_bytes",
        "failure",
        "outcome",
        "response",
        "upstream",
    )
    takes_errors = False
    """Whether an answer of status 400 or above goes to `error`, whole, in place of the client."""

    hidden: frozenset[bytes] = frozenset()
    """Lines of the answer's head that the client does not get, by their names in lower case."""

    def __init__(self, response: Response) -> None:
        self.response = response
        self._exchange: Exchange | None = None
        self._held_error: list[bytes] | None = None
        self._recent: list[bytes] = []
        self._recent_bytes = 0
        self.upstream: Upstream | None = None
        self.answer: AnswerHead | None = None
        self.failure: Failure | None = None
        self.outcome: Outcome = ""
        """`gone`: the client left; `failed`: the engine did; `error`: handed to `error`; `dropped`: nobody wanted it
        any more; "" so far."""
        self.body_bytes = 0

    def start(
        self,
        upstream: Upstream,
        target: bytes,
        body: Sequence[bytes],
        headers: bytes = b"",
        method: bytes = b"POST",
    ) -> None:
        """Ask an engine. May be called again from `recovers`, or from `error`, with another one."""
        self.upstream = upstream
        self.answer = self._held_error = self.failure = None
        self.outcome = ""
        self.body_bytes = self._recent_bytes = 0
        self._recent = []
        exchange = self._exchange = upstream.start(self, target, body, method=method, headers=headers)
        response = self.response
        response.writer = self
        if response.is_paused:
            exchange.pause()

    def take(self, upstream: Upstream, exchange: Exchange) -> None:
        """Take the answer to a question that was asked already."""
        self.upstream = upstream
        self._exchange = exchange
        self.response.writer = self

    @property
    def tail(self) -> bytes:
        """The last of the body that passed: 4 KiB of it at least, where there is so much."""
        if len(self._recent) > 1:
            self._recent = [b"".join(self._recent)]
        return self._recent[0] if self._recent else b""

    # For subclasses. Those that are None here are methods there: what nobody wants to hear costs no call.

    lines: Any = None
    """lines(head) -> bytes: more lines for the answer's head, as by `header_lines`."""
    piece: Any = None
    """piece(body): a piece of the body passes."""
    is_complete: Any = None
    """is_complete() -> bool: whether an answer that has come to its end is whole, by its `tail`: a stream may lack its
    last event."""
    done: Any = None
    """done(): it is over, and `outcome` says how."""

    def error(self, head: AnswerHead, body: bytes) -> None:
        """The engine answered with an error, of which `body` is at most 1 MiB; answer the client, or ask elsewhere."""

    def recovers(self, failure: Failure) -> bool:
        """The engine failed, and nothing was sent to the client: whether it is answered in another way."""
        return False

    # What the engine's side calls.

    def head(self, head: AnswerHead, body: bytes, framed: bytes | None) -> None:
        """The answer has begun."""
        self.answer = head
        if self.takes_errors and head.status >= 400:
            self._held_error = []
            self.body(body, None)
            return
        if body:
            self._note(body)
        lines = head.passed_back if not self.hidden else head.passed_back_without(self.hidden)
        if self.lines is not None:
            lines += self.lines(head)
        self.response.begin(head.status, lines, head.length, body, framed, has_length=True)

    def body(self, body: bytes, framed: bytes | None) -> None:
        """A piece of it."""
        if self._held_error is not None:
            self._held_error.append(body)
            self.body_bytes += len(body)
            if self.body_bytes > _MOST_ERROR_BYTES and self._exchange is not None:
                self._exchange.cancel()
                self.end()
            return
        self._note(body)
        self.response.write(body, framed)

    def _note(self, body: bytes) -> None:
        size = len(body)
        self.body_bytes += size
        if size >= _TAIL_BYTES:
            self._recent = [body]
            self._recent_bytes = size
        else:
            self._recent.append(body)
            self._recent_bytes += size
            if self._recent_bytes > 4 * _TAIL_BYTES:
                self._recent = [b"".join(self._recent)[-_TAIL_BYTES:]]
                self._recent_bytes = _TAIL_BYTES
        if self.piece is not None:
            self.piece(body)

    def end(self) -> None:
        """The answer is complete."""
        answer = self.answer
        assert answer is not None
        if self._held_error is not None:
            body = b"".join(self._held_error)[:_MOST_ERROR_BYTES]
            self._held_error = None
            self.body_bytes = 0
            self.outcome = "error"
            self.error(answer, body)
            if self.outcome == "error":
                self._finish("error")
            return
        if self.is_complete is not None and not self.is_complete():
            self.failed(Failure("cut", "its answer lacks its last event"))
            return
        self.response.end()
        self._finish("done")

    def failed(self, failure: Failure) -> None:
        """The engine failed."""
        self.failure = failure
        response = self.response
        if not response.status:
            if self.recovers(failure):
                return
            response.error(self.failure_error(failure))
        elif self.answer is not None and self.answer.is_event_stream:
            whole = self.tail.endswith((b"\n\n", b"\r\n\r\n")) or not self.body_bytes
            response.cut((b"" if whole else b"\n\n") + self.failure_error(failure).event())
        else:
            response.cut()
        self._finish("failed")

    def failure_error(self, failure: Failure) -> ApiError:
        """What the client is told of a failure."""
        is_timeout = failure.kind == "timeout"
        return ApiError(
            504 if is_timeout else 502,
            f"the engine failed: {failure.detail}",
            kind="server_error",
            code="engine_timeout" if is_timeout else "engine_died",
            source="engine",
        )

    # What the client's side calls.

    def gone(self) -> None:
        """The client has left: the engine is told at once."""
        if self._exchange is not None:
            self._exchange.cancel()
        self._finish("gone")

    def pause(self) -> None:
        """The client reads too slowly: so do we."""
        if self._exchange is not None:
            self._exchange.pause()

    def resume(self) -> None:
        """It has caught up."""
        if self._exchange is not None:
            self._exchange.resume()

    def _finish(self, outcome: Outcome) -> None:
        self.outcome = outcome
        # No circle of objects may be left for each request: they would wait for the collector, and stop all for it.
        self._exchange = None
        if self.done is not None:
            self.done()
