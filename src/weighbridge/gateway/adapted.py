"""The answer to one client, put into other words on its way: a `Response` before a `Response`."""

from __future__ import annotations

import re
from collections.abc import Callable

from weighbridge.openai_api import ApiError

from .translation import BadAnswer, Translation
from .wire import Response
from .wire.connection import Writer

_EVENT_STREAM = re.compile(rb"^content-type:[ \t]*text/event-stream", re.IGNORECASE | re.MULTILINE)

# Of a plain answer, which must be whole before it can be put into other words.
_MOST_BYTES = 64 << 20


def without_length(lines: bytes) -> bytes:
    """The lines of a head but for the length of a body that will be another one."""
    kept = [line for line in lines.split(b"\r\n")[:-1] if line[:15].lower() != b"content-length:"]
    return b"".join([b"%b\r\n" % line for line in kept])


def is_event_stream(lines: bytes) -> bool:
    """Whether the body is a stream, by the lines of a head."""
    return _EVENT_STREAM.search(lines) is not None


def died() -> ApiError:
    """What is said of an answer that broke off before anything of it could be passed on."""
    return ApiError(
        502, "the engine ended in the midst of its answer", kind="server_error", code="engine_died", source="engine"
    )


def _no_lines(error: ApiError) -> bytes:
    return b""


class Adapted(Response):
    """Takes an engine's answer, a stream as it comes or a plain one when it is whole, and writes what it becomes.

    Errors pass as they are: they are the gateway's words already. An answer that can't be translated is an error that
    says so; `name_error` gives the lines that name it.
    """

    __slots__ = ("_inner", "_is_stream", "_lines", "_name_error", "_parts", "_size", "_status", "_translation")

    def __init__(self, inner: Response, translation: Translation, name_error: Callable[[ApiError], bytes]) -> None:
        self._inner = inner
        self._translation = translation
        self._name_error = name_error
        self._is_stream = False
        self._lines = b""
        self._parts: list[bytes] = []
        self._size = 0
        self._status = 0

    # What whoever answers asks: all of it is as the client's own response has it.

    @property
    def is_paused(self) -> bool:
        """Whether so much waits to be sent that no more should be written."""
        return self._inner.is_paused

    @property
    def status(self) -> int:  # type: ignore[override]
        """0 while nothing of the answer was sent."""
        return self._inner.status

    @property
    def is_over(self) -> bool:  # type: ignore[override]
        """Whether the answer is complete, or was cut."""
        return self._inner.is_over

    @property
    def writer(self) -> Writer | None:
        """Who writes the answer."""
        return self._inner.writer

    @writer.setter
    def writer(self, writer: Writer | None) -> None:
        self._inner.writer = writer

    # The answer.

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
        """Status, headers and the body's first bytes."""
        self._status = status
        self._lines = without_length(headers)
        self._is_stream = is_event_stream(headers)
        # An engine that died in the midst of a plain answer, of which nobody saw anything, may have been asked again.
        self._parts = []
        self._size = 0
        if self._is_stream:
            self._inner.begin(status, self._lines, None)
        self.write(body)

    def write(self, body: bytes, framed: bytes | None = None) -> None:
        """More of the body."""
        if not body or self._inner.is_over:
            return
        try:
            if self._is_stream:
                self._inner.write(self._translation.feed(body))
                return
            self._size += len(body)
            if self._size > _MOST_BYTES:
                raise BadAnswer(f"it is longer than {_MOST_BYTES >> 20} MiB")
            self._parts.append(body)
        except BadAnswer as error:
            self._give_up(error)

    def end(self) -> None:
        """The answer is complete."""
        if self._inner.is_over:
            return
        try:
            if self._is_stream:
                self._inner.write(self._translation.end())
                self._inner.end()
            else:
                self._inner.send(self._status, self._lines, self._translation.whole(b"".join(self._parts)))
        except BadAnswer as error:
            self._give_up(error)

    def send(self, status: int, headers: bytes, body: bytes = b"") -> None:
        """A whole answer that needs no translation."""
        self._inner.send(status, headers, body)

    def error(self, error: ApiError, headers: bytes = b"") -> None:
        """A whole answer that is an error."""
        self._inner.error(error, headers)

    def cut(self, last: bytes = b"") -> None:
        """End in the midst; `last` is sent before. Where the client has seen nothing yet, that is a whole error."""
        if self._inner.status:
            self._inner.cut(last)
        else:
            error = died()
            self._inner.error(error, self._name_error(error))

    def release(self) -> None:
        """The answer is over, however: no circle of objects may be left for the garbage collector."""
        self._name_error = _no_lines

    def _give_up(self, bad: BadAnswer) -> None:
        error = ApiError(
            502,
            f"the engine's answer can't be put into the words of this API: {bad}",
            kind="server_error",
            code="engine_garbage",
            source="engine",
        )
        lines = self._name_error(error)
        writer = self._inner.writer
        if self._inner.status:
            self._inner.cut(error.event())
        else:
            self._inner.error(error, lines)
        if writer is not None:
            # Nobody waits for the rest.
            writer.gone()
