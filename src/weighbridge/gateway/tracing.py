"""Traces for OpenTelemetry, by its conventions for generative AI: two spans a request, sent in batches by a thread.

The gateway's span (kind server) covers the request, and its child (kind client) the engine's answer; what lies between
their starts is the queue. The engine is told the child's context by `traceparent`, and so can go on with the trace.
"""

from __future__ import annotations

import logging
import random
import re
import threading
from collections import deque
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from weighbridge import __version__
from weighbridge.errors import BadSetting
from weighbridge.ledger import Served

from .wire import Request

_LOG = logging.getLogger("weighbridge")
_MOST_WAITING = 4096
_BATCH = 512
_SEND_SECONDS = 1.0
_TIMEOUT_SECONDS = 5.0
_LAST_SECONDS = 2.0
_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/messages": "chat",
    "/v1/responses": "chat",
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
}


class Trace(NamedTuple):
    """The numbers of one request's spans."""

    trace: int
    parent: int | None
    """The client's span, where it told one."""
    server: int
    client: int


class Tracer:
    """Makes spans and sends them to a collector, over OTLP and HTTP with protobuf. Never waits for it: what can't be
    sent as fast as it comes is dropped, and counted. BadSetting for an address that cannot be, or without the extra."""

    def __init__(self, endpoint: str) -> None:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadSetting(f"otel_endpoint is {endpoint!r}, expected a URL", hint="e.g. http://localhost:4318")
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        except ImportError as error:
            raise BadSetting(
                "otel_endpoint is set, and what sends traces is not installed", hint="pip install 'weighbridge[otel]'"
            ) from error
        url = endpoint if parts.path.strip("/") else f"{parts.scheme}://{parts.netloc}/v1/traces"
        self.dropped = 0
        self._exporter = OTLPSpanExporter(endpoint=url, timeout=_TIMEOUT_SECONDS)
        self._spans = _Spans()
        self._waiting: deque[tuple[Trace, Served, str | None]] = deque()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._work, name="traces", daemon=True)
        self._thread.start()

    def begin(self, request: Request) -> Trace | None:
        """A request has come: its headers get the context that goes on to the engine. None where the client does not
        want it traced."""
        told = request.values.get(b"traceparent")
        found = None if told is None else _TRACEPARENT.fullmatch(told)
        # Version ff is forbidden, all zeros are no number, and version 00 has no more fields.
        if found is None or found[1] == b"ff" or (found[1] == b"00" and found[5]):
            trace, parent = random.getrandbits(128) or 1, None
        else:
            if not int(found[4], 16) & 1:
                return None
            trace, parent = int(found[2], 16), int(found[3], 16)
            if not trace or not parent:
                trace, parent = random.getrandbits(128) or 1, None
        made = Trace(trace, parent, random.getrandbits(64) or 1, random.getrandbits(64) or 1)
        if parent is None:
            request.values.pop(b"tracestate", None)
        request.replace_header(b"traceparent", b"00-%032x-%016x-01" % (trace, made.client))
        return made

    def end(self, trace: Trace, served: Served, engine: str | None) -> None:
        """It is over; `engine` is the name of the one that was asked, if one was."""
        if len(self._waiting) >= _MOST_WAITING:
            self.dropped += 1
            return
        self._waiting.append((trace, served, engine))

    def close(self) -> None:
        """Send what waits, for two seconds at most."""
        self._ends.set()
        self._thread.join(_LAST_SECONDS)
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _work(self) -> None:
        while not self._ends.wait(_SEND_SECONDS):
            self._send()
        self._send()

    def _send(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            spans = [span for each in batch for span in self._spans.of(*each)]
            try:
                is_sent = self._exporter.export(spans).value == 0
            except Exception as error:
                _LOG.warning("traces could not be sent: %s", error)
                is_sent = False
            if not is_sent:
                self.dropped += len(batch)
                return


class _Spans:
    """Makes the library's spans of what the ledger is told too."""

    def __init__(self) -> None:
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self._api = trace
        self._span = ReadableSpan
        self._resource = Resource.create({"service.name": "weighbridge", "service.version": __version__})
        self._scope = InstrumentationScope("weighbridge.gateway", __version__)

    def of(self, trace: Trace, served: Served, engine: str | None) -> list[Any]:
        """The gateway's span, and the engine's if one was asked."""
        end = int(served.at * 1e9)
        start = end - served.total_us * 1000
        is_fault = served.outcome in ("failed",) or (served.status or 0) >= 500
        said: dict[str, Any] = {
            "http.request.method": "POST",
            "http.route": served.path,
            "url.path": served.path,
            "url.scheme": "http",
            "http.response.status_code": served.status,
            "error.type": _error_type(served),
            "weighbridge.request.id": served.id,
            "weighbridge.request.model": served.asked,
            "weighbridge.route.layer": served.layer,
            "weighbridge.route.reason": served.reason,
            "weighbridge.key": served.key,
        }
        kinds = self._api.SpanKind
        own = self._context(trace.trace, trace.server)
        parent = None if trace.parent is None else self._context(trace.trace, trace.parent, is_remote=True)
        made = [self._make(f"POST {served.path}", own, parent, kinds.SERVER, (start, end), said, is_fault=is_fault)]
        if engine is None or served.queue_us is None:
            return made
        operation = _OPERATIONS.get(served.path, served.path.rpartition("/")[2])
        first = None if served.first_us is None else (served.first_us - served.queue_us) / 1e6
        said = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": engine,
            "gen_ai.request.model": served.model,
            "gen_ai.request.stream": served.stream,
            "gen_ai.response.model": served.model,
            "gen_ai.response.time_to_first_chunk": first if served.stream else None,
            "gen_ai.usage.input_tokens": served.prompt_tokens,
            "gen_ai.usage.output_tokens": served.completion_tokens,
            "gen_ai.usage.cache_read.input_tokens": served.cached_tokens,
            "error.type": _error_type(served),
        }
        times = (start + served.queue_us * 1000, end)
        is_error = said["error.type"] is not None
        client = self._context(trace.trace, trace.client)
        made.append(
            self._make(f"{operation} {served.model}", client, own, kinds.CLIENT, times, said, is_fault=is_error)
        )
        return made

    def _context(self, trace: int, span: int, *, is_remote: bool = False) -> Any:
        return self._api.SpanContext(trace, span, is_remote, self._api.TraceFlags(self._api.TraceFlags.SAMPLED))

    def _make(
        self,
        name: str,
        own: Any,
        parent: Any,
        kind: Any,
        times: tuple[int, int],
        said: dict[str, Any],
        *,
        is_fault: bool,
    ) -> Any:
        code = self._api.StatusCode.ERROR if is_fault else self._api.StatusCode.UNSET
        return self._span(
            name,
            own,
            parent,
            self._resource,
            {key: value for key, value in said.items() if value is not None},
            kind=kind,
            status=self._api.Status(code),
            start_time=times[0],
            end_time=times[1],
            instrumentation_scope=self._scope,
        )


def _error_type(served: Served) -> str | None:
    """What kind of error it was, if it was one: a code of ours, the status, or that the client left."""
    if served.outcome == "gone":
        return "cancelled"
    if served.error is not None:
        return served.error
    return str(served.status) if (served.status or 0) >= 400 else None
