"""Which addresses a page may lead to: public ones, as the name resolves at the very connection; others by a setting.

A page is written by strangers. A link or a redirect in it to 127.0.0.1, to a router or to a cloud's metadata service
would have this machine ask what only it can reach.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Iterable
from typing import Any

import httpcore2

from weighbridge.errors import SourceUnreachable

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open Internet's; one that wraps another is as that other is."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast


def public_addresses(host: str, port: int, allowed: Iterable[str] = ()) -> list[str]:
    """The IP addresses of a host that may be asked; `allowed` are hosts, or host:port, that may be private.

    Raises SourceUnreachable where there is none, OSError where the name does not resolve.
    """
    name = host.strip("[]").lower()
    found = [str(each[4][0]) for each in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)]
    if {name, f"{name}:{port}"} & {each.strip("[]").lower() for each in allowed}:
        return found
    public = [address for address in found if is_public(address)]
    if not public:
        raise SourceUnreachable(
            f"{name}: is no public address ({', '.join(sorted(set(found)))[:100]}), and pages are not followed there",
            hint=f'if the server is your own: [digest] private_hosts = ["{name}:{port}"]',
        )
    return public


class PublicBackend(httpcore2.NetworkBackend):
    """Connects to what `public_addresses` allows, and to no other address that the same name has a moment later; ends
    what takes longer than `until`, however it trickles."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = tuple(allowed)
        self._sockets = httpcore2.SyncBackend()
        self.until = float("inf")
        """As `time.monotonic` counts."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """A connection to the first address that takes one."""
        try:
            addresses = public_addresses(host, port, self._allowed)
        except OSError as error:
            raise httpcore2.ConnectError(f"the name does not resolve: {error.strerror or error}") from error
        trouble: Exception | None = None
        for address in addresses[:4]:
            try:
                stream = self._sockets.connect_tcp(address, port, timeout, local_address, socket_options)
                return _TimedStream(stream, self)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                trouble = error
        raise trouble or httpcore2.ConnectError("no address")


class _TimedStream(httpcore2.NetworkStream):
    """A connection whose every wait ends at the backend's `until`."""

    def __init__(self, stream: httpcore2.NetworkStream, backend: PublicBackend) -> None:
        self._stream, self._backend = stream, backend

    def _left(self, timeout: float | None) -> float | None:
        left = self._backend.until - time.monotonic()
        if left <= 0:
            raise httpcore2.ReadTimeout("the whole answer took too long")
        return left if timeout is None else min(left, timeout)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """The next bytes."""
        return self._stream.read(max_bytes, self._left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send these bytes."""
        self._stream.write(buffer, self._left(timeout))

    def close(self) -> None:
        """End it."""
        self._stream.close()

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> Any:
        """The same over TLS, for the name that was asked for."""
        return _TimedStream(self._stream.start_tls(ssl_context, server_hostname, self._left(timeout)), self._backend)

    def get_extra_info(self, info: str) -> Any:
        """What the socket knows."""
        return self._stream.get_extra_info(info)
