"""The connection to one engine: a pooled client that passes bytes through and closes the socket to cancel."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from weighbridge.engines import Endpoint

# Engines close kept connections after 5 s of silence or more; a request must not meet that moment.
_KEEP_SECONDS = 3.0
_MOST_PAGE_BYTES = 1 << 20


class Upstream:
    """Requests to one endpoint, over kept connections."""

    def __init__(self, endpoint: Endpoint, read_timeout_seconds: float) -> None:
        self.endpoint = endpoint
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=read_timeout_seconds)
        self._kept = self._session(keep=True)
        self._fresh = self._session(keep=False)

    def _session(self, *, keep: bool) -> aiohttp.ClientSession:
        connecting: dict[str, Any] = {"keepalive_timeout": _KEEP_SECONDS} if keep else {"force_close": True}
        socket = self.endpoint.socket
        connector: aiohttp.BaseConnector = (
            aiohttp.UnixConnector(path=str(socket), limit=0, **connecting)
            if socket
            else aiohttp.TCPConnector(limit=0, ssl=self.endpoint.verify_tls, **connecting)
        )
        headers = {"Accept-Encoding": "identity"}
        if self.endpoint.api_key:
            headers["Authorization"] = f"Bearer {self.endpoint.api_key}"
        tracing = aiohttp.TraceConfig()
        tracing.on_connection_reuseconn.append(_note_reuse)
        return aiohttp.ClientSession(
            connector=connector,
            headers=headers,
            timeout=self._timeout,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=[tracing],
        )

    @contextlib.asynccontextmanager
    async def post(self, path: str, body: bytes, headers: dict[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """The engine's answer to a request; leaving before its end closes the connection, which cancels the work.

        An engine may close a kept connection (llama.cpp does after 100 requests) just when the next request goes out on
        it. Then, and only if nothing has come back, the request is sent once more on a fresh one.
        """
        url, seen = self.endpoint.base_url + path, {"reused": False}
        sending: dict[str, Any] = {"data": body, "headers": headers, "allow_redirects": False}
        try:
            answer = await self._kept.post(url, trace_request_ctx=seen, **sending)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            if isinstance(error, aiohttp.ClientConnectorError) or not seen["reused"]:
                raise
            answer = await self._fresh.post(url, **sending)
        try:
            yield answer
        finally:
            if answer.content.at_eof():
                answer.release()
            else:
                answer.close()

    async def text(self, path: str, seconds: float = 1.0) -> str | None:
        """What stands at a path, None where nothing answers in time, or more than a mebibyte."""
        timeout = aiohttp.ClientTimeout(total=seconds)
        try:
            async with self._kept.get(self.endpoint.base_url + path, timeout=timeout) as answer:
                if answer.status != 200:
                    return None
                read = b""
                async for chunk in answer.content.iter_any():
                    read += chunk
                    if len(read) > _MOST_PAGE_BYTES:
                        return None
                return read.decode(errors="replace")
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None

    async def status(self, path: str, body: bytes, seconds: float) -> int | None:
        """The status of the answer to a request of our own, once it came whole; None where it did not in time."""
        timeout = aiohttp.ClientTimeout(total=seconds)
        sending: dict[str, Any] = {"data": body, "headers": {"content-type": "application/json"}, "timeout": timeout}
        try:
            async with self._fresh.post(self.endpoint.base_url + path, **sending) as answer:
                async for _ in answer.content.iter_any():
                    pass  # whatever it says, however much
                return answer.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None

    async def close(self) -> None:
        """Close all connections."""
        await self._kept.close()
        await self._fresh.close()


async def _note_reuse(session: aiohttp.ClientSession, context: Any, parameters: Any) -> None:
    if context.trace_request_ctx is not None:
        context.trace_request_ctx["reused"] = True
