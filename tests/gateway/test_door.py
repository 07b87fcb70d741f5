"""The door over the data path: what reaches an engine, what comes back, and that every answer can be named."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
import time

import httpx2 as httpx
import pytest

from tests.gateway.test_lifecycle import Served, fake, play
from tests.gateway.wire.kit import LAST, SSE, chunk, event, whole
from tests.gguf_files import write_reranker
from tests.patience import LONGEST_SECONDS
from weighbridge import ledger
from weighbridge.engines import Model
from weighbridge.gateway import run_loop
from weighbridge.gateway.wire import Upstream


class Elsewhere:
    """A server on this machine that is asked as one elsewhere would be; `script(path, headers, body, writer)` answers
    each request but that for its models."""

    def __init__(self, script=None, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.tls = tls
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.connections = 0
        self.left_at: float | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    async def __aenter__(self) -> Elsewhere:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()

    async def _serve(self, reader, writer):
        self.connections += 1
        try:
            while True:
                first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                path = first.split(" ")[1]
                if path.endswith("/v1/models"):
                    writer.write(whole(b'{"data": [{"id": "deep"}]}'))
                elif path.startswith(("/api", "/health")):
                    writer.write(whole(b"{}", 404))
                else:
                    self.asked.append((path, headers, body))
                    await self.script(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.left_at = time.monotonic()
        finally:
            writer.close()

    def model(self, **options: str) -> Model:
        url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"
        return Model("far", "remote", options={"url": url, "context_tokens": "4096", **options})


ANSWER = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "afar"}}], "unknown": {"kept": [1]}}


async def says_so(reader, writer):
    writer.write(whole(json.dumps(ANSWER).encode(), extra=b"X-Request-Id: theirs\r\nX-Ratelimit-Left: 7\r\n"))


def test_what_reaches_an_engine_is_the_body_and_none_of_the_clients_secrets(tmp_path):
    far = Elsewhere(says_so)

    async def story(served: Served) -> None:
        async with far:
            body = b'{ "model" : "far", "messages":[{"role":"user","content":"\\u00e9"}],"x":1e3,"y":{"model":"far"}}'
            headers = {
                "authorization": "Bearer s3cret", "cookie": "a=b", "content-type": "application/x-www-form-urlencoded",
                "x-forwarded-for": "10.0.0.1", "traceparent": "00-1-2-3",
            }  # fmt: skip
            answer = await served.http.post("/v1/chat/completions", content=body, headers=headers)
            assert answer.json() == ANSWER
            assert answer.headers.get_list("x-request-id")[0].startswith("req_")
            assert len(answer.headers.get_list("x-request-id")) == 1
            assert answer.headers["x-ratelimit-left"] == "7"
            (path, seen, sent) = far.asked[0]
            assert (path, sent) == ("/v1/chat/completions", body.replace(b'"far"', b'"deep"', 1))
            assert seen["authorization"] == "Bearer theirs"
            assert seen["content-type"] == "application/json"
            assert seen["traceparent"] == "00-1-2-3"
            assert not {"cookie", "x-forwarded-for"} & seen.keys()
            before = far.connections
            for _ in range(3):
                await served.http.post("/v1/chat/completions", content=body, headers=headers)
            assert far.connections == before, "the connection is kept"

    play(tmp_path, [far.model(api_key="theirs")], story, api_key="s3cret")


def test_a_client_that_leaves_in_any_phase_is_told_to_the_engine_at_once(tmp_path):
    async def slow(reader, writer):
        if b'"phase": 1' in far.asked[-1][2]:
            writer.write(SSE + chunk(event()))
        await reader.read(1)
        raise ConnectionError

    far = Elsewhere(slow)

    async def story(served: Served) -> None:
        async with far:
            for phase in (0, 1):
                body = {"model": "far", "stream": True, "phase": phase, "messages": [{"role": "user", "content": "x"}]}
                reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rsplit(":", 1)[1]))
                raw = json.dumps(body).encode()
                writer.write(
                    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(raw)
                    + raw
                )
                await (reader.readuntil(b"hello") if phase else asyncio.sleep(0.1))
                far.left_at, left = None, time.monotonic()
                writer.close()
                while far.left_at is None:
                    await asyncio.sleep(0.001)
                    assert time.monotonic() - left < LONGEST_SECONDS
                assert (await served.until("far", lambda model: not model["requests_in_flight"]))["restarts"] == 0
            assert 'weighbridge_cancelled_total{model="far"} 2.0' in (await served.http.get("/metrics")).text
            assert "weighbridge_requests_in_flight 0.0" in (await served.http.get("/metrics")).text

    play(tmp_path, [far.model()], story)


def test_every_refusal_is_an_error_object_with_a_name_and_is_counted(tmp_path):
    async def story(served: Served) -> None:
        path, key = "/v1/chat/completions", {"authorization": "Bearer s3cret"}
        asked = [{"role": "user", "content": "x"}]
        answers = [
            (401, await served.http.post(path, json={"model": "one", "messages": asked})),
            (401, await served.http.post(path, content=b"x" * 90_000)),
            (400, await served.http.post(path, content=b"{", headers=key)),
            (400, await served.http.post(path, json={"model": "", "messages": asked}, headers=key)),
            (404, await served.http.post(path, json={"model": "nobody", "messages": asked}, headers=key)),
            (405, await served.http.get(path, headers=key)),
            (413, await served.http.post(path, content=b"x" * 200_000, headers=key)),
            (501, await served.http.request("BREW", "/v1/models", headers=key)),
            (200, await served.http.post(path, json={"model": "one", "messages": asked}, headers=key)),
        ]
        for status, answer in answers:
            assert answer.status_code == status
            assert status == 200 or answer.json()["error"]["source"] in ("gateway", "router")
        names = [answer.headers["x-request-id"] for _, answer in answers]
        assert len(set(names)) == len(names)
        counted = (await served.http.get("/metrics", headers=key)).text
        for status, count in ((401, 2), (400, 2), (404, 1), (413, 1)):
            line = f'weighbridge_requests_total{{model="none",path="{path}",route="none",status="{status}"}} {count}.0'
            assert line in counted
        assert f'weighbridge_requests_total{{model="one",path="{path}",route="name",status="200"}} 1.0' in counted

    play(tmp_path, [fake("one")], story, api_key="s3cret", max_body_bytes=100_000)


def test_a_request_that_waits_for_its_model_and_whose_client_leaves_asks_no_engine(tmp_path):
    async def story(served: Served) -> None:
        body = {"model": "one", "messages": [{"role": "user", "content": "x"}]}
        with pytest.raises(httpx.TimeoutException):
            await served.http.post("/v1/chat/completions", json=body, timeout=0.3)
        await served.until("one", lambda model: not model["requests_waiting"])
        await served.until("one", lambda model: model["state"] == "ready")
        assert (await served.model("one"))["engine_tokens_predicted"] == 0
        assert not served.gateway.door.tasks

    play(tmp_path, [fake("one", load_seconds=1)], story)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A certificate of its own authority, for 127.0.0.1; its file and the server's side of TLS."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "key.pem",
         "-out", folder / "cert.pem", "-days", "1", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return folder / "cert.pem", tls


def test_an_https_endpoint_streams_over_a_kept_connection_with_its_key(tmp_path, certificate):
    async def streams(reader, writer):
        writer.write(SSE + b"".join(chunk(event(f"{i} " * 500)) for i in range(100)) + LAST)

    far = Elsewhere(streams, certificate[1])

    async def story(served: Served) -> None:
        async with far:
            for _ in range(3):
                words: list[str] = []
                await served.stream("far", words)
                assert words == [f"{i} " * 500 for i in range(100)]
            assert far.connections == 3, "two to ask what it has, and one that is kept"
            assert {headers["authorization"] for _, headers, _ in far.asked} == {"Bearer theirs"}

    play(tmp_path, [far.model(verify_tls="no", api_key="theirs")], story)


@pytest.mark.parametrize("run", [asyncio.run, run_loop])
def test_a_certificate_counts_only_from_an_authority_that_is_trusted(certificate, run):
    file, tls = certificate
    long = b"x" * 3_000_000

    async def says_much(reader, writer):
        writer.write(whole(long))

    far = Elsewhere(says_much, tls)

    async def scenario() -> None:
        async with far:
            for trusted in (True, False):
                context = ssl.create_default_context(cafile=file if trusted else None)
                upstream = Upstream(("127.0.0.1", far.port), tls=context)
                try:
                    for _ in range(3):
                        head, body = await upstream.fetch(b"/x", [b"{}"], method=b"POST", seconds=5)
                        assert trusted
                        assert (head.status, body) == (200, long)
                    assert upstream.connections_made == 1
                except ConnectionError as error:
                    assert not trusted
                    assert "certificate verify failed" in str(error)
                finally:
                    upstream.close()
            assert len(far.asked) == 3

    run(scenario())


@pytest.mark.parametrize("run", [asyncio.run, run_loop])
def test_leaving_an_https_endpoint_in_mid_answer_closes_its_connection_at_once(certificate, run):
    async def never_ends(reader, writer):
        writer.write(SSE + chunk(event()))
        await reader.read(1)
        raise ConnectionError

    far = Elsewhere(never_ends, certificate[1])

    async def scenario() -> None:
        async with far:
            upstream = Upstream(("127.0.0.1", far.port), tls=ssl.create_default_context(cafile=certificate[0]))
            asking = asyncio.create_task(upstream.fetch(b"/x", [b"{}"], method=b"POST", seconds=LONGEST_SECONDS))
            while not far.asked:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            asking.cancel()
            left = time.monotonic()
            while far.left_at is None:
                await asyncio.sleep(0.001)
                assert time.monotonic() - left < LONGEST_SECONDS / 2
            upstream.close()

    run(scenario())


# Other paths than OpenAI's oldest: each through the bundled engine where that has it.

SENTENCE = "Anna Keller paid 45 euros on 3 March 2024."


def post(running, path: str, **fields):
    return httpx.post(running.url + path, json=fields, timeout=30)


@pytest.mark.parametrize("model", ["extract", "auto"])
def test_anthropics_messages_are_answered_and_counted(bundled_gateway, model):
    asked = {"model": model, "max_tokens": 60, "temperature": 0, "messages": [{"role": "user", "content": SENTENCE}]}
    answer = post(bundled_gateway, "/v1/messages", **asked)
    counted = post(bundled_gateway, "/v1/messages/count_tokens", model=model, messages=asked["messages"])

    assert answer.json()["type"] == "message"
    assert json.loads(answer.json()["content"][0]["text"])["person"] == "Anna Keller"
    assert answer.headers["x-weighbridge-model"] == "extract"
    assert answer.headers["request-id"] == answer.headers["x-request-id"]
    usage = answer.json()["usage"]
    assert counted.json()["input_tokens"] == usage["input_tokens"] + usage["cache_read_input_tokens"]


def test_anthropics_stream_passes_to_its_last_event_and_its_tokens_are_counted(bundled_gateway):
    def counted() -> float:
        lines = httpx.get(bundled_gateway.url + "/metrics").text.splitlines()
        name = 'weighbridge_tokens_total{kind="completion",model="extract",route="name"} '
        return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))

    before = counted()
    asked = {"model": "extract", "max_tokens": 60, "temperature": 0, "stream": True}
    answer = post(bundled_gateway, "/v1/messages", messages=[{"role": "user", "content": SENTENCE}], **asked)
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]

    assert events[-1] == {"type": "message_stop"}
    text = "".join(each["delta"].get("text", "") for each in events if each["type"] == "content_block_delta")
    assert json.loads(text)["person"] == "Anna Keller"
    assert counted() - before == events[-2]["usage"]["output_tokens"]


def test_anthropics_errors_are_in_its_own_words(bundled_gateway):
    long = post(bundled_gateway, "/v1/messages", model="arithmetic", max_tokens=5,
                messages=[{"role": "user", "content": "1 + " * 600}])  # fmt: skip
    nobody = post(bundled_gateway, "/v1/messages", model="gpt-9", messages=[{"role": "user", "content": "x"}])
    empty = post(bundled_gateway, "/v1/messages", model="extract", max_tokens=5)

    for answer, status, kind, source, words in (
        (long, 400, "invalid_request_error", "gateway", "maximum context length is 512 tokens"),
        (nobody, 404, "not_found_error", "router", "'gpt-9' is not served here"),
        (empty, 400, "invalid_request_error", "gateway", "messages is missing"),
    ):
        assert (answer.status_code, answer.json()["type"]) == (status, "error")
        error = answer.json()["error"]
        assert (error["type"], error["source"]) == (kind, source)
        assert words in error["message"]
        assert answer.headers["request-id"].startswith("req_")


def test_anthropics_key_is_taken_and_not_passed_on(tmp_path):
    far = Elsewhere(says_so)

    async def story(served: Served) -> None:
        async with far:
            asked = {"model": "far", "messages": [{"role": "user", "content": "x"}]}
            for key, status in (("s3cret", 200), ("another", 401)):
                answer = await served.http.post("/v1/messages", json=asked, headers={"x-api-key": key})
                assert answer.status_code == status
            assert answer.json()["error"]["type"] == "authentication_error"
            ((path, headers, _),) = far.asked
            assert path == "/v1/messages"
            assert "s3cret" not in "".join(headers.values())

    play(tmp_path, [far.model()], story, api_key="s3cret")


@pytest.mark.parametrize("stream", [False, True])
def test_openais_responses_pass(bundled_gateway, stream):
    answer = bundled_gateway.client().responses.create(
        model="auto", input="What is 37 plus 58?", temperature=0, stream=stream
    )
    whole_answer = list(answer)[-1].response if stream else answer

    assert whole_answer.output_text == "95"
    assert whole_answer.model == "arithmetic"


def test_a_stream_of_a_response_whose_last_event_is_long_is_whole_and_one_that_lacks_it_is_not(tmp_path):
    completed = {"type": "response.completed", "response": {"output": "x" * 300_000}}
    last = b"event: response.completed\ndata: " + json.dumps(completed).encode() + b"\n\n"

    async def streams(reader, writer):
        writer.write(SSE + chunk(b'event: response.created\ndata: {"type": "response.created"}\n\n'))
        if b'"whole"' in far.asked[-1][2]:
            for at in range(0, len(last), 7_001):
                writer.write(chunk(last[at : at + 7_001]))
                await asyncio.sleep(0)
        writer.write(b"0\r\n\r\n")

    far = Elsewhere(streams)

    async def story(served: Served) -> None:
        async with far:
            said = await served.http.post("/v1/responses", json={"model": "far", "stream": True, "input": "whole"})
            assert said.content.endswith(last)
            with pytest.raises(httpx.RemoteProtocolError):
                await served.http.post("/v1/responses", json={"model": "far", "stream": True, "input": "cut"})

    play(tmp_path, [far.model()], story)


def test_texts_are_cut_into_tokens_and_put_together_again(bundled_gateway):
    tokens = post(bundled_gateway, "/tokenize", model="extract", content="hello there").json()["tokens"]
    text = post(bundled_gateway, "/detokenize", model="extract", tokens=tokens)

    assert len(tokens) > 1
    assert text.json()["content"].strip() == "hello there"


def test_what_an_engine_does_not_offer_it_says_itself(bundled_gateway):
    ranked = post(bundled_gateway, "/v1/rerank", model="extract", query="a", documents=["a", "b"])
    heard = httpx.post(
        bundled_gateway.url + "/v1/audio/transcriptions",
        data={"model": "extract"}, files={"file": ("a.wav", b"RIFF" + bytes(100_000))},
    )  # fmt: skip

    for answer, words in ((ranked, "does not support reranking"), (heard, "does not support audio input")):
        assert (answer.status_code, answer.json()["error"]["source"]) == (501, "engine")
        assert words in answer.json()["error"]["message"]
        assert answer.headers["x-weighbridge-model"] == "extract"


def test_a_reranker_is_started_as_one_and_its_ranking_passes(gateway, tmp_path):
    running = gateway(str(write_reranker(tmp_path / "ranks.gguf")))
    documents = ["hi", "it is a bear", "The giant panda is a bear species endemic to China."]
    asked = {"model": "ranks", "query": "what is a panda?", "documents": documents}

    answer = post(running, "/v1/rerank", **asked).json()
    first = post(running, "/v1/rerank", **asked, top_n=1).json()
    wrong = post(running, "/v1/rerank", model="ranks", query="a")
    running.stop()

    scores = [each["relevance_score"] for each in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    assert len({round(score, 6) for score in scores}) == 3
    assert sorted(each["index"] for each in answer["results"]) == [0, 1, 2]
    assert first["results"] == answer["results"][:1]
    assert (wrong.status_code, wrong.json()["error"]["source"]) == (400, "engine")
    rows = [row.fields for row in ledger.rows(ledger.folder_of(tmp_path)) if row.kind == "request"]
    assert rows[0]["prompt_tokens"] == answer["usage"]["prompt_tokens"] > 0


def test_audio_reaches_the_engine_as_it_came_but_for_the_models_name(tmp_path):
    far = Elsewhere(says_so)
    sound = bytes(range(256)) * 4_000

    async def story(served: Served) -> None:
        async with far:
            files = {"file": ("a.wav", sound, "audio/wav")}
            asked = served.http.build_request("POST", "/v1", files=files, data={"model": "far", "x": "é"})
            sent, kind = await asked.aread(), asked.headers["content-type"]
            answer = await served.http.post("/v1/audio/transcriptions", content=sent, headers={"content-type": kind})
            assert answer.json() == ANSWER
            ((_, headers, body),) = far.asked
            assert body == sent.replace(b'name="model"\r\n\r\nfar', b'name="model"\r\n\r\ndeep')
            assert headers["content-type"] == kind
            refused = await served.http.post("/v1/audio/transcriptions", json={"model": "far"})
            assert (refused.status_code, refused.json()["error"]["source"]) == (400, "gateway")

    play(tmp_path, [far.model()], story)
