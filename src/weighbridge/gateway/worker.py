"""`python -m weighbridge.gateway.worker`: a process that answers clients beside the gateway's first one, which starts
it (`workers`) and gives it two descriptors: the socket over which both speak, and one that listens at the address."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import pickle
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from weighbridge.engines import Model
from weighbridge.errors import WeighbridgeError
from weighbridge.ledger import Served
from weighbridge.openai_api import AUTO, ApiError, gateway_fault
from weighbridge.settings import Settings

from . import wire
from .borrowing import Borrowed
from .channel import Channel, Message
from .door import FORMS, Door
from .feedback import Feedback
from .front import Front
from .guard import Guard, check_model, guessed_tokens, speaks_anthropic, spend
from .identities import Identities
from .lending import Setup
from .listening import Place
from .metrics import Metrics
from .rates import Limiter, Refused
from .recording import Recorder
from .reloading import take_anew
from .running import run_loop, settle
from .teaching import Teacher, Timing
from .watching import Care
from .wire import AnswerHead, Body, Form, Request, Response
from .workers import BEAT_SECONDS

_LOG = logging.getLogger("weighbridge")
# Between two neighbours, or the wire's own to say.
_NOT_PASSED = frozenset(
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade content-length expect".split()
)
# No page takes as much: what is longer is not brought to the first process.
_MOST_PAGE_BYTES = 1 << 20
# A model that is loaded by a page, or a ledger that is verified, takes its time.
_PAGE_SECONDS = 3600.0
_NOTE_SECONDS = 5.0
# What the record still needs to be written.
_ORPHANED_SECONDS = 2.0


class _Page(wire.Relay):
    """A page on its way, with the name that it was given where it was made."""

    __slots__ = ()

    def lines(self, head: AnswerHead) -> bytes:
        """The request's name."""
        name = head.values.get(b"x-request-id")
        return b"" if name is None else b"x-request-id: %b\r\n" % name


class _Pages:
    """All that is not an engine's is answered by the first process, wherever the kernel put the connection."""

    def __init__(self, path: Path) -> None:
        limits = wire.UpstreamLimits(first_byte_seconds=_PAGE_SECONDS, silence_seconds=_PAGE_SECONDS)
        self.upstream = wire.Upstream(path, limits=limits, names_host=False)

    def answer(self, request: Request, response: Response) -> None:
        """Pass a request on as it came. ApiError for a body that no page takes."""
        if sum(map(len, request.parts)) > _MOST_PAGE_BYTES:
            raise ApiError(413, f"at most {_MOST_PAGE_BYTES:,} bytes are taken here", code="body_too_large")
        lines = wire.header_lines((name, value) for name, value in request.headers if name not in _NOT_PASSED)
        _Page(response).start(self.upstream, request.target, request.parts, lines, request.method)


class _FarLimiter(Limiter):
    """What the first process has said of one request's key, and will hear of it."""

    def __init__(self, channel: Channel, number: int, lines: bytes) -> None:
        super().__init__()
        self._channel, self._number, self._lines = channel, number, lines

    def settle(self, id_: str, reserved: int, used: int, now: float) -> None:
        """The request is over."""
        self._channel.send("settle", self._number, used)

    def lines(self, id_: str, now: float, *, anthropic: bool = False) -> bytes:
        """What was left when it was let in."""
        return self._lines


class _Guard(Guard):
    """Knows the keys by their file; what they may still ask for is asked of the first process beforehand."""

    def configure(self, settings: Settings, *, at_start: bool = False) -> None:
        """As `Guard.configure`; whether the gateway may be reached at all, the first process has decided."""
        super().configure(settings)

    def admit(self, request: Request, body: Body | Form) -> None:
        """It was let in, or it would not have come so far."""
        assert request.spending is not None


class _Admission:
    """A request that waits to hear whether its key allows it. Stands where its answer's writer will."""

    def __init__(self, door: _Door, request: Request, response: Response) -> None:
        self._door, self._request, self._response = door, request, response
        response.writer = self

    def heard(self, limiter: _FarLimiter, admitted: int | Refused) -> None:
        """The first process has answered."""
        request, response = self._request, self._response
        if response.is_over:
            if not isinstance(admitted, Refused):
                limiter.settle("", 0, 0, 0.0)
            return
        response.writer = None
        try:
            spend(request, limiter, admitted)
            self._door.answer(request, response)
        except ApiError as error:
            response.error(error, self._door.refused(request, error))
        except Exception:
            _LOG.exception("a fault of the gateway")
            fault = gateway_fault()
            response.error(fault, self._door.refused(request, fault))

    def gone(self) -> None:
        """The client has left; what was set aside comes back once that is known."""

    def pause(self) -> None:
        """Nothing is written yet."""

    def resume(self) -> None:
        """Nothing is written yet."""


