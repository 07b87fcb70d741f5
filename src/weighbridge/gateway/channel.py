"""`Channel`: messages between the gateway's first process and one of its workers, over a pair of sockets that nobody
else has. What is said within one round of the event loop goes out as one piece."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Callable, Sequence
from typing import Any, cast

_LOG = logging.getLogger("weighbridge")
_LENGTH = struct.Struct("!I")
# All models with their plans and files are some hundred kilobytes; who lets more lie does not read any more.
_MOST_BYTES = 64 << 20

Message = Sequence[Any]


class Channel(asyncio.Protocol):
    """One end. `write` and `read` turn a list of messages into bytes and back, `heard` takes each message as it came,
    `lost` is called once when the other side is gone."""

    def __init__(
        self,
        write: Callable[[list[Message]], bytes],
        read: Callable[[bytes], list[Message]],
        heard: Callable[[Message], None],
        lost: Callable[[], None],
    ) -> None:
        self._write, self._read, self._heard, self._lost = write, read, heard, lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._came = bytearray()
        self._waiting: list[Message] = []
        self.is_open = True

    def send(self, *message: Any) -> None:
        """Say something; nobody hears it where the other side is gone."""
        if not self._waiting:
            self._loop.call_soon(self.flush)
        self._waiting.append(message)

    def flush(self) -> None:
        """Let all that was said go now."""
        said, self._waiting = self._waiting, []
        transport = self._transport
        if not said or transport is None or transport.is_closing():
            return
        raw = self._write(said)
        if transport.get_write_buffer_size() + len(raw) > _MOST_BYTES:
            transport.abort()
            return
        transport.write(_LENGTH.pack(len(raw)) + raw)

    def close(self) -> None:
        """Say what waits, and end."""
        self.flush()
        if self._transport is not None:
            self._transport.close()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Both sides are there."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        came = self._came
        came += data
        try:
            while len(came) >= _LENGTH.size:
                end = _LENGTH.size + _LENGTH.unpack_from(came)[0]
                if end > _MOST_BYTES + _LENGTH.size:
                    raise ValueError(f"a message of {end:,} bytes")
                if len(came) < end:
                    return
                raw = bytes(came[_LENGTH.size : end])
                del came[:end]
                for message in self._read(raw):
                    self._heard(message)
        except Exception:
            # Who does not understand the other one can't go on with it.
            _LOG.exception("a fault between the gateway's processes")
            assert self._transport is not None
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side is gone."""
        if self.is_open:
            self.is_open = False
            self._lost()
