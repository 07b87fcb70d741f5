"""What servers answer for parts of files: which errors they mean, where they lead to, and what their headers say."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx2

from weighbridge.errors import BadModelFile, ModelGated, RateLimited, SourceUnreachable

from .access import HubAccess

_CONTENT_RANGE = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)")


@dataclass(frozen=True, slots=True)
class Remote:
    """A file elsewhere: its address, and what to call it in messages, where an address may hold secrets."""

    url: str
    label: str


class TryAgain(Exception):
    """Something that may pass: `error` is what to raise when it does not."""

    def __init__(self, error: SourceUnreachable) -> None:
        super().__init__(str(error))
        self.error = error


class AccessRefused(SourceUnreachable):
    """HTTP 401 or 403; some stores say so of files that are not there."""


def shown(url: str) -> str:
    """The address without what may be secret: user, password, query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" + ("?…" if parts.query else "")


def origin(url: httpx2.URL) -> tuple[str, str, int]:
    """Scheme, host and port, as the client reads the address: another reading than its own could be deceived about the
    host."""
    return url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80)


def redirected(url: str, location: str, remote: Remote) -> str:
    """Where a redirect leads, if it may lead there."""
    try:
        target = httpx2.URL(url).join(location)
        address = shown(str(target))[:200]
        is_usable = target.scheme in ("http", "https") and bool(target.host)
    except (httpx2.InvalidURL, ValueError):
        address, is_usable = location.partition("?")[0][:200], False
    if not is_usable:
        raise SourceUnreachable(
            f"{remote.label}: redirects to {address!r}, expected an address with http or https",
            hint="the server is at fault",
        )
    if target.scheme == "http" and url.startswith("https:"):
        raise SourceUnreachable(
            f"{remote.label}: redirects from https to {address!r}, which anyone on the way could change",
            hint="fetch the file by other means, and name it here",
        )
    return str(target)


def content_length(response: httpx2.Response) -> int | None:
    """How many bytes the body has; None where the server does not say it."""
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def content_range(response: httpx2.Response) -> tuple[int | None, int | None, int | None]:
    """First byte, last byte and total, each None where the server does not say it."""
    named = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if not named:
        return None, None, None
    first, last, total = (None if text in (None, "*") else int(text) for text in named.groups())
    return first, last, total


def seconds_of(wait: str) -> float | None:
    """The seconds in Retry-After, which is a number or the date of a day to come; None where it is neither."""
    if wait.isascii() and wait.isdigit():
        return float(wait[:9])
    try:
        until = parsedate_to_datetime(wait)
        return max(0.0, until.timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _reset(rate_limit: str) -> str:
    """The seconds in the hub's header: "resolvers";r=0;t=55."""
    named = re.search(r";\s*t=(\d{1,9})", rate_limit)
    return named[1] if named else ""


def refusal(response: httpx2.Response, remote: Remote, access: HubAccess) -> Exception:
    """The error for an answer that hands nothing over."""
    status, reason = response.status_code, response.headers.get("X-Error-Code", "")
    # What a server says is shown only if it cannot steer a terminal.
    said = f"HTTP {status} {reason[:60]}" if reason.isascii() and reason.isalnum() else f"HTTP {status}"
    if reason == "GatedRepo":
        who = "this token's account has not accepted" if access.token else "one must accept"
        return ModelGated(
            f"{remote.label}: is gated ({said}): {who} its licence",
            hint=f"accept it on its page at {access.endpoint}, and set HF_TOKEN to a token of that account",
        )
    if status in (404, 410) or reason in ("RepoNotFound", "RevisionNotFound", "EntryNotFound"):
        what = {"RepoNotFound": "no such repository, or it is private", "RevisionNotFound": "no such revision"}
        return BadModelFile(
            f"{remote.label}: is not there ({said}): {what.get(reason, 'no such file')}",
            hint="check the name; for a private repository, set HF_TOKEN",
        )
    if status in (401, 403):
        return AccessRefused(
            f"{remote.label}: access is refused ({said})",
            hint="a gated model wants its licence accepted, and HF_TOKEN set to a token of that account",
        )
    if status == 429:
        wait = response.headers.get("Retry-After") or _reset(response.headers.get("RateLimit", ""))
        seconds = seconds_of(wait)
        wait = f"{wait} seconds" if wait.isdigit() else wait if wait.isascii() and wait.isprintable() else ""
        after = f"it asks to wait {wait[:40]}" if wait else "try later"
        return RateLimited(
            f"{remote.label}: the server limits the rate of requests ({said}): {after}",
            hint="wait, or set HF_TOKEN: those who are signed in may ask more often",
            wait_seconds=seconds,
        )
    error = SourceUnreachable(f"{remote.label}: the server answered {said}, expected the file", hint="try later")
    return TryAgain(error) if status >= 500 else error