class _Door(Door):
    """The same door, except that pages and keys' limits are the first process's."""

    pages: _Pages
    channel: Channel

    def __init__(self, *known: Any) -> None:
        super().__init__(*known)
        self._admitting: dict[int, _Admission] = {}
        self._admissions = itertools.count(1)

    def route(self, request: Request) -> wire.Work | None:
        """As `Door.route`."""
        work = super().route(request)
        if work is not None:
            return work
        if request.length > _MOST_PAGE_BYTES:
            raise ApiError(413, f"at most {_MOST_PAGE_BYTES:,} bytes are taken here", code="body_too_large")
        return self.pages.answer

    def answer(self, request: Request, response: Response) -> None:
        """As `Door.answer`; a key with limits is asked about before, but only for what can be answered at all."""
        caller = request.caller
        if not caller.is_limited or request.spending is not None:
            super().answer(request, response)
            return
        is_form = request.path in FORMS
        body = Form(request.values.get(b"content-type", b""), request.body) if is_form else Body.of(request)
        model = request.asked = AUTO if body.model is None else body.model
        self._checked(request.path.decode(), model, body, is_named=model in self.pool.models)
        check_model(caller, model, self.pool.models)
        number = next(self._admissions)
        self._admitting[number] = _Admission(self, request, response)
        self.channel.send("admit", number, caller.id, guessed_tokens(body), speaks_anthropic(request))

    def admitted(self, number: int, admitted: int | Refused, lines: bytes) -> None:
        """A key allows a request, or not."""
        waiting = self._admitting.pop(number, None)
        if waiting is not None:
            waiting.heard(_FarLimiter(self.channel, number, lines), admitted)


class _Identities(Identities):
    """What the first process knows of the models' files."""

    def know(self, said: Mapping[str, tuple[list[dict[str, Any]], bool]]) -> None:
        """It knows more."""
        self._said = dict(said)

    def of(self, model: str) -> tuple[list[dict[str, Any]], bool]:
        """As `Identities.of`."""
        return self._said.get(model, ([], False))


class _Recorder(Recorder):
    """Rows into a chain of this process's own; sums of files are taken once, by the first process."""

    known: Mapping[str, tuple[list[dict[str, Any]], bool]] = {}

    def _identify(self, settings: Settings) -> Identities:
        identities = _Identities({}, settings.state_path, takes_sums=False)
        identities.know(self.known)
        return identities

    def know_files(self, said: Mapping[str, tuple[list[dict[str, Any]], bool]]) -> None:
        """Hear what is known of the models' files."""
        self.known = said
        if isinstance(self.identities, _Identities):
            self.identities.know(said)


class _Teacher(Teacher):
    """Has the first process learn."""

    def __init__(self, pool: Borrowed, channel: Channel) -> None:
        self._pool, self._channel = pool, channel

    def heard(self, model: Model, timing: Timing, parallel: int) -> None:
        """An answer was complete."""
        number = self._pool.number_of(model)
        if number is not None and model.plan is not None and model.plan.speed is not None:
            told = (
                timing.prompt_tokens,
                timing.cached_tokens,
                timing.prompt_seconds,
                timing.generated_tokens,
                timing.decode_seconds,
            )
            self._channel.send("taught", number, told, parallel)

    async def close(self) -> None:
        """Nothing was learnt here."""


