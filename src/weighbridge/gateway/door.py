"""The door: takes a request, has it routed, sends it to the engine, and passes the answer through as it comes."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hmac
import ipaddress
import json
import logging
import time
import uuid
from collections.abc import Sequence
from urllib.parse import urlsplit

import aiohttp
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from weighbridge.openai_api import AUTO, ApiError, Request, SseTail, parse_request, usage_of
from weighbridge.openai_api.errors import from_engine
from weighbridge.routing import Candidate, Route, route

from .metrics import Metrics
from .pool import Lease, Pool
from .teaching import Teacher, measured, stated
from .upstream import Upstream

_LOG = logging.getLogger("weighbridge")
_MOST_ERROR_BYTES = 1 << 20
# An engine that was told to send no compressed answer may have one all the same.
_PASSED_BACK = ("content-length", "content-encoding")
# What a connection fails with when this process or the system has no room for it: no fault of the engine's.
_OURS_TO_MEND = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN})
_TRANSPORT_ERRORS = (aiohttp.ClientError, TimeoutError, ConnectionError, OSError)


class ClientLeft(Exception):
    """The client closed its connection before the answer was complete."""


class _EngineGone(Exception):
    """The engine ended, or was never there, before anything of its answer had come."""

    def __init__(self, cause: Exception, why: str = "") -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.why = why


class AnswerCut(Exception):
    """The engine ended in the midst of a plain answer: without its last bytes the client sees a cut, not an end."""


class Answer:
    """The answer to one request: begun at most once, ended exactly once."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self.request_id = request_id
        self.status: int | None = None

    async def begin(self, status: int, headers: Sequence[tuple[str, str]]) -> None:
        """Send status and headers."""
        self.status = status
        raw = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers]
        raw.append((b"x-request-id", self.request_id.encode()))
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def body(self, chunk: bytes, *, more: bool = True) -> None:
        """Send a piece of the body."""
        await self._send({"type": "http.response.body", "body": chunk, "more_body": more})

    async def error(self, error: ApiError, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Send a whole error."""
        extra = [("retry-after", str(error.retry_after_seconds))] if error.retry_after_seconds else []
        if error.status == 413:
            # The rest of the body is on its way: it is not read, so the connection can't be used again.
            extra.append(("connection", "close"))
        await self.begin(error.status, [("content-type", "application/json"), *headers, *extra])
        await self.body(error.body(), more=False)


def check_caller(headers: Headers, api_key: str) -> None:
    """ApiError 401 unless the bearer token is the gateway's key, compared in constant time.

    Without a key only this machine is served, and then ApiError 403 keeps out pages in a browser: those of other
    origins, and those that reach us by a name of their own that they made point here (DNS rebinding).
    """
    if api_key:
        kind, _, given = headers.get("authorization", "").partition(" ")
        # Headers are read as Latin-1; a key of other letters comes as its UTF-8 bytes.
        same = hmac.compare_digest(given.strip().encode("latin-1", "replace"), api_key.encode())
        if kind.lower() != "bearer" or not same:
            raise ApiError(
                401,
                "Incorrect API key provided." if given else "No API key provided: send it as a bearer token.",
                kind="authentication_error",
                code="invalid_api_key",
            )
        return
    for header in ("host", "origin"):
        named = headers.get(header)
        if named and not _is_here(named):
            raise ApiError(
                403,
                f"The {header} {named[:100]!r} is not this machine, and the gateway has no API key.",
                kind="permission_error",
                code="foreign_caller",
            )


def _is_here(named: str) -> bool:
    """Whether a Host or Origin header names this machine."""
    try:
        host = urlsplit(named if "//" in named else f"//{named}").hostname or ""
    except ValueError:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Door:
    """An ASGI application for the paths that go to engines."""

    def __init__(
        self, pool: Pool[Upstream], metrics: Metrics, teacher: Teacher, api_key: str, max_body_bytes: int
    ) -> None:
        self.pool = pool
        self.metrics = metrics
        self.teacher = teacher
        self.api_key = api_key
        self.max_body_bytes = max_body_bytes
        self.candidates = {model.name: Candidate(model.name, model.card) for model in pool.models.values()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        answer = Answer(send, f"req_{uuid.uuid4().hex}")
        model = "none"
        self.metrics.in_flight.inc()
        try:
            check_caller(Headers(scope=scope), self.api_key)
            request = parse_request(scope["path"], await self._read(Headers(scope=scope), receive))
            chosen = route(request, self._able(request))
            model = chosen.model
            self.metrics.routed.labels(model, AUTO if request.model == AUTO else "name").inc()
            await self._answer_unless_left(request, chosen, answer, receive)
        except ClientLeft:
            self.metrics.cancelled.labels(model).inc()
            return
        except AnswerCut:
            # uvicorn closes the connection of an answer that was not completed.
            return
        except ApiError as error:
            await answer.error(error)
        except Exception:
            _LOG.exception("a fault of the gateway at request %s", answer.request_id)
            raise
        finally:
            self.metrics.in_flight.dec()
            if answer.status is not None:
                self.metrics.requests.labels(model, scope["path"], answer.status).inc()

    def _able(self, request: Request) -> list[Candidate]:
        """Who may be chosen: for `auto` those that are not out of order and can do what is asked, if there are any."""
        everyone = list(self.candidates.values())
        if request.model != AUTO:
            return everyone
        able = [self.candidates[name] for name in self.candidates if self.pool.can_serve(name, request.path)]
        return able or everyone

    async def _read(self, headers: Headers, receive: Receive) -> bytes:
        declared = headers.get("content-length", "0")
        if declared.isdecimal() and declared.isascii() and int(declared) > self.max_body_bytes:
            raise self._too_large(int(declared))
        parts: list[bytes] = []
        size = 0
        while True:
            message: Message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self.max_body_bytes:
                raise self._too_large(size)
            if not message.get("more_body", False):
                return b"".join(parts)

    def _too_large(self, size: int) -> ApiError:
        return ApiError(
            413,
            f"the body has {size:,} bytes or more, at most {self.max_body_bytes:,} are taken",
            code="body_too_large",
        )

    async def _answer_unless_left(self, request: Request, chosen: Route, answer: Answer, receive: Receive) -> None:
        """Answer, and stop at once when the client leaves, whatever is being waited for then."""
        work = asyncio.create_task(self._answer(request, chosen, answer))
        watch = asyncio.create_task(_until_left(receive))
        try:
            done, _ = await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
            if work not in done:
                raise ClientLeft
            await work
        finally:
            for task in (work, watch):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await task

    async def _answer(self, request: Request, chosen: Route, answer: Answer) -> None:
        started = time.monotonic()
        try:
            try:
                await self._answer_by_lease(request, chosen, answer, started)
            except _EngineGone:
                # Nothing was answered yet: an engine that has just ended is started again, once, and asked again.
                await self._answer_by_lease(request, chosen, answer, started)
        except _EngineGone as gone:
            await self._broken(gone.cause, gone.why, chosen, answer, SseTail(), is_stream=False)
        finally:
            self.metrics.seconds.labels(chosen.model).observe(time.monotonic() - started)

    async def _answer_by_lease(self, request: Request, chosen: Route, answer: Answer, started: float) -> None:
        async with self.pool.lease(chosen.model, started) as lease:
            try:
                await self._pass_through(request, chosen, answer, lease, started)
            except aiohttp.ClientConnectorError as error:
                if error.errno in _OURS_TO_MEND:
                    raise _overloaded(error) from error
                self.pool.report_dead(chosen.model, lease.upstream)
                raise _EngineGone(error) from error

    async def _pass_through(
        self, request: Request, chosen: Route, answer: Answer, lease: Lease[Upstream], started: float
    ) -> None:
        upstream = lease.upstream
        headers = {"content-type": "application/json"}
        tail = SseTail()
        begun, first, beside = time.monotonic(), 0.0, lease.life.health.serving
        named = [("x-weighbridge-model", chosen.model), ("x-weighbridge-reason", _header_text(chosen.reason))]
        is_stream = False
        try:
            async with upstream.post(request.path, _renamed(request, upstream.endpoint.model), headers) as reply:
                if reply.status >= 400:
                    if reply.status < 500:
                        lease.hear()
                    await self._pass_error(reply, request, answer, named)
                    return
                kind = reply.headers.get("content-type", "application/json")
                is_stream = kind.startswith("text/event-stream")
                length = [(name, reply.headers[name]) for name in _PASSED_BACK if name in reply.headers]
                await answer.begin(reply.status, [("content-type", kind), *length, *named])
                async for chunk in reply.content.iter_any():
                    if not tail.size:
                        first = time.monotonic()
                        self.metrics.first_byte.labels(chosen.model).observe(first - started)
                    tail.add(chunk)
                    lease.hear(chunk.count(b"data: ") if is_stream else 0)
                    await answer.body(chunk)
                if is_stream and not tail.is_done:
                    raise aiohttp.ClientPayloadError("the stream ended without its last event")
                last = time.monotonic()
                await answer.body(b"", more=False)
                self._teach(lease, tail, beside, (first - begun, last - begun) if is_stream else None)
        except aiohttp.ClientConnectorError:
            raise
        except _TRANSPORT_ERRORS as error:
            lease.doubt()
            why = "" if isinstance(error, TimeoutError) else await lease.why()
            if answer.status is None and lease.life.over.is_set() and not isinstance(error, TimeoutError):
                raise _EngineGone(error, why) from error
            await self._broken(error, why, chosen, answer, tail, is_stream=is_stream)
        finally:
            usage = usage_of(tail.tail)
            if not is_stream and lease.served:
                lease.hear(usage.get("completion", 0))
            for token_kind, count in usage.items():
                self.metrics.tokens.labels(chosen.model, token_kind).inc(count)

    def _teach(self, lease: Lease[Upstream], tail: SseTail, beside: int, seconds: tuple[float, float] | None) -> None:
        """Let a whole answer of an engine here teach how fast it is: by its own clock, else of a stream by ours."""
        # Of one that others joined or left, nobody knows how many shared the engine.
        if lease.life.running.pid is None or lease.life.health.serving != beside:
            return
        timing = stated(tail.tail) or (measured(tail.tail, usage_of(tail.tail), *seconds) if seconds else None)
        if timing is not None:
            self.teacher.heard(lease.life.model, timing, beside)

    async def _pass_error(
        self, reply: aiohttp.ClientResponse, request: Request, answer: Answer, named: list[tuple[str, str]]
    ) -> None:
        raw = b""
        async for chunk in reply.content.iter_any():
            raw += chunk
            if len(raw) > _MOST_ERROR_BYTES:
                break
        kept = [(name, reply.headers[name]) for name in ("retry-after",) if name in reply.headers]
        error = from_engine(reply.status, raw, request.path)
        if error:
            await answer.error(error, [*named, *kept])
            return
        kind = reply.headers.get("content-type", "application/json")
        source = ("x-weighbridge-error-source", "engine")
        await answer.begin(reply.status, [("content-type", kind), *named, *kept, source])
        await answer.body(raw, more=False)

    async def _broken(
        self, cause: BaseException, why: str, chosen: Route, answer: Answer, tail: SseTail, *, is_stream: bool
    ) -> None:
        """The engine's connection broke: an error while nothing was sent, an error event in a stream, else a cut; with
        how it ended (`why`), where that is known."""
        silent = isinstance(cause, TimeoutError)
        what = "has been silent for too long" if silent else "ended while it answered"
        what += f": {why}" if why else ""
        if isinstance(cause, aiohttp.ClientConnectorError):
            what = "takes no connection"
        error = ApiError(
            504 if silent else 502,
            "the gateway is closing" if self.pool.is_closing else f"the engine of {chosen.model} {what}",
            kind="server_error",
            code="engine_timeout" if silent else "engine_died",
            source="gateway" if self.pool.is_closing else "engine",
        )
        if answer.status is None:
            raise error from cause
        if not is_stream:
            raise AnswerCut from cause
        await answer.body((b"" if tail.is_whole else b"\n\n") + error.event(), more=False)


def _overloaded(error: OSError) -> ApiError:
    return ApiError(
        503,
        f"the gateway can open no more connections: {error.strerror or error}",
        kind="server_error",
        code="gateway_overloaded",
        retry_after_seconds=1,
    )


async def _until_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _renamed(request: Request, name: str | None) -> bytes:
    """The body as the client sent it, but for the model's name where the engine knows another."""
    if name is None or name == request.model:
        return request.body
    return json.dumps({**json.loads(request.body), "model": name}).encode()


def _header_text(reason: str) -> str:
    """A reason as a header may carry it: one line of visible ASCII."""
    return reason.encode("ascii", "replace").decode().replace("\r", " ").replace("\n", " ")[:500]
