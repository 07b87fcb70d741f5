"""The door: takes a request, has it routed, sends it to the engine, and passes the answer through as it comes."""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import unquote_to_bytes

from weighbridge.ledger import Served, served_of
from weighbridge.openai_api import AUTO, ApiError, Request, check_messages, gateway_fault, is_done, prompt_of
from weighbridge.openai_api.errors import from_engine, said_by_engine, too_long
from weighbridge.routing import Route

from . import wire
from .adapted import Adapted
from .adapting import Adapting, Prepared
from .cascading import Answering, Cascade
from .choosing import Chooser
from .fallbacks import Fallbacks, Resort
from .feedback import Feedback
from .gathering import Gathering, Together
from .guard import Caller, Guard, Spending, check_model
from .metrics import Metrics
from .pool import Lease, Pool
from .rates import RATE_LINES
from .recording import Recorder
from .teaching import Teacher, counted, measured, stated
from .tokens import Tokens
from .upstream import Upstream
from .wire import AnswerHead, Body, Failure, Folding, Form, Outcome, Relay, Response, usage_of

_LOG = logging.getLogger("weighbridge")
PATHS = frozenset(
    b"/v1/chat/completions /v1/completions /v1/embeddings /v1/responses /v1/rerank /v1/messages "
    b"/v1/messages/count_tokens /v1/audio/transcriptions /tokenize /detokenize".split()
)
"""What goes to engines, each as it came; one that does not have it says so itself."""
FORMS = frozenset({b"/v1/audio/transcriptions"})
"""Of these, those whose body is a form."""
_ANTHROPIC = frozenset({b"/v1/messages", b"/v1/messages/count_tokens"})
# The last event of a response holds all of it, and so may be longer than what is kept of a stream's end.
_LONG_LAST_EVENT = b"/v1/responses"
_MARK_BYTES = 64
# Of a line that begins "data:", so that none is missed where a stream is cut, and none counted twice.
_FIELD_BYTES = 5
_WHAT_HAPPENED = {
    "unreachable": "takes no connection",
    "garbage": "does not answer in HTTP",
    "timeout": "has been silent for too long",
}
_TAIL_BYTES = 4096
# A longer body is looked through as it comes.
_FOLDED_BYTES = 128 << 10
_NOTHING: frozenset[bytes] = frozenset()
_UNSEEN = bytes([*range(32), *range(127, 256)])
_VISIBLE = bytes.maketrans(_UNSEEN, b"?" * len(_UNSEEN))


Decided = tuple[bytes, Caller, Route]
"""A body, who sent it, and who shall answer."""


