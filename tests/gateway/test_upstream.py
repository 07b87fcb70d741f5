"""The gateway's connections to engines: what foreign servers say, certificates, and descriptors that run out."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
import tracemalloc
from collections.abc import Callable

import httpx2 as httpx
import psutil
import pytest

from tests.gateway.test_lifecycle import Served, play
from weighbridge.engines import Endpoint, Model
from weighbridge.gateway.upstream import Upstream
from weighbridge.settings import ModelSettings

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]


def answering(head: bytes, body: bytes, *, for_ever: bool = False) -> Answer:
    """A server that says this to everybody; `for_ever`: the body again and again, as fast as it is taken."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n" + head + b"\r\n" + body)
            while for_ever:
                await writer.drain()
                writer.write(body)
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    return answer


def ask(answer: Answer, question: Callable[[Upstream], object]) -> object:
    """What the connection to such a server makes of a question."""

    async def scenario() -> object:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as http:
            url = f"http://127.0.0.1:{http.sockets[0].getsockname()[1]}"
            upstream = Upstream(Endpoint(url), ModelSettings(read_timeout_seconds=5))
            try:
                return await question(upstream)
            finally:
                await upstream.close()

    return asyncio.run(scenario())


@pytest.mark.parametrize("head", [b"content-type: text/plain; charset=nonsense\r\n", b""])
def test_a_page_in_any_letters_can_be_read(head):
    said = ask(answering(head, b"llamacpp:requests_processing 1\n\xff"), lambda upstream: upstream.text("/metrics"))

    assert "requests_processing 1" in said


@pytest.mark.parametrize("question", ["text", "status"])
def test_an_engine_that_talks_for_ever_fills_no_memory(question):
    async def asked(upstream: Upstream) -> object:
        if question == "text":
            return await upstream.text("/metrics", 1.0)
        return await upstream.status("/v1/completions", b"{}", 1.0)

    tracemalloc.start()
    said = ask(answering(b"", b"x" * 65536, for_ever=True), asked)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert said is None
    assert most < 8 << 20


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_server_whose_certificate_is_trusted_by_name_alone_is_asked_as_it_was_tested(tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate),
         "-days", "1", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    content = {"data": [{"id": "m"}], "choices": [{"index": 0, "message": {"role": "assistant", "content": "afar"}}]}
    body = json.dumps(content).encode()
    answer = answering(b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body), body)

    async def story(served: Served) -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", port, ssl=tls):
            assert await served.ask("far") == "afar"

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {"url": f"https://127.0.0.1:{port}", "verify_tls": "no", "context_tokens": "4096"}
    play(tmp_path, [Model("far", "remote", options=options)], story)


def test_a_gateway_without_descriptors_refuses_and_ends_no_engine(gateway):
    running = gateway("fake:tokens_per_second=20,tokens=30")
    process = psutil.Process(running.process.pid)
    body = {"model": "fake", "stream": True, "messages": [{"role": "user", "content": "go on"}]}

    async def scenario() -> list[int]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=running.url, timeout=30, limits=limits) as client:

            async def one() -> int:
                async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
                    said = await answer.aread()
                    assert answer.status_code != 200 or said.endswith(b"data: [DONE]\n\n")
                    return answer.status_code

            before = process.rlimit(psutil.RLIMIT_NOFILE)
            process.rlimit(psutil.RLIMIT_NOFILE, (process.num_fds() + 18, before[1]))
            try:
                return list(await asyncio.gather(*(one() for _ in range(12))))
            finally:
                process.rlimit(psutil.RLIMIT_NOFILE, before)

    statuses = asyncio.run(scenario())

    assert 200 in statuses
    assert set(statuses) == {200, 503}
    assert running.ps()["fake"]["restarts"] == 0
