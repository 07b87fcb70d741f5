"""Cross-origin requests: which pages in a browser may read what is answered. Closed, unless origins are named."""

from __future__ import annotations

from collections.abc import Iterable

from .heads import Request

_MOST_ASKED_BYTES = 1024
_ASKED = frozenset(b"!#$%&'*+-.^_`|~, 0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
# No cookie or password of the browser's own is ever asked for, so a star may stand for all that an answer's head holds.
_ALLOWED = b"access-control-allow-origin: %b\r\naccess-control-expose-headers: *\r\nvary: origin\r\n"
_METHODS = b"access-control-allow-methods: GET, POST, OPTIONS\r\naccess-control-max-age: 600\r\n"


class Cors:
    """The origins that are let in; `*` among them is any."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)
        self._is_open = b"*" in self._origins

    def allows(self, origin: bytes) -> bool:
        """Whether pages of this origin may call."""
        return self._is_open or origin in self._origins

    def lines(self, request: Request | None) -> bytes:
        """What an answer's head says to the browser, as by `header_lines`; nothing to an origin that is not let in."""
        origin = None if request is None else request.values.get(b"origin")
        if origin is None or not self.allows(origin):
            return b""
        return _ALLOWED % (b"*" if self._is_open else origin)

    def preflight(self, request: Request) -> bytes | None:
        """What answers a browser that asks before it sends a request; None where this is no such question, or not one
        of an origin that is let in."""
        values = request.values
        origin = values.get(b"origin")
        if request.method != b"OPTIONS" or origin is None or not self.allows(origin):
            return None
        if b"access-control-request-method" not in values:
            return None
        lines = _METHODS
        asked = values.get(b"access-control-request-headers", b"")
        if asked and len(asked) <= _MOST_ASKED_BYTES and _ASKED.issuperset(asked):
            lines += b"access-control-allow-headers: %b\r\n" % asked
        if values.get(b"access-control-request-private-network") == b"true":
            lines += b"access-control-allow-private-network: true\r\n"
        return lines
