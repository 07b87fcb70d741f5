"""The process of the fake engine: speaks the OpenAI API on a Unix socket, and fails when told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import mmap
import os
import resource
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import life

MOST_TOKENS = 1 << 20
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 429: "Too Many Requests", 500: "Internal Server Error"}


class Fake:
    """What the fake was told to be, and what it has done so far."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        self.name: str = arguments["name"]
        self.words: list[str] = [word + " " for word in arguments.get("reply", "This is a fake.").split()] or [""]
        self.tokens_per_second: float = arguments.get("tokens_per_second", 0.0)
        self.tokens: int | None = arguments.get("tokens")
        self.context_tokens: int = arguments.get("context_tokens", 4096)
        self.die_after: int | None = arguments.get("die_after_tokens")
        self.hang_after: int | None = arguments.get("hang_after_tokens")
        self.abort_after: int | None = arguments.get("abort_after_tokens")
        self.stop_after: int | None = arguments.get("stop_after_tokens")
        self.leak_bytes: int = arguments.get("leak_bytes_per_token", 0)
        self.log_probability: float | None = arguments.get("log_probability")
        self.leaked: list[mmap.mmap] = []
        self.status: int = arguments.get("status", 200)
        self.processing = 0
        self.predicted = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, request after request, until the client leaves."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode("latin-1").split("\r\n")
                _, path, _ = first.split(" ", 2)
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                await self.answer(path, body, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            pass
        finally:
            writer.close()

    async def answer(self, path: str, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request."""
        if path == "/health":
            await self.send(writer, 200, {"status": "ok"})
        elif path == "/metrics":
            text = f"llamacpp:tokens_predicted_total {self.predicted}\nllamacpp:requests_processing {self.processing}\n"
            await self.send(writer, 200, text)
        elif path == "/v1/models":
            await self.send(writer, 200, {"object": "list", "data": [{"id": self.name, "object": "model"}]})
        elif self.status != 200:
            error = {"message": f"told to answer {self.status}", "type": "fake_error", "param": None, "code": None}
            await self.send(writer, self.status, {"error": error})
        elif path in ("/v1/chat/completions", "/v1/completions"):
            await self.complete(path, json.loads(body), reader, writer)
        elif path == "/v1/embeddings":
            data = [{"object": "embedding", "index": 0, "embedding": [float(len(body) % 7), 1.0]}]
            await self.send(writer, 200, {"object": "list", "model": self.name, "data": data})
        else:
            await self.send(writer, 404, {"error": {"message": f"no such path: {path}", "type": "not_found"}})

    async def send(self, writer: asyncio.StreamWriter, status: int, content: object) -> None:
        """A whole answer."""
        body = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        kind = "text/plain" if isinstance(content, str) else "application/json"
        head = f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}\r\ncontent-type: {kind}\r\n"
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()

    async def complete(
        self, path: str, request: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """A completion, word by word at the pace that was asked for; a client that leaves stops it."""
        prompt_tokens = len(json.dumps(request.get("messages", request.get("prompt", ""))).split())
        if prompt_tokens > self.context_tokens:
            error = {
                "code": 400, "message": "the request exceeds the available context size",
                "type": "exceed_context_size_error", "n_prompt_tokens": prompt_tokens, "n_ctx": self.context_tokens,
            }  # fmt: skip
            await self.send(writer, 400, {"error": error})
            return
        wants_sure = bool(request.get("logprobs"))
        told = request.get("max_tokens") or request.get("max_completion_tokens")
        if told is not None and (not isinstance(told, int) or not 0 < told <= MOST_TOKENS):
            error = {"message": f"max_tokens is {told!r}", "type": "invalid_request_error", "param": "max_tokens"}
            await self.send(writer, 400, {"error": error})
            return
        wanted = told or self.tokens or len(self.words)
        self.processing += 1
        try:
            if request.get("stream"):
                await self.stream(path, wanted, prompt_tokens, writer, reader, wants_sure=wants_sure)
            else:
                text = "".join([word async for word in self.say(wanted, reader)])
                usage = {"prompt_tokens": prompt_tokens, "completion_tokens": wanted}
                told = self.told(path, text.split(), wants_sure)
                await self.send(writer, 200, self.body(path, text, "stop", told) | {"usage": usage})
        finally:
            self.processing -= 1

    async def say(self, wanted: int, reader: asyncio.StreamReader) -> AsyncIterator[str]:
        """The reply's words, over and over."""
        for index in range(wanted):
            self.fail(index)
            hangs = self.hang_after is not None and index >= self.hang_after
            await self.wait(86400.0 if hangs else 1 / self.tokens_per_second if self.tokens_per_second else 0.0, reader)
            self.predicted += 1
            yield self.words[index % len(self.words)]

    def fail(self, index: int) -> None:
        """The failure that this token was told to bring."""
        if self.die_after is not None and index >= self.die_after:
            os._exit(9)
        if self.abort_after is not None and index >= self.abort_after:
            print("fake: error: told to abort", file=sys.stderr, flush=True)
            os.abort()
        if self.stop_after is not None and index >= self.stop_after:
            # As a debugger or a frozen machine would: nothing of it runs any more, and it does not end.
            os.kill(os.getpid(), signal.SIGSTOP)
        if self.leak_bytes:
            self.leaked.append(hold(self.leak_bytes))

    async def wait(self, seconds: float, reader: asyncio.StreamReader) -> None:
        """Wait, unless the client leaves: ConnectionResetError within 20 ms then."""
        until = time.monotonic() + seconds
        while True:
            if reader.at_eof():
                raise ConnectionResetError("the client left")
            left = until - time.monotonic()
            if left <= 0:
                return
            await asyncio.sleep(min(left, 0.02))

    def told(self, path: str, words: list[str], wants_sure: bool) -> dict[str, Any]:
        """How sure it is of each token, where it was told to be, as OpenAI writes it."""
        sure = self.log_probability
        if not wants_sure or sure is None:
            return {}
        if path == "/v1/completions":
            return {"logprobs": {"tokens": words, "token_logprobs": [sure] * len(words)}}
        entries = [{"token": word, "logprob": sure, "bytes": None, "top_logprobs": []} for word in words]
        return {"logprobs": {"content": entries}}

    def body(
        self,
        path: str,
        text: str,
        finish_reason: str | None,
        told: dict[str, Any] | None = None,
        *,
        delta: bool = False,
    ) -> dict[str, Any]:
        """An answer, or a chunk of one, as OpenAI writes it."""
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish_reason, **(told or {})}
        if path == "/v1/completions":
            choice["text"] = text
        else:
            choice["delta" if delta else "message"] = {"role": "assistant", "content": text}
        kind = "text_completion" if path == "/v1/completions" else "chat.completion" + (".chunk" if delta else "")
        return {"id": "fake-1", "object": kind, "created": int(time.time()), "model": self.name, "choices": [choice]}

    async def stream(
        self,
        path: str,
        wanted: int,
        prompt_tokens: int,
        writer: asyncio.StreamWriter,
        reader: asyncio.StreamReader,
        *,
        wants_sure: bool,
    ) -> None:
        """The answer as server-sent events in a chunked body."""
        head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        writer.write(head.encode())

        async def event(data: str) -> None:
            raw = f"data: {data}\n\n".encode()
            writer.write(f"{len(raw):x}\r\n".encode() + raw + b"\r\n")
            await writer.drain()

        async for word in self.say(wanted, reader):
            await event(json.dumps(self.body(path, word, None, self.told(path, [word], wants_sure), delta=True)))
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": wanted}
        await event(json.dumps(self.body(path, "", "stop", delta=True) | {"usage": usage}))
        await event("[DONE]")
        writer.write(b"0\r\n\r\n")
        await writer.drain()


def hold(size: int) -> mmap.mmap:
    """Memory that is really taken: every page of it is written to. A process out of memory ends, as an engine does."""
    try:
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, MemoryError):
        print(f"fake: error: out of memory: {size} bytes could not be had", file=sys.stderr, flush=True)
        os._exit(12)
    pages = -(-size // mmap.PAGESIZE)
    memory[:: mmap.PAGESIZE] = b"\x01" * pages
    return memory


async def serve(arguments: dict[str, Any]) -> None:
    """Serve until the parent closes our input."""
    fake = Fake(arguments)
    server = await asyncio.start_unix_server(fake.handle, arguments["socket"], limit=1 << 26)
    life.report(arguments, ready=True)
    await server.serve_forever()


def main() -> None:
    """Load for as long as told, then serve or fail."""
    arguments = life.begin()
    if "memory_limit_bytes" in arguments:
        limit = arguments["memory_limit_bytes"]
        with contextlib.suppress(ValueError):
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    loading = time.monotonic()
    weights = hold(arguments["memory_bytes"]) if arguments.get("memory_bytes") else None
    time.sleep(max(0.0, arguments.get("load_seconds", 0.0) - (time.monotonic() - loading)))
    if "fail_start" in arguments:
        print(f"fake: error: {arguments['fail_start']}", file=sys.stderr, flush=True)
        os._exit(1)
    asyncio.run(serve(arguments))
    del weights


if __name__ == "__main__":
    main()
