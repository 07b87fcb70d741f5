"""Parts of files over HTTP: nothing is fetched beyond what was asked for, and no server is trusted or waited for long.

httpx2 is the client that huggingface_hub brings. Its redirects are followed here by hand: a token must not travel
along, a scheme must not weaken, and where a file was found is remembered for its next range.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2

from weighbridge import __version__
from weighbridge.errors import BadModelFile, SourceUnreachable, WeighbridgeError

from .access import HubAccess
from .http_answers import (
    Remote,
    TryAgain,
    content_length,
    content_range,
    origin,
    redirected,
    refusal,
)
from .shelf import too_large

Taken = TypeVar("Taken")

_THREADS = 8
_MOST_REDIRECTS = 5
# A page that says "moved" or "no" is read to its end up to this size: the connection can then be used again.
_MOST_PAGE_BYTES = 16 << 10
_HEADERS = {"User-Agent": f"weighbridge/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}


class RangeClient:
    """Fetches parts of files. One client keeps its connections alive and may be used by several threads."""

    def __init__(self, access: HubAccess, tls: ssl.SSLContext | None = None) -> None:
        access.check()
        self.transferred = 0
        self._access, self._patience = access, access.patience
        self._hub = origin(httpx2.URL(access.endpoint))
        self._lock = threading.Lock()
        self._found_at: dict[str, str] = {}
        self._sockets: set[socket.socket] = set()
        self._closed = False
        timeout = httpx2.Timeout(self._patience.read_seconds, connect=self._patience.connect_seconds, pool=None)
        limits = httpx2.Limits(max_connections=2 * _THREADS, max_keepalive_connections=2 * _THREADS)
        self._tls = tls or httpx2.create_ssl_context()
        self._client = httpx2.Client(
            headers=_HEADERS, timeout=timeout, limits=limits, follow_redirects=False, verify=self._tls
        )

    def another(self) -> RangeClient:
        """A client of the same kind, with connections of its own; to read all certificates again takes a while."""
        return RangeClient(self._access, self._tls)

    def size(self, remote: Remote) -> int:
        """A file's bytes, asked for with its first byte."""

        def take(response: httpx2.Response) -> int:
            _, _, total = content_range(response)
            if response.status_code == 200:
                total = content_length(response)
            if total is None:
                raise SourceUnreachable(
                    f"{remote.label}: the server does not tell the file's size", hint="fetch the file, and name it here"
                )
            if response.status_code == 206:
                self._body(response, remote, 1)
            return total

        return self._exchange(remote, {"Range": "bytes=0-0"}, 1, take)

    def fetch(self, remote: Remote, offset: int, count: int) -> bytes:
        """`count` bytes of a file from `offset` on."""
        if count == 0:
            return b""
        asked = f"bytes {offset:,} to {offset + count - 1:,}"

        def take(response: httpx2.Response) -> bytes:
            if response.status_code == 200 and not (offset == 0 and content_length(response) == count):
                length = content_length(response)
                raise SourceUnreachable(
                    f"{remote.label}: {asked} were asked for, and the server ignores ranges: it offers "
                    + (f"all {length:,} bytes" if length is not None else "the whole file"),
                    hint="fetch the file, and name it here",
                )
            first, last, total = content_range(response)
            if response.status_code == 416:
                raise BadModelFile(
                    f"{remote.label}: {asked} were asked for, and the file has "
                    + (f"{total:,} bytes" if total is not None else "fewer"),
                    hint="the file is cut off, or was changed meanwhile: try again",
                )
            if response.status_code == 206 and (first, last) != (offset, offset + count - 1):
                given = response.headers.get("Content-Range", "no Content-Range")
                raise SourceUnreachable(
                    f"{remote.label}: {asked} were asked for, and the server answered with {given[:80]!r}",
                    hint="the server or a proxy is at fault: fetch the file, and name it here",
                )
            return self._body(response, remote, count)

        return self._exchange(remote, {"Range": f"bytes={offset}-{offset + count - 1}"}, count, take)

    def fetch_many(self, requests: Sequence[tuple[Remote, int, int]]) -> list[bytes]:
        """The bytes of each (file, offset, count), in this order, several at a time."""
        if len(requests) < 2:
            return [self.fetch(*request) for request in requests]
        pool = ThreadPoolExecutor(min(_THREADS, len(requests)), thread_name_prefix="ranges")
        try:
            found = list(pool.map(lambda request: self.fetch(*request), requests))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown()
        return found

    def whole(self, remote: Remote, most: int) -> bytes:
        """A small file; BadModelFile if it has more than `most` bytes, of which no more is then fetched."""

        def take(response: httpx2.Response) -> bytes:
            length = content_length(response)
            if response.status_code != 200:
                raise refusal(response, remote, self._access)
            if length is not None and length > most:
                raise too_large(remote.label, length, most)
            return self._body(response, remote, length, most)

        return self._exchange(remote, {}, most, take)

    def once(self, remote: Remote, headers: dict[str, str], take: Callable[[httpx2.Response], Taken]) -> Taken:
        """What `take` makes of one answer, for bodies that take their time: nothing is tried again, and no clock runs
        but that for silence. `take` may raise WeighbridgeError or TryAgain.

        Raises TryAgain for what may pass, also a connection that is not made or falls silent.
        """
        self._ensure_online(remote)
        try:
            return self._follow(remote, remote.url, headers, take)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            trouble = self._trouble(error, remote)
            if isinstance(error, httpx2.TransportError | OSError) and isinstance(trouble, SourceUnreachable):
                raise TryAgain(trouble) from error
            raise trouble from error

    def cut(self) -> None:
        """End what is under way on other threads, with an error there; the client can be used on."""
        self._shut()

    def close(self) -> None:
        """End all connections; what is still under way on other threads ends with an error."""
        self._closed = True
        self._shut()
        self._client.close()

    def _ensure_online(self, remote: Remote) -> None:
        if self._access.offline:
            raise SourceUnreachable(
                f"{remote.label}: HF_HUB_OFFLINE is set, and the file is not on this machine",
                hint="unset HF_HUB_OFFLINE, or name a local file",
            )

    def _exchange(
        self, remote: Remote, headers: dict[str, str], count: int, take: Callable[[httpx2.Response], Taken]
    ) -> Taken:
        """What `take` makes of the answer; again, after a pause, where the trouble may pass."""
        self._ensure_online(remote)
        pause = self._patience.pause_seconds
        for retry in range(self._patience.retries + 1):
            try:
                with self._watched(remote, count):
                    return self._attempt(remote, headers, take)
            except TryAgain as trouble:
                if retry == self._patience.retries or self._closed:
                    raise trouble.error from trouble.__cause__
                time.sleep(pause)
                pause *= 2
        raise AssertionError("the loop returns or raises")

    @contextmanager
    def _watched(self, remote: Remote, count: int) -> Iterator[None]:
        """Ends what takes too long as a whole, and turns the client's errors into ours."""
        longest = self._patience.longest_seconds(count)
        done, overdue = threading.Event(), threading.Event()

        def watch() -> None:
            if done.wait(longest):
                return
            overdue.set()
            self._shut()
            # A redirect may have led to another connection meanwhile.
            while not done.wait(0.5):
                self._shut()

        threading.Thread(target=watch, name="ranges-watch", daemon=True).start()
        try:
            yield
        except (httpx2.HTTPError, httpx2.InvalidURL, TryAgain, OSError) as error:
            if overdue.is_set():
                raise SourceUnreachable(
                    f"{remote.label}: {count:,} bytes did not come within {longest:,.0f} seconds",
                    hint="the server or the connection is too slow: try again later",
                ) from error
            if isinstance(error, TryAgain):
                raise
            raise self._trouble(error, remote) from error
        finally:
            done.set()

    def _trouble(self, error: Exception, remote: Remote) -> Exception:
        if isinstance(error, httpx2.ConnectTimeout):
            what, hint = f"no connection within {self._patience.connect_seconds:g} seconds", "check the network"
        elif isinstance(error, httpx2.TimeoutException):
            what, hint = f"the server sent nothing for {self._patience.read_seconds:g} seconds", "try again later"
        elif isinstance(error, httpx2.ConnectError | httpx2.ProxyError):
            what = f"no connection: {str(error)[:200]}"
            hint = "check the address, the network, HTTPS_PROXY, and SSL_CERT_FILE for certificates of your own"
        elif isinstance(error, httpx2.NetworkError | httpx2.RemoteProtocolError):
            what, hint = f"the connection was lost: {str(error)[:200]}", "try again later"
            return TryAgain(SourceUnreachable(f"{remote.label}: {what}", hint=hint))
        else:
            what, hint = f"{type(error).__name__}: {str(error)[:200]}", "check the address"
        return SourceUnreachable(f"{remote.label}: {what}", hint=hint)

    def _attempt(self, remote: Remote, headers: dict[str, str], take: Callable[[httpx2.Response], Taken]) -> Taken:
        known = self._found_at.get(remote.url)
        try:
            return self._follow(remote, known or remote.url, headers, take)
        except WeighbridgeError:
            # An address that was redirected to is signed and grows old: ask once more where the file is.
            if known is None:
                raise
            self._found_at.pop(remote.url, None)
        return self._follow(remote, remote.url, headers, take)

    def _follow(
        self, remote: Remote, url: str, headers: dict[str, str], take: Callable[[httpx2.Response], Taken]
    ) -> Taken:
        for _ in range(_MOST_REDIRECTS + 1):
            request = self._client.build_request("GET", url, headers=headers, extensions={"trace": self._trace})
            if self._access.token and origin(request.url) == self._hub:
                # For the hub itself only: what it redirects to must not learn the token.
                request.headers["Authorization"] = f"Bearer {self._access.token}"
            response = self._client.send(request, stream=True)
            try:
                if response.has_redirect_location:
                    url = redirected(url, response.headers["Location"], remote)
                    self._drain(response)
                    continue
                if response.status_code not in (200, 206, 416):
                    self._drain(response)
                    raise refusal(response, remote, self._access)
                if encoding := response.headers.get("Content-Encoding"):
                    raise SourceUnreachable(
                        f"{remote.label}: the server sends it as {encoding[:40]!r}, which was not asked for",
                        hint="the server or a proxy is at fault: fetch the file, and name it here",
                    )
                taken = take(response)
                if url != remote.url:
                    self._found_at[remote.url] = url
                return taken
            finally:
                # What was not read is not fetched: an answer with a rest ends its connection.
                response.close()
                with self._lock:
                    self.transferred += response.num_bytes_downloaded
        raise SourceUnreachable(
            f"{remote.label}: redirected more than {_MOST_REDIRECTS} times", hint="the server is at fault: try later"
        )

    def _body(self, response: httpx2.Response, remote: Remote, count: int | None, most: int | None = None) -> bytes:
        """The body, which must have `count` bytes; where that is not known, at most `most`."""
        limit = count if count is not None else most or 0
        chunks: list[bytes] = []
        held = 0
        for chunk in response.iter_raw():
            held += len(chunk)
            if held > limit and count is None:
                raise too_large(remote.label, held, limit)
            if held > limit:
                raise SourceUnreachable(
                    f"{remote.label}: the server sends more than the {limit:,} bytes that were asked for",
                    hint="the server or a proxy is at fault: fetch the file, and name it here",
                )
            chunks.append(chunk)
        if count is not None and held < count:
            raise TryAgain(
                SourceUnreachable(f"{remote.label}: {held:,} of {count:,} bytes came", hint="try again later")
            )
        return b"".join(chunks)

    def _drain(self, response: httpx2.Response) -> None:
        length = content_length(response)
        if length is not None and length <= _MOST_PAGE_BYTES:
            for _ in response.iter_raw():
                pass

    def _trace(self, event: str, info: dict[str, Any]) -> None:
        """Keeps the sockets, so that a server that trickles can be cut off while it is waited for."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            found = info["return_value"].get_extra_info("socket")
            with self._lock:
                self._sockets = {known for known in self._sockets if known.fileno() >= 0}
                if isinstance(found, socket.socket):
                    self._sockets.add(found)

    def _shut(self) -> None:
        with self._lock:
            for found in self._sockets:
                try:
                    # The plain method: that of a TLS socket takes the TLS away under the thread that reads.
                    socket.socket.shutdown(found, socket.SHUT_RDWR)
                except OSError:
                    continue


class RemoteFile:
    """A file elsewhere, read by ranges: each read is one request for just these bytes."""

    def __init__(self, client: RangeClient, remote: Remote, size: int) -> None:
        self._client, self._remote, self._size = client, remote, size
        self._position = 0

    def read(self, count: int, /) -> bytes:
        """The next `count` bytes, fewer only where the file ends."""
        if count < 0:
            raise ValueError("a remote file is read by count")
        content = self._client.fetch(self._remote, self._position, max(0, min(count, self._size - self._position)))
        self._position += len(content)
        return content

    def seek(self, position: int, /) -> int:
        """Go to this byte; nothing is fetched."""
        if position < 0:
            raise ValueError("a file has no byte before its first")
        self._position = position
        return position

    def close(self) -> None:
        """Nothing to give back: connections belong to the shelf."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()
