"""The connection to one engine: a pooled client that passes bytes through and closes the socket to cancel."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import aiohttp

from weighbridge.engines import Endpoint


class Upstream:
    """Requests to one endpoint, over kept connections."""

    def __init__(self, endpoint: Endpoint, read_timeout_seconds: float) -> None:
        self.endpoint = endpoint
        connector: aiohttp.BaseConnector
        if endpoint.socket:
            connector = aiohttp.UnixConnector(path=str(endpoint.socket), limit=0)
        else:
            # Servers close kept connections after 5 s or more of silence; a request must not meet that moment.
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=3)
        headers = {"Accept-Encoding": "identity"}
        if endpoint.api_key:
            headers["Authorization"] = f"Bearer {endpoint.api_key}"
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=read_timeout_seconds),
            # One line of a stream may hold a whole image or embedding; the body itself is not kept.
            read_bufsize=1 << 16,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    @contextlib.asynccontextmanager
    async def post(self, path: str, body: bytes, headers: dict[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """The engine's answer to a request; leaving before its end closes the connection, which cancels the work."""
        answer = await self._session.post(
            self.endpoint.base_url + path, data=body, headers=headers, allow_redirects=False
        )
        try:
            yield answer
        finally:
            if answer.content.at_eof():
                answer.release()
            else:
                answer.close()

    async def text(self, path: str, seconds: float = 1.0) -> str | None:
        """What stands at a path, None where nothing answers in time."""
        timeout = aiohttp.ClientTimeout(total=seconds)
        try:
            async with self._session.get(self.endpoint.base_url + path, timeout=timeout) as answer:
                return await answer.text() if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()
