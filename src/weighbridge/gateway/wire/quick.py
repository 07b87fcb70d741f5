"""What quick.c reads in one pass, where it was compiled from the source that is here; else the same in Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from weighbridge import openai_api

_VERSION = 5
"""As in quick.c."""

try:
    from . import _quick  # type: ignore[attr-defined,unused-ignore]  # compiled when the package is installed
except ImportError:  # no compiler, or no headers of Python, was there then
    _quick = None

compiled: Any = _quick if getattr(_quick, "VERSION", 0) == _VERSION else None
"""The module that was compiled, or None."""

Spans = dict[str, tuple[int, int]]

outline: Callable[[bytes], tuple[Spans, str | None, bool, bool] | None]
"""Of a body that is a plain JSON object: where the value of each key of the top level begins and ends, `model`,
`stream`, and whether `messages` is a list of objects, and of one at least; None where it is not plain."""
usage_of: Callable[[bytes], dict[str, int]]
"""As `openai_api.usage_of`."""
if compiled is None:
    outline, usage_of = lambda raw: None, openai_api.usage_of
else:
    outline, usage_of = compiled.outline, compiled.usage_of

if TYPE_CHECKING or compiled is None:

    class Client:
        """What plain.c has of a connection to a client: the base of `Connection`. Here no request is plain."""

        __slots__ = ("_at", "_deadline", "_pending", "is_write_paused", "transport", "ways")
        _at: int
        _deadline: float
        _pending: bytes
        is_write_paused: bool
        transport: Any
        ways: Any
        line: Any = None
        """The connection to an engine that carries its request, where that is plain."""

        def received(self, data: bytes) -> None:
            """Bytes have come that plain.c does not read."""
            raise NotImplementedError

        def data_received(self, data: bytes) -> None:
            """Bytes have come."""
            self.received(data)

    class Line:
        """The same of a connection to an engine."""

        __slots__ = ("idle_since", "is_used", "transport")
        idle_since: float
        is_used: bool
        transport: Any
        client: Any = None
        """Whose plain request it carries."""

        def hand_over(self) -> tuple[Any, Any, Any, bytes, bytes, int, Any, Any, float]:
            """Carry a plain request no more: (client, lane, caller, what the client sent, what the engine was sent,
            ticket, what is set aside of the caller's limits, how it was chosen, when it was asked)."""
            raise NotImplementedError

        def received(self, data: bytes) -> None:
            """Bytes have come that plain.c does not read."""
            raise NotImplementedError

        def data_received(self, data: bytes) -> None:
            """Bytes have come."""
            self.received(data)
else:
    Client, Line = compiled.Client, compiled.Line
