"""Servers elsewhere: what they list is taken, what they say of their context is known, and keys stay at home."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from weighbridge import engines
from weighbridge.engines import Model, Surroundings
from weighbridge.errors import BadSetting, EngineFailed

AROUND = Surroundings(Path("/nowhere"), Path("/nowhere"), 5)


class Server:
    """A small server: what it answers at which path, and what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.key = ""
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append((self.command, self.path, dict(self.headers)))
                self.rfile.read(int(self.headers.get("content-length", 0)))
                status, headers, body = server.answers.get(self.path, (404, {}, b"not found"))
                if server.key and self.headers.get("Authorization") != f"Bearer {server.key}":
                    status, headers, body = 401, {}, b"no"
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def lists(self, *entries: dict[str, Any]) -> None:
        self.say("/v1/models", {"object": "list", "data": entries})

    def say(self, path: str, content: Any, status: int = 200, **headers: str) -> None:
        self.answers[path] = status, headers, json.dumps(content).encode()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


def start(url: str, **options: str) -> engines.Running:
    async def scenario() -> engines.Running:
        return await engines.start(Model("far", "remote", options={"url": url, **options}), AROUND)

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    ("entry", "context"),
    [
        ({"id": "m", "max_model_len": 32768}, 32768),  # vLLM, SGLang
        ({"id": "m", "meta": {"n_ctx": 4096, "n_ctx_train": 131072}}, 4096),  # llama.cpp
        ({"id": "m", "meta": {"n_ctx_train": 131072}}, None),
        ({"id": "m", "context_length": 8192}, 8192),
        ({"id": "m", "context_window": 131072, "owned_by": "somebody"}, 131072),
        ({"id": "m"}, None),
    ],
)
def test_what_a_server_says_of_its_context_is_known(server, entry, context):
    server.lists(entry)
    endpoint = start(server.url).endpoint
    assert (endpoint.model, endpoint.context_tokens) == ("m", context)


def test_the_context_that_the_user_tells_goes_before(server):
    server.lists({"id": "m", "max_model_len": 32768})
    assert start(server.url, context_tokens="2048").endpoint.context_tokens == 2048


def test_ollama_is_asked_for_the_context_that_it_cuts_to(server):
    server.lists({"id": "qwen3:latest"}, {"id": "gemma3:1b"})
    server.say("/api/ps", {"models": [{"name": "gemma3:1b", "context_length": 4096}]})
    server.say("/api/show", {"parameters": 'stop "<|im_end|>"\nnum_ctx                 16384', "model_info": {}})
    # Loaded: as it runs. Not loaded: as its file says. `qwen3` is what everybody calls `qwen3:latest`.
    assert start(server.url, model="gemma3:1b").endpoint.context_tokens == 4096
    endpoint = start(server.url, model="qwen3").endpoint
    assert (endpoint.model, endpoint.context_tokens) == ("qwen3:latest", 16384)


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/", "/v1/chat/completions"])
def test_a_url_is_taken_as_it_is_copied(server, path):
    server.lists({"id": "m"})
    assert start(server.url + path).endpoint.base_url == server.url


def test_a_key_is_read_from_the_variable_that_is_named(server, monkeypatch):
    server.lists({"id": "m"})
    server.key = "secret"
    monkeypatch.setenv("COMPANY_KEY", "secret")
    engine = start(server.url, api_key_variable="COMPANY_KEY")
    assert engine.endpoint.api_key == "secret"
    assert "secret" not in repr(engine)
    with pytest.raises(EngineFailed, match="a key is needed"):
        start(server.url)
    with pytest.raises(EngineFailed, match="the key is not taken"):
        start(server.url, api_key="another")
    with pytest.raises(BadSetting, match="NO_SUCH_KEY is not set"):
        start(server.url, api_key_variable="NO_SUCH_KEY")