class Door:
    """Answers the paths that go to engines; all others are the ASGI application's."""

    def __init__(
        self,
        pool: Pool[Upstream],
        metrics: Metrics,
        teacher: Teacher,
        chooser: Chooser,
        recorder: Recorder,
        feedback: Feedback,
        guard: Guard,
        fallbacks: Fallbacks,
    ) -> None:
        self.pool = pool
        self.recorder = recorder
        self.feedback = feedback
        self.metrics = metrics
        self.teacher = teacher
        self.chooser = chooser
        self.guard = guard
        self.adapt_anew()
        self.fallbacks = fallbacks
        self.tokens = Tokens()
        self.decided: Decided | None = None
        """What was decided already of the request that comes next."""
        self.tasks: set[asyncio.Task[None]] = set()
        # Unlike in all runs of all gateways, at the price of counting.
        self.run = f"req_{uuid.uuid4().hex[:20]}"
        """What the names of all requests begin with."""
        self.numbers = itertools.count()

    def route(self, request: wire.Request) -> wire.Work | None:
        """Who answers a request, by its head. ApiError where the caller may not ask."""
        path = request.path
        if path not in PATHS:
            if b"%" not in path or unquote_to_bytes(path) not in PATHS:
                return None
            path = request.path = unquote_to_bytes(path)
        request.caller = self.guard.caller(request.values)
        if (request.length > _FOLDED_BYTES or request.is_chunked) and path not in FORMS:
            request.folding = Folding()
        if request.method != b"POST":
            raise ApiError(405, f"{request.method.decode()} is not taken at {path.decode()}", code="method_not_allowed")
        return self.answer

    def refused(self, request: wire.Request | None, error: ApiError) -> bytes:
        """Count a request that got no further than this door, and name it."""
        path = b"" if request is None else request.path
        name = self.name() if request is None else self.name_of(request)
        named = self.named(path, error, name)
        if path in PATHS:
            self.metrics.count_refused(path.decode(), error.status)
            self.recorder.refused(name, path.decode(), error, request)
        if error.status == 405:
            named += b"allow: POST\r\n"
        if request is not None and request.spending is not None:
            request.spending.drop()
            named += request.spending.lines()
        return named

    def left(self, request: wire.Request) -> None:
        """Put down that the client of a request has left while nobody was asked."""
        self.recorder.left(self.name_of(request), request)
        if request.spending is not None:
            request.spending.drop()

    def name(self) -> str:
        """A name for a request, as no other has it."""
        return f"{self.run}{next(self.numbers):012x}"

    def name_of(self, request: wire.Request) -> str:
        """The name of a request, under which its client gets an answer, whoever gives that in the end."""
        if request.name is None:
            request.name = self.name()
        return request.name

    def named(self, path: bytes, error: ApiError | None = None, name: str | None = None) -> bytes:
        """The line that names a request, as the API of the path has it; an error is put into that API's words."""
        shown = (self.name() if name is None else name).encode()
        if path not in _ANTHROPIC:
            return b"x-request-id: %b\r\n" % shown
        if error is not None:
            error.dialect, error.request_id = "anthropic", shown.decode()
        return b"x-request-id: %b\r\nrequest-id: %b\r\n" % (shown, shown)

    def answer(self, request: wire.Request, response: Response) -> None:
        """One request whose body is here. ApiError where nobody can be asked."""
        path = request.path
        is_form = path in FORMS
        body = Form(request.values.get(b"content-type", b""), request.body) if is_form else Body.of(request)
        model = request.asked = AUTO if body.model is None else body.model
        is_named = model in self.pool.models
        fields = self._checked(path.decode(), model, body, is_named=is_named)
        caller = request.caller
        check_model(caller, model, self.pool.models)
        if caller.is_limited:
            self.guard.admit(request, body)
        chosen = self.chooser.by_name(model) if is_named else self._chosen(path.decode(), model, body, fields, caller)
        if not is_form:
            # What a client calls its JSON is not passed on: an engine may take `curl -d` for a form, and refuse it.
            request.replace_header(b"content-type", b"application/json")
        if chosen.escalation is not None and isinstance(body, Body):
            Cascade(self, request, response, body, chosen).start()
        else:
            self.begin(request, response, body, chosen)

    def choose(self, path: str, body: Body, caller: Caller) -> Route:
        """Who answers a request that names no model, and why. ApiError where it or its caller may not ask."""
        model = AUTO if body.model is None else body.model
        fields = self._checked(path, model, body, is_named=False)
        check_model(caller, model, self.pool.models)
        return self._chosen(path, model, body, fields, caller)

    def _chosen(
        self, path: str, model: str, body: Body | Form, fields: Mapping[str, object] | None, caller: Caller
    ) -> Route:
        decided, self.decided = self.decided, None
        if decided is not None and decided[0] == body.bytes and decided[1] is caller:
            return decided[2]
        prompt = prompt_of(fields) if fields is not None and len(self.pool.models) > 1 else ""
        return self.chooser.choose(Request(path, model, body.stream, prompt, body.bytes), fields, caller.allowed)

    def begin(self, request: wire.Request, response: Response, body: Body | Form, chosen: Route) -> Answering:
        """Have the chosen model answer, or whoever its plan names when it fails."""
        plan = self.fallbacks.plans.get(chosen.model)
        if plan is None:
            return self.begin_one(request, response, body, chosen)
        return Resort(self, request, response, body, chosen, plan).start()

    def begin_one(self, request: wire.Request, response: Response, body: Body | Form, chosen: Route) -> Answering:
        """Have the chosen model answer."""
        self.metrics.of(chosen.model, chosen.layer).routed.inc()
        prepared = self.adapting.prepare(chosen.model, request.path, body) if isinstance(body, Body) else None
        if prepared is not None:
            return self._begin_adapted(request, response, prepared, chosen)
        answer = _Answer(self, request, response, body, chosen)
        answer.start_asking()
        return answer

    def _begin_adapted(self, request: wire.Request, response: Response, prepared: Prepared, chosen: Route) -> Answering:
        """Have a request answered that its engine would not understand, or not heed, as it came."""
        count = len(prepared.bodies)
        if count == 1:
            answer = _Answer(self, request, response, prepared.bodies[0], chosen)
            answer.adapt(prepared, prepared.bodies[0])
            answer.start_asking(prepared)
            return answer
        gathering, together = Gathering(response, prepared), Together(count, prepared.choices)
        for share, body in zip(gathering.shares, prepared.bodies, strict=True):
            answer = _Answer(self, request, share, body, chosen)
            answer.adapt(prepared, body)
            answer.join(together, share.place)
            gathering.answers.append(answer)
        for each in tuple(gathering.answers):
            if response.is_over:
                break  # one that failed at once has ended all
            try:
                each.start_asking(prepared)
            except BaseException:
                for other in gathering.answers:
                    if other is not each:
                        other.abandon()
                raise
        return gathering

    def go_on(
        self,
        request: wire.Request,
        response: Response,
        body: Body,
        chosen: Route,
        lease: Lease[Upstream],
        asked_at: float,
        line: wire.Line,
        sent: bytes,
    ) -> None:
        """Answer a request that was plain until now (`Plain`), and was sent to its engine already."""
        _Answer(self, request, response, body, chosen).go_on(lease, asked_at, line, sent)

    def lines_of(self, chosen: Route) -> bytes:
        """Who answers and why, as lines of an answer's head."""
        return _named(chosen.model, chosen.reason, chosen.layer)

    def adapt_anew(self) -> None:
        """Know nothing of what the models' engines understand: they may be others now."""
        self.adapting = Adapting(self.pool.models, self.context_of)

    def context_of(self, name: str) -> int | None:
        """Tokens that one request to a model may have, as planned or as its engine says; None: nobody knows."""
        model = self.pool.models[name]
        if model.plan is not None:
            return model.plan.context_tokens
        life = self.pool.lives.get(name)
        if life is not None:
            return life.running.endpoint.context_tokens
        told = model.options.get("context_tokens", "")
        return int(told) if told.isdecimal() else None

    def _checked(self, path: str, model: str, body: Body | Form, *, is_named: bool) -> Mapping[str, object] | None:
        """The body's fields where routing looks into them: a body for a model that was named is not taken apart, unless
        it is short and must be looked at. ApiError 400 where it asks for nothing."""
        if not model:
            raise ApiError(400, 'model is "", expected a name', param="model")
        if isinstance(body, Form) or (is_named and (body.has_messages or body.is_large)):
            return None
        check_messages(path, body.fields)
        return body.fields


