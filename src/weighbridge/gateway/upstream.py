"""The connection to one engine: where it is, how it is reached, and the gateway's own questions to it."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from weighbridge.engines import Endpoint
from weighbridge.openai_api import client_tls
from weighbridge.settings import ModelSettings

from . import wire

# Pages for machines are some kilobytes; what is longer is no answer to a question of ours.
_MOST_PAGE_BYTES = 1 << 20
# Every token of a long text, as numbers.
_MOST_ANSWER_BYTES = 32 << 20


class Upstream:
    """Requests to one endpoint, over kept connections; `wire` carries those that pass through."""

    def __init__(self, endpoint: Endpoint, settings: ModelSettings) -> None:
        self.endpoint = endpoint
        base = urlsplit(endpoint.base_url)
        is_tls = base.scheme == "https"
        address: Path | tuple[str, int] = endpoint.socket or (base.hostname or "", base.port or (443 if is_tls else 80))
        headers = [(b"accept-encoding", b"identity")]
        if endpoint.api_key:
            headers.append((b"authorization", b"Bearer " + endpoint.api_key.encode()))
        limits = _limits(settings)
        self.wire = wire.Upstream(
            address, headers=headers, limits=limits, tls=_tls(endpoint.verify_tls) if is_tls else None
        )
        self._prefix = base.path.rstrip("/").encode()

    def take(self, settings: ModelSettings) -> None:
        """Other time-outs, from now on."""
        self.wire.limits = _limits(settings)

    def without_key(self, said: bytes) -> bytes:
        """What the endpoint said, without the key that it was sent: some repeat one that they refuse."""
        key = self.endpoint.api_key.encode()
        return said.replace(key, b"***") if key else said

    def target(self, path: bytes) -> bytes:
        """A path of the API as this endpoint has it."""
        return self._prefix + path

    async def text(self, path: str, seconds: float = 1.0) -> str | None:
        """What stands at a path, None where nothing answers in time."""
        try:
            head, body = await self.wire.fetch(self.target(path.encode()), seconds=seconds, most_bytes=_MOST_PAGE_BYTES)
        except OSError:
            return None
        return body.decode(errors="replace") if head.status == 200 else None

    async def json(self, path: str, content: object, seconds: float) -> tuple[int, dict[str, Any]]:
        """The answer to a question of our own: its status, and the JSON object, empty where it is none.

        OSError where it does not come in time.
        """
        head, body = await self.wire.fetch(
            self.target(path.encode()),
            [json.dumps(content).encode()],
            method=b"POST",
            seconds=seconds,
            most_bytes=_MOST_ANSWER_BYTES,
        )
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            found = None
        return head.status, found if isinstance(found, dict) else {}

    async def status(self, path: str, body: bytes, seconds: float) -> int | None:
        """The status of the answer to a request of our own, once it came whole; None where it did not in time."""
        try:
            head, _ = await self.wire.fetch(
                self.target(path.encode()), [body], method=b"POST", seconds=seconds, most_bytes=_MOST_PAGE_BYTES
            )
        except OSError:
            return None
        return head.status

    async def close(self) -> None:
        """Close all connections."""
        self.wire.close()


def _limits(settings: ModelSettings) -> wire.UpstreamLimits:
    """The time-outs of a model's table, all filled."""
    defaults = wire.UpstreamLimits()
    silence = settings.read_timeout_seconds or defaults.silence_seconds
    first = settings.first_byte_timeout_seconds or silence
    return wire.UpstreamLimits(
        connect_seconds=settings.connect_timeout_seconds or defaults.connect_seconds,
        first_byte_seconds=first,
        silence_seconds=silence,
        sweep_seconds=min(0.5, silence / 4, first / 4),
    )


# Reading the machine's authorities takes milliseconds and megabytes: once.
_tls = functools.cache(client_tls)
