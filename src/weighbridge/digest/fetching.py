"""`Fetcher`: pages over HTTP as a good guest asks for them: one at a time, with a pause for each host, only what is
new, and never where strangers' links must not lead."""

from __future__ import annotations

import time
import urllib.robotparser
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore2
import httpx2

from weighbridge import __version__
from weighbridge.errors import RateLimited, SourceUnreachable
from weighbridge.facts.shelves.http_answers import content_length, seconds_of, shown

from .addresses import PublicBackend, public_addresses

_MOST_REDIRECTS = 5
_MOST_ROBOTS_BYTES = 512 << 10
_MOST_LINK_HEADER = 4000
# What a server's passing trouble looks like.
_MAY_PASS = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Manners:
    """How servers are asked, and for how long they are waited for."""

    pause_seconds: float = 1.0
    """Between two requests to one host."""
    connect_seconds: float = 10.0
    read_seconds: float = 30.0
    """How long a server may send nothing."""
    answer_seconds: float = 120.0
    """How long one answer may take as a whole."""
    retries: int = 3
    first_wait_seconds: float = 1.0
    """Before the first retry; it doubles. A server's Retry-After counts for more."""
    most_wait_seconds: float = 60.0
    """A server that asks for a longer pause is left for the next time."""
    most_bytes: int = 8 << 20
    private_hosts: tuple[str, ...] = ()
    contact: str = ""
    """An address of mail or a page that servers' keepers can turn to."""


class Validators(Protocol):
    """What servers said of their pages the last time."""

    def of(self, url: str) -> tuple[str, str] | None:
        """ETag and Last-Modified, each empty where there was none."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A page as it came."""

    url: str
    """Where it was in the end."""
    body: bytes
    content_type: str
    charset: str | None
    links: Mapping[str, str]
    """The Link header, by relation: `next`."""