class _Answer(Relay):
    """One request's way: waiting for its model, asked, answered, and asked once more if its engine died before that."""

    __slots__ = (
        "_asked_at",
        "_begun_at",
        "_beside",
        "_body",
        "_counts",
        "_door",
        "_end",
        "_error",
        "_events",
        "_first_at",
        "_gap",
        "_has_ended",
        "_heard_at",
        "_is_stream",
        "_learns",
        "_lease",
        "_mark",
        "_model",
        "_name",
        "_parts",
        "_path",
        "_place",
        "_request",
        "_route",
        "_task",
        "_text",
        "_together",
        "_trace",
        "_tries",
        "_why",
        "hidden",
    )
    takes_errors = True

    def __init__(self, door: Door, request: wire.Request, response: Response, body: Body | Form, chosen: Route) -> None:
        super().__init__(response)
        self._model, self._route = chosen.model, chosen
        self._door = door
        self._request = request
        self._body = body
        # Where the engine is asked, and with what; as the client asked, unless it is adapted.
        self._path = request.path
        self._parts: Sequence[bytes] = body.parts
        self._together: Together | None = None
        self._place = 0
        self._learns = False
        self._lease: Lease[Upstream] | None = None
        self._task: asyncio.Task[None] | None = None
        self._tries = 0
        self._is_stream = False
        self._end = b"\n"
        self._mark: bytes | None = None
        self._has_ended = False
        self._why = ""
        self._name = door.name_of(request)
        self._error: str | None = None
        tracer = door.recorder.tracer
        self._trace = None if tracer is None else tracer.begin(request)
        self._text: list[bytes] | None = [] if door.recorder.keeps_text else None
        self._begun_at = self._first_at = self._heard_at = self._gap = 0.0
        self._beside = self._events = 0
        self._asked_at = time.monotonic()
        self._counts = door.metrics.of(self._model, chosen.layer)
        self._counts.load.in_flight += 1
        self.hidden = _NOTHING if request.spending is None else RATE_LINES
        response.writer = self

    # Asking.

    def ask(self, lease: Lease[Upstream]) -> None:
        """Send the request to an engine that has room for it."""
        self._lease = lease
        self._tries += 1
        self._begun_at, self._beside = time.monotonic(), lease.life.health.serving
        upstream = lease.upstream
        name = upstream.endpoint.model
        parts = self._parts if name is None or name == self._body.model else self._body.renamed(name)
        self.start(upstream.wire, upstream.target(self._path), parts, self._request.passed_on)

    def go_on(self, lease: Lease[Upstream], asked_at: float, line: wire.Line, sent: bytes) -> None:
        """Hear the answer to a request that was sent to an engine already."""
        self._counts.load.in_flight -= 1  # it is counted already
        self._lease, self._tries, self._beside = lease, 1, lease.life.health.serving
        self._asked_at = self._begun_at = asked_at
        upstream = lease.upstream.wire
        self.take(upstream, upstream.go_on(line, sent, self))

    def start_asking(self, prepared: Prepared | None = None) -> None:
        """Ask now if the engine has room, else wait for it; or do first what was prepared."""
        try:
            if prepared is not None and (prepared.is_count or prepared.is_checked):
                self.wait(self.count if prepared.is_count else self.ask_if_it_fits)
                return
            lease = self._door.pool.lease_now(self._model)
            if lease is not None:
                self.ask(lease)
            else:
                self.wait(self.ask_when_free)
        except BaseException:
            # What it holds must come back, whatever went wrong.
            self._give_way("error")
            raise

    async def ask_when_free(self) -> None:
        """Wait in the model's queue, and ask."""
        self.ask(await self._door.pool.obtain(self._model, self._asked_at))

    def wait(self, work: Callable[[], Awaitable[None]]) -> None:
        """Have a task do what takes time; the client's leaving ends it at once."""
        task = self._task = asyncio.get_running_loop().create_task(self._guarded(work))
        self._door.tasks.add(task)
        task.add_done_callback(self._door.tasks.discard)

    def join(self, together: Together, place: int) -> None:
        """Be one of several answers to one request."""
        self._together, self._place = together, place

    def adapt(self, prepared: Prepared, body: Body) -> None:
        """Have the engine asked in other words, and its answer put into the client's."""
        self._path, self._body, self._parts = prepared.path, body, body.parts
        if prepared.translate is not None:
            self.response = Adapted(self.response, prepared.translate(), self._error_lines)

    async def ask_if_it_fits(self) -> None:
        """Have the tokens counted, and the engine asked only if they are not too many. One that is there counts without
        that the request waits for its turn; else the model is loaded first."""
        pool, life = self._door.pool, self._door.pool.lives.get(self._model)
        if life is None:
            lease = self._lease = await pool.obtain(self._model, self._asked_at)
            life = lease.life
        upstream, context = life.connection, self._door.context_of(self._model)
        assert isinstance(upstream, Upstream)
        assert isinstance(self._body, Body)
        fields, tokens = self._body.fields, self._door.tokens
        if self._path == b"/v1/completions":
            found = await tokens.of_prompt(upstream, self._model, fields.get("prompt"))
        else:
            found = await tokens.of_chat(upstream, self._model, fields)
        if found is not None and context is not None and found > context:
            if self._lease is not None:
                self._lease.hear()
            raise too_long(context, found, self._request.path.decode(), "gateway")
        if self._lease is not None:
            self.ask(self._lease)
        else:
            await self.ask_when_free()

    async def count(self) -> None:
        """Answer with the number of the prompt's tokens."""
        lease = self._lease = self._lease or await self._door.pool.obtain(self._model, self._asked_at)
        assert isinstance(self._body, Body)
        found = await self._door.tokens.of_chat(lease.upstream, self._model, self._body.fields)
        if found is None:
            raise ApiError(
                501,
                f"the engine of {self._model} does not count tokens",
                kind="server_error",
                code="not_supported",
                source="engine",
            )
        lease.hear()
        self._learn()
        content = json.dumps({"input_tokens": found}).encode()
        self.response.send(200, b"content-type: application/json\r\n" + self.lines(), content)
        self._finish("done")

    def abandon(self, error: ApiError | None = None) -> None:
        """It will not be answered from here. `error` is what the client is told, where it is for that."""
        if error is not None:
            self._error = error.code
        self._give_way("dropped" if error is None else "error")

    def _give_way(self, outcome: Outcome) -> None:
        if self._exchange is not None:
            self._exchange.cancel()
        task = self._task
        if task is not None and task is not asyncio.current_task():
            task.cancel()
        self._finish(outcome)

    def retell(self, route: Route) -> tuple[bytes, bytes]:
        """Give another reason for the choice; the lines of a head that told it before, and those that do now."""
        before, self._route = self._route, route
        return (
            _named(self._model, before.reason, before.layer),
            _named(self._model, route.reason, route.layer),
        )

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except ApiError as error:
            self._refuse(error)
        except Exception:
            _LOG.exception("a fault of the gateway")
            self._refuse(gateway_fault())
        finally:
            self._task = None

    def _refuse(self, error: ApiError) -> None:
        self.response.error(error, self._error_lines(error))
        self._finish("error")

    def _error_lines(self, error: ApiError) -> bytes:
        request = self._request
        self._error = error.code or error.kind
        lines = _named(self._model, self._route.reason, self._route.layer)
        lines += self._door.named(request.path, error, self._name)
        return lines if request.spending is None else lines + request.spending.lines()

    # What passes.

    def lines(self, head: AnswerHead | None = None) -> bytes:
        """Who answers, why, the request's name, and what is left of its key's limits."""
        request = self._request
        lines = _named(self._model, self._route.reason, self._route.layer)
        lines += self._door.named(request.path, None, self._name)
        return lines if request.spending is None else lines + request.spending.lines()

    def head(self, head: AnswerHead, body: bytes, framed: bytes | None) -> None:
        """The answer has begun."""
        if self._learns and head.status < 400:
            self._learn()
        self._is_stream = head.is_event_stream
        self._end = b"\n"
        if self._is_stream and self._request.path == _LONG_LAST_EVENT:
            self._mark = b""
        super().head(head, body, framed)

    def piece(self, body: bytes) -> None:
        """A piece of the answer passes."""
        lease = self._lease
        assert lease is not None
        if self._is_stream:
            seen = self._end + body
            self._end = seen[-_FIELD_BYTES:]
            events = seen.count(b"\ndata:") + seen.count(b"\rdata:")
            self._events += events
            lease.hear(events)
            heard = lease.life.health.heard
            if not self._first_at:
                self._first_at = heard
            elif heard - self._heard_at > self._gap:
                self._gap = heard - self._heard_at
            self._heard_at = heard
        else:
            lease.hear()
            if not self._first_at:
                self._first_at = lease.life.health.heard
        if self._text is not None:
            self._door.recorder.keep(self._text, body)
        if self._mark is not None:
            self._has_ended = self._has_ended or is_done(self._mark + body)
            self._mark = body[-_MARK_BYTES:]

    def is_complete(self) -> bool:
        """Whether an answer that ended in order is whole: a stream has a last event, and JSON that only the end of its
        connection ends has its last bracket."""
        if self._is_stream:
            return self._has_ended or is_done(self.tail)
        answer = self.answer
        if answer is None or answer.length is not None or answer.is_chunked:
            return True
        is_json = answer.values.get(b"content-type", b"").lower().startswith(b"application/json")
        return not is_json or self.tail.rstrip().endswith((b"}", b"]"))

    def error(self, head: AnswerHead, body: bytes) -> None:
        """The engine refused: in its own words if they are OpenAI's, else put into these."""
        lease = self._lease
        if lease is not None:
            if head.status < 500:
                lease.hear()
            body = lease.upstream.without_key(body)
        path = self._request.path
        if self._path == path and self._door.adapting.may_lack(path, head.status):
            self._ask_otherwise()
            return
        again = head.values.get(b"retry-after")
        later = b"" if again is None else b"retry-after: %b\r\n" % again
        error = from_engine(head.status, body, path.decode())
        if error is None and self._path != path and path in _ANTHROPIC:
            error = said_by_engine(head.status, body)
        if error:
            self.response.error(error, self._error_lines(error) + later)
            return
        kind = head.values.get(b"content-type", b"application/json")
        source = b"content-type: %b\r\nx-weighbridge-error-source: engine\r\n" % kind
        self._error = "engine_error"
        self.response.send(head.status, self.lines() + later + source, body)

    def _ask_otherwise(self) -> None:
        """The engine does not have the path: ask it for a chat completion, and put that into the client's words."""
        lease, body = self._lease, self._body
        assert lease is not None
        assert isinstance(body, Body)
        try:
            prepared = self._door.adapting.translated(self._model, self._request.path, body)
        except ApiError as error:
            self.response.error(error, self._error_lines(error))
            return
        self.adapt(prepared, prepared.bodies[0])
        self._learns = True
        if prepared.is_count:
            self.outcome = ""
            self.wait(self.count)
        else:
            self.ask(lease)

    def _learn(self) -> None:
        if self._learns:
            self._learns = False
            self._door.adapting.learn(self._model, self._request.path)

    # What goes wrong.

    def failed(self, failure: Failure) -> None:
        """The engine failed. If it has ended, and nothing was answered yet, a new one is asked, once."""
        lease = self._lease
        assert lease is not None
        self.failure = failure
        if failure.kind == "unreachable":
            self._door.pool.report_dead(self._model, lease.upstream)
        elif failure.kind != "exhausted":
            lease.doubt()
        if failure.kind in ("timeout", "exhausted"):
            self._give_up(failure)
        else:
            self.wait(self._ask_again)

    async def _ask_again(self) -> None:
        lease, failure = self._lease, self.failure
        assert lease is not None
        assert failure is not None
        if failure.kind != "unreachable":
            self._why = await lease.why()
        if not lease.life.over.is_set() or self.response.status or self._tries > 1:
            self._give_up(failure)
            return
        self._lease = None
        self._put_down_try(lease, failure)
        self._door.pool.give_back(lease)
        await self.ask_when_free()

    def _put_down_try(self, lease: Lease[Upstream], failure: Failure) -> None:
        """A row of its own for the engine that ended; the client knows of nothing yet."""
        recorder, now = self._door.recorder, time.monotonic()
        served = self._served(self._request.path.decode(), {}, now, recorder.engine_of(lease))._replace(
            reason=f"{self._route.reason}; it ended before it answered, and was asked once more",
            outcome="failed",
            error=self._what_failed(failure).code,
            first_us=None,
        )
        recorder.answered(served, lease, (), None, None)
        self._begun_at = self._first_at = self._heard_at = self._gap = 0.0
        self._events = 0

    def _give_up(self, failure: Failure) -> None:
        if self.response.status:
            super().failed(failure)
            return
        error = self.failure_error(failure)
        self.response.error(error, self._error_lines(error))
        self._finish("failed")

    def failure_error(self, failure: Failure) -> ApiError:
        """What the client is told: as a whole answer, or as the last event of a stream."""
        error = self._what_failed(failure)
        if self._request.path in _ANTHROPIC:
            error.dialect = "anthropic"
            error.request_id = self._name
        self._error = error.code
        return error

    def _what_failed(self, failure: Failure) -> ApiError:
        if failure.kind == "exhausted":
            return ApiError(
                503,
                f"the gateway can open no more connections: {failure.detail}",
                kind="server_error",
                code="gateway_overloaded",
                retry_after_seconds=1,
            )
        is_closing, is_silent = self._door.pool.is_closing, failure.kind == "timeout"
        what = _WHAT_HAPPENED.get(failure.kind, "ended while it answered")
        what += f": {self._why}" if self._why else ""
        return ApiError(
            504 if is_silent else 502,
            "the gateway is closing" if is_closing else f"the engine of {self._model} {what}",
            kind="server_error",
            code="engine_timeout" if is_silent else "engine_died",
            source="gateway" if is_closing else "engine",
        )

    def done(self) -> None:
        """It is over, however: the engine is free for the next request, and all is counted."""
        counts, lease, status = self._counts, self._lease, self.response.status
        if self.outcome == "gone":
            counts.cancelled.inc()
            if self._task is not None:
                self._task.cancel()
        tail = self.tail[-_TAIL_BYTES:]
        usage = usage_of(tail) or counted(tail)
        if type(self.response) is Adapted:
            self.response.release()
        # What the request used, once all that was asked for it is over.
        in_all = usage if self._together is None else self._together.add(usage, self._place)
        if self._request.spending is not None and in_all is not None:
            self._charge(self._request.spending, in_all)
        if self.outcome == "done" and lease is not None:
            self._teach(lease, tail, usage)
        for kind, count in (in_all or {}).items():
            counts.tokens[kind].inc(count)
        if lease is not None:
            self._lease = None
            if not self._is_stream and lease.served and "completion" in usage:
                lease.count(usage["completion"])
            self._door.pool.give_back(lease)
        counts.load.in_flight -= 1
        now = time.monotonic()
        path = self._request.path.decode()
        self._observe(usage.get("completion"), now)
        if in_all is None:
            return  # others of the same request are not over yet
        if status:
            counts.count(path, status)
            self._remember()
        elif self.outcome == "error" and not self._tries and self._error is None:
            return  # refused, which is told elsewhere
        recorder = self._door.recorder
        served = self._served(path, in_all, now, recorder.engine_of(lease))
        recorder.answered(served, lease, self._request.parts, self._text, self._trace)

    def _charge(self, spending: Spending, usage: Mapping[str, int]) -> None:
        """Charge the key; what a cascade held back is charged with the answer that follows."""
        status = self.response.status
        if status or self.outcome == "gone":
            spending.settle(usage, status, self._events, len(self._body.bytes))
        elif self.outcome == "done":
            spending.hold(usage, self._events, len(self._body.bytes))

    def _observe(self, tokens: int | None, now: float) -> None:
        """Count how long it took."""
        counts, asked = self._counts, self._asked_at
        counts.seconds.observe(now - asked)
        if self._begun_at:
            counts.queue.observe(self._begun_at - asked)
        if self._is_stream and self._first_at:
            counts.first_token.observe(self._first_at - asked)
            pauses = (tokens or self._events) - 1
            if pauses > 0:
                counts.between.observe((self._heard_at - self._first_at) / pauses, pauses)
                counts.gap.observe(self._gap)

    def _remember(self) -> None:
        """Let it be told later what somebody thought of the answer."""
        if self.response.status == 200:
            request, chosen = self._request, self._route
            self._door.feedback.remember(
                self._name, request.path, self._body, chosen.model, chosen.category, request.caller
            )

    def _served(self, path: str, usage: Mapping[str, int], now: float, engine: str | None) -> Served:
        """What the ledger is told of it."""
        asked, chosen, status, name = self._asked_at, self._route, self.response.status, self._name
        if not status and self.outcome != "gone":
            # The client does not get it: what it gets has the request's own name.
            self._request.unseen += 1
            name = f"{name}_{self._request.unseen}"
        return served_of((
            time.time(),
            name,
            path,
            self._body.model,
            chosen.model,
            chosen.layer,
            chosen.reason,
            engine,
            self._request.caller.name,
            status or None,
            self.outcome,
            self._error,
            self._is_stream,
            usage.get("prompt"),
            usage.get("completion"),
            usage.get("cached"),
            int((self._begun_at - asked) * 1e6) if self._begun_at else None,
            int((self._first_at - asked) * 1e6) if self._first_at else None,
            int((now - asked) * 1e6),
            None,
            None,
        ))  # fmt: skip

    def _teach(self, lease: Lease[Upstream], tail: bytes, usage: Mapping[str, int]) -> None:
        """Let a whole answer of an engine here teach how fast it is: by its own clock, else of a stream by ours."""
        # Of one that others joined or left, nobody knows how many shared the engine.
        if lease.life.health.serving != self._beside or lease.life.lent:
            return
        timing = stated(tail)
        if timing is None and self._is_stream:
            first, last = self._first_at - self._begun_at, time.monotonic() - self._begun_at
            timing = measured(tail, usage, first, last)
        if timing is None:
            return
        self._door.chooser.heard(self._model, timing.generated_tokens, timing.decode_seconds)
        if lease.life.running.pid is not None:
            self._door.teacher.heard(lease.life.model, timing, self._beside)


@functools.lru_cache(maxsize=256)
def _named(model: str, reason: str, layer: str) -> bytes:
    """Who answers and why, as lines of a head."""
    return b"x-weighbridge-model: %b\r\nx-weighbridge-reason: %b\r\nx-weighbridge-layer: %b\r\n" % (
        _header_text(model),
        _header_text(reason),
        layer.encode(),
    )


def _header_text(text: str) -> bytes:
    """A text as a header may carry it: one line of visible ASCII."""
    return text.encode("ascii", "replace").replace(b"\r", b" ").replace(b"\n", b" ").translate(_VISIBLE)[:500]
