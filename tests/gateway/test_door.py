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
from weighbridge.engines import Model
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
                    assert time.monotonic() - left < 2
                assert far.left_at - left < 0.05
                assert (await served.until("far", lambda model: not model["requests_in_flight"], 1))["restarts"] == 0
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
            line = f'weighbridge_requests_total{{model="none",path="{path}",status="{status}"}} {count}.0'
            assert line in counted
        assert f'weighbridge_requests_total{{model="one",path="{path}",status="200"}} 1.0' in counted

    play(tmp_path, [fake("one")], story, api_key="s3cret", max_body_bytes=100_000)


def test_a_request_that_waits_for_its_model_and_whose_client_leaves_asks_no_engine(tmp_path):
    async def story(served: Served) -> None:
        body = {"model": "one", "messages": [{"role": "user", "content": "x"}]}
        with pytest.raises(httpx.TimeoutException):
            await served.http.post("/v1/chat/completions", json=body, timeout=0.3)
        await served.until("one", lambda model: not model["requests_waiting"], 0.5)
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


def test_a_certificate_counts_only_from_an_authority_that_is_trusted(certificate):
    file, tls = certificate
    far = Elsewhere(says_so, tls)

    async def scenario() -> None:
        async with far:
            for trusted in (True, False):
                context = ssl.create_default_context(cafile=file if trusted else None)
                upstream = Upstream(("127.0.0.1", far.port), tls=context)
                try:
                    head, body = await upstream.fetch(b"/x", [b"{}"], method=b"POST", seconds=5)
                    assert trusted
                    assert (head.status, json.loads(body)) == (200, ANSWER)
                except ConnectionError as error:
                    assert not trusted
                    assert "certificate verify failed" in str(error)
                finally:
                    upstream.close()
            assert len(far.asked) == 1

    asyncio.run(scenario())
