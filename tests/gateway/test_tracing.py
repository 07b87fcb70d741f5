"""Traces, as a real collector receives them: protobuf over HTTP, by the conventions for generative AI."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.gateway.test_door import Elsewhere, says_so
from tests.gateway.test_ledger import ASKED
from tests.gateway.test_lifecycle import Served, fake, play
from weighbridge.errors import BadSetting
from weighbridge.gateway.tracing import Tracer
from weighbridge.gateway.wire import Request

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector:
    """Takes what exporters send; `spans` are all that came, by name."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str, bytes]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.got.append((self.path, self.headers["content-type"], body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def spans(self) -> dict[str, object]:
        found = {}
        for path, kind, body in self.got:
            assert (path, kind) == ("/v1/traces", "application/x-protobuf")
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                names = {each.key: each.value.string_value for each in resource.resource.attributes}
                assert names["service.name"] == "weighbridge"
                found |= {span.name: span for scope in resource.scope_spans for span in scope.spans}
        return found


@pytest.fixture
def collector():
    made = Collector()
    yield made
    made.server.shutdown()
    made.server.server_close()


def said(span) -> dict[str, object]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


def test_a_trace_goes_from_the_client_through_the_gateway_to_the_engine(tmp_path, collector):
    far = Elsewhere(says_so)

    async def story(served: Served) -> None:
        async with far:
            headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "a=b"}
            answer = await served.http.post("/v1/chat/completions", json=ASKED | {"model": "far"}, headers=headers)
            story.name = answer.headers["x-request-id"]
            headers["traceparent"] = f"00-{TRACE}-{PARENT}-00"
            await served.http.post("/v1/completions", json={"model": "far", "prompt": "x"}, headers=headers)

    play(tmp_path, [far.model()], story, otel_endpoint=collector.url)
    server, client = collector.spans["POST /v1/chat/completions"], collector.spans["chat far"]

    assert set(collector.spans) == {"POST /v1/chat/completions", "chat far"}, "the second asked not to be traced"
    assert {server.trace_id.hex(), client.trace_id.hex()} == {TRACE}
    assert server.parent_span_id.hex() == PARENT
    assert client.parent_span_id == server.span_id
    (_, first, _), (_, second, _) = far.asked
    assert first["traceparent"] == f"00-{TRACE}-{client.span_id.hex()}-01"
    assert first["tracestate"] == "a=b"
    assert second["traceparent"] == f"00-{TRACE}-{PARENT}-00"
    assert (server.kind, client.kind) == (2, 3)
    assert server.start_time_unix_nano <= client.start_time_unix_nano < client.end_time_unix_nano
    assert said(server)["weighbridge.request.id"] == story.name
    assert said(server)["weighbridge.route.layer"] == "name"
    assert said(server)["http.response.status_code"] == 200
    assert said(client)["gen_ai.operation.name"] == "chat"
    assert said(client)["gen_ai.provider.name"] == "remote"
    assert said(client)["gen_ai.request.model"] == said(client)["gen_ai.response.model"] == "far"


def test_tokens_and_failures_are_told(tmp_path, collector):
    async def story(served: Served) -> None:
        await served.stream("one", [], stream_options={"include_usage": True})
        await served.http.post("/v1/completions", json={"model": "dead", "prompt": "x"})

    models = [fake("one", tokens=4), fake("dead", status=500)]
    play(tmp_path, models, story, otel_endpoint=collector.url + "/v1/traces")
    client, failed = collector.spans["chat one"], collector.spans["POST /v1/completions"]

    assert said(client)["gen_ai.usage.output_tokens"] == 4
    assert said(client)["gen_ai.request.stream"] is True
    assert said(client)["gen_ai.response.time_to_first_chunk"] > 0
    assert client.status.code == 0
    assert len(client.trace_id.hex()) == 32
    assert failed.status.code == 2
    assert said(failed)["http.response.status_code"] == 500
    assert said(failed)["error.type"]


def test_a_collector_that_is_not_there_holds_nobody_up(tmp_path):
    async def story(served: Served) -> None:
        for _ in range(3):
            assert await served.ask("one")

    play(tmp_path, [fake("one")], story, otel_endpoint="http://127.0.0.1:9")


ONES = b"1" * 32 + b"-" + b"1" * 16
NO_CONTEXT = [
    b"",
    b"00-x",
    b"ff-" + ONES + b"-01",
    b"00-" + ONES.replace(b"1" * 32, b"0" * 32) + b"-01",
    b"00-" + ONES + b"-01-x",
]


@pytest.mark.parametrize("header", NO_CONTEXT)
def test_a_context_that_is_none_begins_a_new_trace(collector, header):
    tracer = Tracer(collector.url)
    request = Request(b"POST", b"/", b"/", 1, {b"traceparent": header, b"tracestate": b"a=b"})
    trace = tracer.begin(request)
    tracer.close()

    assert trace.parent is None
    assert request.values == {b"traceparent": b"00-%032x-%016x-01" % (trace.trace, trace.client)}


def test_an_address_that_cannot_be_is_told():
    with pytest.raises(BadSetting, match="otel_endpoint"):
        Tracer("collector:4318")


def test_without_an_endpoint_nothing_of_it_is_imported():
    code = "import sys, weighbridge.gateway; print([name for name in sys.modules if 'opentelemetry' in name])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