def test_a_redirect_is_not_followed_and_no_key_goes_with_it(server):
    other = Server()
    other.lists({"id": "m"})
    server.say("/v1/models", {}, 307, Location=f"{other.url}/v1/models")
    with pytest.raises(EngineFailed, match=f"sends elsewhere: {other.url}"):
        start(server.url, api_key="secret")
    assert other.asked == []
    other.http.shutdown()
    other.http.server_close()


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (200, b"<html>", "no OpenAI list of models: '<html>"),
        (200, b'{"models": []}', "no OpenAI list of models"),
        (200, b'{"data": [{"name": "m"}]}', "no OpenAI list of models"),
        (200, b'{"data": []}', "has 0 models"),
        (200, b'{"data": ' + b"[" * 100_000, "no OpenAI list of models"),
        (500, b"", "answered 500"),
    ],
)
def test_what_is_no_such_server_is_told(server, status, body, told):
    server.answers["/v1/models"] = status, {}, body
    with pytest.raises(EngineFailed, match=told):
        start(server.url)


def test_a_long_list_that_comes_in_pieces_is_read_to_its_end():
    entries = [{"id": f"maker/model-{number}", "description": "x" * 200} for number in range(2000)]

    async def scenario() -> engines.Running:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            body = json.dumps({"data": entries}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body))
            for start in range(0, len(body), 100_000):
                writer.write(body[start : start + 100_000])
                await writer.drain()
                await asyncio.sleep(0.01)
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as http:
            url = f"http://127.0.0.1:{http.sockets[0].getsockname()[1]}"
            options = {"url": url, "model": "maker/model-1999", "context_tokens": "4096"}
            return await engines.start(Model("far", "remote", options=options), AROUND)

    assert asyncio.run(scenario()).endpoint.model == "maker/model-1999"


@pytest.mark.parametrize("body", [b"[" * 100_000, b"\xff", b"[]", b"{}", b'{"models": [1]}', b'{"models": 5}'])
def test_what_a_server_says_beside_its_list_is_passed_over_where_it_makes_no_sense(server, body):
    server.lists({"id": "m"})
    server.answers["/api/ps"] = 200, {"content-type": "application/json; charset=nonsense"}, body

    assert start(server.url).endpoint.context_tokens is None


def test_nothing_there_is_told():
    with pytest.raises(EngineFailed, match=r"nothing answers at http://127\.0\.0\.1:9") as caught:
        start("http://127.0.0.1:9")
    assert caught.value.hint == "is the server running?"


def test_one_of_several_models_must_be_named(server):
    server.lists(*({"id": f"m{number}"} for number in range(10)))
    with pytest.raises(EngineFailed, match=r"has 10 models: m0, m1.* and 2 more"):
        start(server.url)
    with pytest.raises(EngineFailed, match="has no model 'x'"):
        start(server.url, model="x")
    assert start(server.url, model="m7").endpoint.model == "m7"


def test_its_health_is_known(server):
    server.lists({"id": "m"})

    async def scenario() -> tuple[bool, bool]:
        engine: Any = await engines.start(Model("far", "remote", options={"url": server.url}), AROUND)
        before = await engine.is_healthy()
        server.answers.clear()
        assert await engine.memory_bytes() is None
        await engine.stop()
        return before, await engine.is_healthy()

    assert asyncio.run(scenario()) == (True, False)


def test_options_that_are_no_options_are_named(server):
    with pytest.raises(BadSetting, match="no option 'verify'"):
        start(server.url, verify="no")
    with pytest.raises(BadSetting, match="verify_tls is 'perhaps'"):
        start(server.url, verify_tls="perhaps")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_certificate_that_nobody_vouches_for_is_refused_unless_told(server, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate),
         "-days", "1", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    server.lists({"id": "m"})
    url = server.url.replace("http:", "https:")
    with pytest.raises(EngineFailed, match="is not trusted"):
        start(url)
    endpoint = start(url, verify_tls="no").endpoint
    assert (endpoint.model, endpoint.verify_tls) == ("m", False)
