"""Several answers for one client: each is written as if it were alone, and the client gets one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from weighbridge.openai_api import ApiError
from weighbridge.routing import Route

from .adapted import died, is_event_stream, without_length
from .adapting import Prepared
from .cascading import Answering
from .translation import BadAnswer, Choices
from .wire import Response

_MOST_BYTES = 64 << 20


class Together:
    """What several answers to one request used: it is one request to whoever counts or charges. `choices` of them have
    the same prompt."""

    __slots__ = ("_choices", "_left", "_usages")

    def __init__(self, count: int, choices: int) -> None:
        self._left, self._choices = count, choices
        self._usages: list[dict[str, int]] = [{} for _ in range(0, count, choices)]

    def add(self, usage: Mapping[str, int], place: int) -> Mapping[str, int] | None:
        """One of them is over; with the last one, the tokens of all: each prompt once, and every answer."""
        self._left -= 1
        known = self._usages[place // self._choices]
        for kind, count in usage.items():
            before = known.get(kind, 0)
            known[kind] = before + count if kind == "completion" else max(before, count)
        if self._left:
            return None
        kinds = {kind: None for usage in self._usages for kind in usage}
        return {kind: sum(usage.get(kind, 0) for usage in self._usages) for kind in kinds}


class Asking(Answering, Protocol):
    """One answer's way, which can be begun."""

    def start_asking(self, prepared: Prepared | None = None) -> None:
        """Ask now if the engine has room, else wait for it."""


class Gathering:
    """`shares` are the responses to write to. The first one that fails ends all; the client's leaving ends all."""

    def __init__(self, response: Response, prepared: Prepared) -> None:
        self.response = response
        count = len(prepared.bodies)
        self._choices = Choices(count, prepared.choices, tells_usage=prepared.tells_usage)
        self._lines: bytes | None = None
        self._is_stream = False
        self._size = 0
        self.shares = [Share(self, place) for place in range(count)]
        self.answers: list[Asking] = []
        """Who writes to them."""
        response.writer = self

    # As one answer, to whoever has it begun.

    def retell(self, route: Route) -> tuple[bytes, bytes]:
        """Give another reason for the choice; the lines of the head that told it before, and those that do now."""
        told = [answer.retell(route) for answer in self.answers]
        return told[0] if told else (b"", b"")

    def abandon(self, error: ApiError | None = None) -> None:
        """Ask no more; the engine is told at once."""
        for answer in self.answers:
            answer.abandon(error)

    # What the client's side calls.

    def gone(self) -> None:
        """The client has left."""
        for share in self.shares:
            share.drop()
        self._release()

    def _release(self) -> None:
        """All is over: no circle of objects may be left for the garbage collector."""
        self.shares, self.answers = [], []

    def pause(self) -> None:
        """It reads too slowly."""
        for share in self.shares:
            if share.writer is not None:
                share.writer.pause()

    def resume(self) -> None:
        """It has caught up."""
        for share in self.shares:
            if share.writer is not None:
                share.writer.resume()

    # What the shares call.

    def begin(self, status: int, headers: bytes) -> None:
        """One of the answers has begun; the head of the first is that of all."""
        if self._lines is not None:
            return
        self._lines = without_length(headers)
        self._is_stream = is_event_stream(headers)
        if self._is_stream:
            self.response.begin(status, self._lines, None)

    def write(self, share: Share, body: bytes) -> None:
        """More of one of them."""
        try:
            if self._is_stream:
                self.response.write(self._choices.feed(share.place, body))
                return
            self._size += len(body)
            if self._size > _MOST_BYTES:
                raise BadAnswer(f"the choices are longer than {_MOST_BYTES >> 20} MiB together")
            share.parts.append(body)
        except BadAnswer as error:
            self._give_up(error)

    def ended(self, share: Share) -> None:
        """One of them is complete."""
        try:
            if self._is_stream:
                self.response.write(self._choices.end(share.place))
            if all(each.is_over for each in self.shares) and not self.response.is_over:
                if self._is_stream:
                    self.response.end()
                else:
                    body = self._choices.whole([b"".join(each.parts) for each in self.shares])
                    self.response.send(200, self._lines or b"", body)
                self._release()
        except BadAnswer as error:
            self._give_up(error)

    def fail(self, error: ApiError, headers: bytes) -> None:
        """One of them failed: so do all."""
        if self.response.status:
            self.response.cut(error.event())
        else:
            self.response.error(error, headers)
        self.gone()

    def _give_up(self, bad: BadAnswer) -> None:
        self.fail(
            ApiError(502, f"the engine's answers can't be put together: {bad}", kind="server_error", source="engine",
                     code="engine_garbage"),
            b"",
        )  # fmt: skip


class Share(Response):
    """One of the answers."""

    __slots__ = ("_gathering", "parts", "place")

    def __init__(self, gathering: Gathering, place: int) -> None:
        self._gathering = gathering
        self.is_over = False
        self.place = place
        self.parts: list[bytes] = []
        self.writer = None

    @property
    def status(self) -> int:  # type: ignore[override]
        """0 while nothing was sent to the client."""
        return self._gathering.response.status

    @property
    def is_paused(self) -> bool:
        """Whether the client reads too slowly."""
        return self._gathering.response.is_paused

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
        if self.is_over:
            return
        # An engine that died in the midst of a plain answer may have been asked again.
        self.parts = []
        self._gathering.begin(status, headers)
        self.write(body)

    def write(self, body: bytes, framed: bytes | None = None) -> None:
        """More of the body."""
        if body and not self.is_over:
            self._gathering.write(self, body)

    def end(self) -> None:
        """It is complete."""
        if not self.is_over:
            self.is_over = True
            self.writer = None
            self._gathering.ended(self)

    def send(self, status: int, headers: bytes, body: bytes = b"") -> None:
        """A whole answer; one that refuses ends all."""
        if status < 400:
            self.begin(status, headers, len(body), body)
            self.end()
        elif not self.is_over:
            self.is_over = True
            self.writer = None
            self._gathering.response.send(status, headers, body)
            self._gathering.gone()

    def error(self, error: ApiError, headers: bytes = b"") -> None:
        """It failed."""
        if not self.is_over:
            self.is_over = True
            self.writer = None
            self._gathering.fail(error, headers)

    def cut(self, last: bytes = b"") -> None:
        """It ends in the midst: so does all."""
        if not self.is_over:
            self.is_over = True
            self.writer = None
            if self.status:
                self._gathering.response.cut(last)
                self._gathering.gone()
            else:
                self._gathering.fail(died(), b"")

    def drop(self) -> None:
        """Nobody waits for it any more."""
        writer, self.writer, self.is_over = self.writer, None, True
        if writer is not None:
            writer.gone()