@dataclass(slots=True)
class Fetcher:
    """One at a time; `pending` are validators that count once what came with them is kept."""

    manners: Manners = field(default_factory=Manners)
    validators: Validators | None = None
    wait: Callable[[float], None] = time.sleep
    pending: dict[str, tuple[str, str]] = field(default_factory=dict)
    asked: int = 0
    """Requests that went out."""
    _asked_at: dict[str, float] = field(default_factory=dict)
    _robots: dict[str, urllib.robotparser.RobotFileParser | None] = field(default_factory=dict)
    _unread: dict[str, SourceUnreachable] = field(default_factory=dict)
    _clients: dict[str, tuple[httpx2.Client, PublicBackend | None]] = field(default_factory=dict)

    def get(
        self,
        url: str,
        *,
        accept: str = "*/*",
        headers: Mapping[str, str] | None = None,
        most_bytes: int = 0,
        conditional: bool = True,
        pause_seconds: float = 0.0,
    ) -> Answer | None:
        """The page; None where the server says that it is as it was. `headers` go to this origin alone.

        Raises SourceUnreachable (RateLimited among it) when it does not come, after some tries where that may help.
        """
        sent = {"Accept": accept, **(headers or {})}
        known = self.validators.of(url) if self.validators and conditional else None
        if known:
            sent |= {
                name: value for name, value in zip(("If-None-Match", "If-Modified-Since"), known, strict=True) if value
            }
        wait = self.manners.first_wait_seconds
        for tried in range(self.manners.retries + 1):
            try:
                return self._follow(url, sent, most_bytes or self.manners.most_bytes, pause_seconds)
            except _Passing as trouble:
                seconds = wait if trouble.wait_seconds is None else trouble.wait_seconds
                if tried == self.manners.retries or seconds > self.manners.most_wait_seconds:
                    raise trouble.error from trouble.__cause__
                self.wait(seconds)
                wait *= 2
        raise AssertionError("the loop returns or raises")

    def may_read(self, url: str) -> bool:
        """Whether the site's robots.txt lets a program of our name read this page (RFC 9309: none at all allows it, one
        that cannot be had for a fault of the server forbids it for now)."""
        origin = _origin(url)
        if origin not in self._robots:
            self._robots[origin] = self._read_robots(origin)
        rules = self._robots[origin]
        return rules is None or rules.can_fetch("weighbridge", url)

    def why_no_robots(self, url: str) -> SourceUnreachable | None:
        """Why the robots.txt of this page's site could not be had, where it could not."""
        return self._unread.get(_origin(url))

    def _read_robots(self, origin: str) -> urllib.robotparser.RobotFileParser | None:
        rules = urllib.robotparser.RobotFileParser()
        try:
            answer = self.get(f"{origin}/robots.txt", most_bytes=_MOST_ROBOTS_BYTES, conditional=False)
        except _NotThere:
            return None
        except SourceUnreachable as error:
            self._unread[origin] = error
            rules.disallow_all = True  # type: ignore[attr-defined]
            return rules
        assert answer is not None
        rules.parse(answer.body.decode("utf-8", "replace").splitlines())
        return rules

    def _follow(self, url: str, headers: Mapping[str, str], most: int, pause: float) -> Answer | None:
        first, target = _origin(url), url
        until = time.monotonic() + self.manners.answer_seconds
        for _ in range(_MOST_REDIRECTS + 1):
            # Keys and validators are for whom they were made.
            sent = dict(headers) if _origin(target) == first else {"Accept": headers["Accept"]}
            self._be_polite(target, pause)
            client, backend = self._client_for(target)
            if backend is not None:
                backend.until = max(until, time.monotonic() + self.manners.connect_seconds)
            try:
                response = client.send(client.build_request("GET", target, headers=sent), stream=True)
                with closing(response):
                    if not response.has_redirect_location:
                        return self._take(url, response, most)
                    target = _redirected(target, response.headers["Location"])
            except (httpx2.HTTPError, httpx2.InvalidURL, httpcore2.ReadTimeout, OSError, ValueError) as error:
                raise _trouble(target, error) from error
            finally:
                # The pause is from the end of one answer to the next request.
                self._asked_at[urlsplit(target).netloc] = time.monotonic()
        raise SourceUnreachable(f"{shown(url)}: redirected more than {_MOST_REDIRECTS} times", hint="try later")

    def _be_polite(self, url: str, pause: float) -> None:
        host = urlsplit(url).netloc
        pause = max(pause, self.manners.pause_seconds)
        if host in self._asked_at and (left := self._asked_at[host] + pause - time.monotonic()) > 0:
            self.wait(left)
        self._asked_at[host] = time.monotonic()
        self.asked += 1

    def _take(self, url: str, response: httpx2.Response, most: int) -> Answer | None:
        status = response.status_code
        if status == 304:
            return None
        if status != 200:
            raise _refusal(url, response)
        length = content_length(response)
        if length is not None and length > most:
            raise _too_large(url, most)
        body = b"".join(_pieces(response, url, most))
        etag, modified = (response.headers.get(name, "")[:500] for name in ("ETag", "Last-Modified"))
        if etag or modified:
            self.pending[url] = (etag, modified)
        kind = response.headers.get("Content-Type", "")[:200]
        return Answer(
            str(response.url),
            body,
            kind.partition(";")[0].strip().lower(),
            response.charset_encoding,
            {name: link["url"] for name, link in response.links.items() if name and "url" in link}
            if len(response.headers.get("Link", "")) < _MOST_LINK_HEADER
            else {},
        )

    def _client_for(self, url: str) -> tuple[httpx2.Client, PublicBackend | None]:
        """A client that connects by itself; or through the proxy that the environment names for this address."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise SourceUnreachable(
                f"{shown(url)[:200]}: is no address of a page", hint="like https://example.org/post"
            )
        proxies = getproxies()
        proxy = proxies.get(parts.scheme) or proxies.get("all") or ""
        if proxy and proxy_bypass(parts.netloc):
            proxy = ""
        if proxy:
            # The proxy resolves the name; what is plainly private is refused all the same.
            try:
                public_addresses(parts.hostname, parts.port or 443, self.manners.private_hosts)
            except OSError:
                pass
        if proxy not in self._clients:
            self._clients[proxy] = self._new_client(proxy)
        return self._clients[proxy]

    def _new_client(self, proxy: str) -> tuple[httpx2.Client, PublicBackend | None]:
        backend = None if proxy else PublicBackend(self.manners.private_hosts)
        transport = httpx2.HTTPTransport(proxy=proxy or None, retries=0)
        if backend is not None:
            # httpx2 has no argument for what connects; its pool does.
            transport._pool = httpcore2.ConnectionPool(
                ssl_context=httpx2.create_ssl_context(), max_connections=4, network_backend=backend
            )
        agent = f"weighbridge/{__version__} (digest of open-weight models{'; ' * bool(self.manners.contact)}"
        client = httpx2.Client(
            transport=transport,
            headers={"User-Agent": f"{agent}{self.manners.contact})", "Accept-Encoding": "gzip"},
            timeout=httpx2.Timeout(self.manners.read_seconds, connect=self.manners.connect_seconds),
            follow_redirects=False,
        )
        # Pages that set cookies shall not know a reader again.
        client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        return client, backend

    def close(self) -> None:
        """End all connections."""
        for client, _ in self._clients.values():
            client.close()
        self._clients.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Passing(Exception):
    """Trouble that may pass; `error` is what to raise when it does not."""

    def __init__(self, error: SourceUnreachable, wait_seconds: float | None = None) -> None:
        super().__init__(str(error))
        self.error, self.wait_seconds = error, wait_seconds


class _NotThere(SourceUnreachable):
    """HTTP 4xx: the server is well, and has nothing for us."""


def _pieces(response: httpx2.Response, url: str, most: int) -> Iterator[bytes]:
    """The body, unpacked no further than to `most` bytes: a few packed bytes may stand for gigabytes."""
    packing = response.headers.get("Content-Encoding", "").strip().lower()
    if packing not in ("", "identity", "gzip"):
        raise SourceUnreachable(f"{shown(url)}: is sent as {packing[:40]!r}, which was not asked for", hint="try later")
    unpacking = zlib.decompressobj(wbits=31) if packing == "gzip" else None
    held = 0
    for raw in response.iter_raw():
        try:
            piece = unpacking.decompress(raw, most + 1 - held) if unpacking else raw
        except zlib.error as error:
            raise SourceUnreachable(f"{shown(url)}: is damaged: {error}", hint="try later") from error
        held += len(piece)
        if held > most:
            raise _too_large(url, most)
        yield piece


def _too_large(url: str, most: int) -> SourceUnreachable:
    return SourceUnreachable(f"{shown(url)}: has more than {most:,} bytes", hint="name the article itself, or a feed")


def _refusal(url: str, response: httpx2.Response) -> Exception:
    status = response.status_code
    said = f"{shown(url)}: the server answered HTTP {status}"
    if status in (401, 404, 410, 403) and response.headers.get("X-RateLimit-Remaining") != "0":
        return _NotThere(said, hint="check the name; what is private needs a token: HF_TOKEN, GITHUB_TOKEN")
    after = seconds_of(response.headers.get("Retry-After", ""))
    if status in (429, 403):
        # GitHub says it by 403, and when it ends as seconds since 1970.
        reset = response.headers.get("X-RateLimit-Reset", "")
        if after is None and reset.isascii() and reset.isdecimal() and len(reset) < 12:
            after = max(0.0, int(reset) - time.time())
        limited = RateLimited(
            f"{said}: it limits the rate of requests",
            hint="wait; those who send a token may ask more often: HF_TOKEN, GITHUB_TOKEN",
            wait_seconds=after,
        )
        return _Passing(limited, after)
    if status in _MAY_PASS:
        return _Passing(SourceUnreachable(said, hint="try again later"), after)
    kind = _NotThere if 400 <= status < 500 else SourceUnreachable
    return kind(said, hint="check the address")


def _trouble(url: str, error: Exception) -> Exception:
    what = str(error)[:200] or type(error).__name__
    found = SourceUnreachable(f"{shown(url)[:300]}: {what}", hint="check the address and the network")
    return _Passing(found) if isinstance(error, httpx2.TransportError | httpcore2.ReadTimeout | OSError) else found


def _redirected(url: str, location: str) -> str:
    target = str(httpx2.URL(url).join(location))
    if url.startswith("https:") and not target.startswith("https:"):
        raise SourceUnreachable(
            f"{shown(url)}: redirects from https to {shown(target)[:200]!r}, which anyone on the way could change",
            hint="the server is at fault",
        )
    return target


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
