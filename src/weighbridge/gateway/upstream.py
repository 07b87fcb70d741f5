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
            connector = aiohttp.TCPConnector(limit=0)
        headers = {"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=read_timeout_seconds),
            # One line of a stream may hold a whole image or embedding; the body itself is not kept.
            read_bufsize=1 << 16,
            auto_decompress=False,
        )

    @contextlib.asynccontextmanager
    async def post(self, path: str, body: bytes, headers: dict[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """The engine's answer to a request; leaving before its end closes the connection, which cancels the work."""
        answer = await self._session.post(self.endpoint.base_url + path, data=body, headers=headers)
        try:
            yield answer
        finally:
            if answer.content.at_eof():
                answer.release()
            else:
                answer.close()

    async def text(self, path: str) -> str | None:
        """What stands at a path, None where nothing answers within a second."""
        try:
            async with self._session.get(
                self.endpoint.base_url + path, timeout=aiohttp.ClientTimeout(total=1.0)
            ) as answer:
                return await answer.text() if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()