class Worker:
    """One worker, from what it begins with to its end."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._begun: asyncio.Future[Setup] = asyncio.get_running_loop().create_future()
        self.end = asyncio.Event()
        self._grace_seconds: float | None = None
        self._early: list[Message] = []
        self._pool: Borrowed | None = None
        self._sent_uses_at = time.time()
        self._counted: dict[str, int] = {}
        self._told: dict[str, Any] = {}
        self.channel = Channel(lambda said: json.dumps(said).encode(), pickle.loads, self._hear, self._orphaned)

    def _orphaned(self) -> None:
        """The first process is gone, and the engines with it: there is nothing to answer with."""
        if self._pool is None:
            os._exit(1)
        self._grace_seconds = 0.0
        self.end.set()
        asyncio.get_running_loop().call_later(_ORPHANED_SECONDS, os._exit, 1)

    def _hear(self, message: Message) -> None:
        if message[0] == "begin":
            self._begun.set_result(message[1])
        elif self._pool is None:
            self._early.append(message)
        else:
            self._heed(*message)

    async def serve(self) -> None:
        """Answer clients until the end."""
        setup = await self._begun
        settings = setup.settings
        place = Place(settings, self._listener)
        pool = Borrowed(setup.models, setup.state, settings, _care(settings), self.channel)
        self._recorder = _Recorder(setup.models, settings)
        self._front = front = Front(
            settings,
            _nobody,
            metrics=Metrics(),
            guard=_Guard(settings, _nobody),
            pool=pool,
            teacher=_Teacher(pool, self.channel),
            recorder=self._recorder,
            feedback=Feedback(settings.state_path, settings.feedback_requests),
            door=_Door,
        )
        door = front.door
        assert isinstance(door, _Door)
        self._door = door
        pages = door.pages = _Pages(setup.pages)
        door.channel = self.channel
        front.chooser.share_warm = lambda *warm: self.channel.send("warm", *warm)
        await front.chooser.begin()
        self._server = server = await wire.serve(
            [place.listener],
            door.route,
            _no_application,
            limits=wire.Limits(body_bytes=settings.max_body_bytes),
            tls=place.tls,
            refused=door.refused,
        )
        self._place = place
        server.let_in(wire.Cors(settings.cors_origins) if settings.cors_origins else None)
        self._pool = pool
        for message in self._early:
            self._heed(*message)
        settle()
        self.channel.send("ready", True)
        beating = asyncio.create_task(self._beat())
        await self.end.wait()
        self.channel.send("ready", False)
        grace = front.settings.drain_timeout_seconds if self._grace_seconds is None else self._grace_seconds
        await server.drain(grace)
        beating.cancel()
        pages.upstream.close()
        await pool.close()
        self._note()
        await self._recorder.close()
        self._count()
        self.channel.flush()

    # What the first process says.

    def _heed(self, about: str, *what: Any) -> None:
        pool = self._pool
        assert pool is not None
        match about:
            case "lease":
                pool.lend(*what)
            case "no":
                pool.refuse(*what)
            case "recall":
                pool.recall(*what)
            case "state":
                pool.know(*what)
            case "life":
                pool.begin(*what)
            case "over":
                pool.over(*what)
            case "admitted":
                self._door.admitted(*what)
            case "drain":
                self._grace_seconds = what[0]
                self.end.set()
            case _:
                self._learn(about, *what)

    def _learn(self, about: str, *what: Any) -> None:
        match about:
            case "loads":
                for name in self._front.pool.models:
                    self._front.metrics.load(name).elsewhere = what[0].get(name, 0)
            case "files":
                self._recorder.know_files(*what)
            case "listens":
                self._listen(is_heard=what[0])
            case "warm":
                self._front.chooser.keep_warm(*what)
            case "settings":
                self._take_anew(*what)
            case "remembered":
                self.channel.send("done", what[1], self._front.feedback.remembered(what[0]))
            case "count":
                self._count()
                self.channel.send("done", what[0])

    def _take_anew(self, settings: Settings, models: Sequence[Model], number: int) -> None:
        front, pool = self._front, self._pool
        assert pool is not None
        try:
            front.guard.configure(settings)
        except WeighbridgeError:
            _LOG.exception("the keys stay as they were")
        front.settings = settings
        pool.take_anew(models, settings, _care(settings))
        take_anew(front, self._server, self._place)
        self.channel.send("done", number)

    def _listen(self, *, is_heard: bool) -> None:
        """Tell each request while somebody looks at the page; first the last ones."""
        listeners = self._recorder.listeners
        if is_heard and self._tell_served not in listeners:
            for served in tuple(self._recorder.recent):
                self._tell_served(served)
            listeners.append(self._tell_served)
        elif not is_heard and self._tell_served in listeners:
            listeners.remove(self._tell_served)

    def _tell_served(self, served: Served) -> None:
        self.channel.send("served", served._replace(prompt=None, answer=None))

    # What it says of itself.

    async def _beat(self) -> None:
        assert self._pool is not None
        for beat in itertools.count(1):
            await asyncio.sleep(BEAT_SECONDS)
            self._pool.beat()
            self._count()
            if beat % int(_NOTE_SECONDS / BEAT_SECONDS) == 0:
                self._note()

    def _count(self) -> None:
        """Tell what was counted since the last time, if anything was."""
        assert self._pool is not None
        tallies = self._recorder.tallies
        news = {name: count - self._counted.get(name, 0) for name, count in tallies.items()}
        self._counted = tallies
        told = {
            "counted": self._front.metrics.take(),
            "tallies": {name: count for name, count in news.items() if count},
            "in_flight": self._front.metrics.in_flight,
            "serving": self._pool.serving,
        }
        if told != self._told or told["counted"] or told["tallies"]:
            self._told = told
            self.channel.send("counts", told)

    def _note(self) -> None:
        """Tell when keys were used."""
        used = self._front.guard.used_since(self._sent_uses_at)
        if used:
            self._sent_uses_at = max(used.values())
            self.channel.send("uses", used)


def _care(settings: Settings) -> Care:
    return Care(settings.health_interval_seconds, settings.read_timeout_seconds, settings.memory_margin_bytes)


def _nobody(line: str) -> None:
    """What an operator should know, the first process has told."""


async def _no_application(*_: Any) -> None:
    raise AssertionError("every path has its work here")


async def _work(control: socket.socket, listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    worker = Worker(listener)
    # One that is told to end by itself does so in order, and is started anew.
    loop.add_signal_handler(signal.SIGTERM, worker.end.set)
    await loop.create_unix_connection(lambda: worker.channel, sock=control)
    await worker.serve()


def main() -> None:
    """The process."""
    # The terminal's signals go to all; what follows from them, the first process says.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    control, listener = (socket.socket(fileno=int(given)) for given in sys.argv[1:3])
    for each in (control, listener):
        each.setblocking(False)
        os.set_inheritable(each.fileno(), False)
    with contextlib.suppress(KeyboardInterrupt):
        run_loop(_work(control, listener))


if __name__ == "__main__":
    main()
