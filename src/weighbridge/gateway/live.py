"""What the page shows while it happens: models every two seconds, each request as it ends, as server-sent events."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from weighbridge.ledger import Served
from weighbridge.openai_api import ApiError

from .recording import Recorder

_LOOK_SECONDS = 2.0
_MOST_READERS = 16
# A page that takes less than comes is left behind; it comes again by itself.
_MOST_WAITING = 256
_VERIFY_SECONDS = 600.0


class Live:
    """The readers of events; while there is none, nothing is made for them.

    `describe` gives how the gateway is now, as JSON.
    """

    def __init__(self, recorder: Recorder, describe: Callable[[], dict[str, Any]]) -> None:
        self._recorder = recorder
        self._describe = describe
        self._readers: set[asyncio.Queue[bytes | None]] = set()
        self._looking: asyncio.Task[None] | None = None
        self._is_closed = False
        self._is_verifying = False

    def events(self) -> AsyncIterator[bytes]:
        """The stream for one reader. ApiError 503 where there are too many."""
        if self._is_closed or len(self._readers) >= _MOST_READERS:
            raise ApiError(503, f"{_MOST_READERS} pages are open already", kind="server_error", code="too_many_readers")
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(_MOST_WAITING)
        return self._stream(queue)

    def close(self) -> None:
        """Nothing more comes: every stream ends."""
        self._is_closed = True
        for queue in self._readers:
            _end(queue)
        if self._looking is not None:
            self._looking.cancel()

    async def verify(self, ledger: Path) -> dict[str, Any]:
        """Check the ledger, in a process of its own so that no request waits for it; one at a time."""
        if self._is_verifying:
            raise ApiError(409, "the ledger is being verified already", code="busy", retry_after_seconds=5)
        self._is_verifying = True
        try:
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "weighbridge.ledger", str(ledger),
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            try:
                async with asyncio.timeout(_VERIFY_SECONDS):
                    said, _ = await child.communicate()
                verdict: dict[str, Any] = json.loads(said)
                return verdict
            finally:
                if child.returncode is None:
                    child.kill()
                    await child.wait()
        except (TimeoutError, ValueError) as error:
            message = "the ledger could not be verified: try `weigh log verify`"
            raise ApiError(500, message, kind="server_error", code="not_verified") from error
        finally:
            self._is_verifying = False

    async def _stream(self, queue: asyncio.Queue[bytes | None]) -> AsyncIterator[bytes]:
        self._readers.add(queue)
        self._heed()
        try:
            yield _event("state", self._describe())
            for served in sorted(self._recorder.recent, key=lambda each: each.at):
                yield _request(served)
            while (event := await queue.get()) is not None:
                yield event
        finally:
            self._readers.discard(queue)
            self._heed()

    def _heed(self) -> None:
        """Listen while there is somebody to tell."""
        listeners = self._recorder.listeners
        if self._readers and self._heard not in listeners:
            listeners.append(self._heard)
            self._looking = asyncio.create_task(self._look())
        elif not self._readers and self._heard in listeners:
            listeners.remove(self._heard)
            if self._looking is not None:
                self._looking.cancel()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self._tell(_event("state", self._describe()))

    def _heard(self, served: Served) -> None:
        self._tell(_request(served))

    def _tell(self, event: bytes) -> None:
        for queue in tuple(self._readers):
            if queue.full():
                _end(queue)
                self._readers.discard(queue)
            else:
                queue.put_nowait(event)


def _end(queue: asyncio.Queue[bytes | None]) -> None:
    """Let the reader's stream end: what waits for it is dropped."""
    while not queue.empty():
        queue.get_nowait()
    queue.put_nowait(None)


def _request(served: Served) -> bytes:
    """Without its words: they are for the ledger alone, where the settings have them kept."""
    row = served._asdict() | {"at": round(served.at, 3)}
    del row["prompt"], row["answer"]
    return _event("request", row)


def _event(name: str, value: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps(value)}\n\n".encode()
