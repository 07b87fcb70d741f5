"""`Endpoint`: where an engine answers; `Running`: an engine that was started."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to send a model's requests: `base_url` ends before `/v1`; with `socket`, through that Unix socket."""

    base_url: str
    socket: Path | None = None
    api_key: str = field(default="", repr=False)
    model: str | None = None
    """The name by which the engine knows the model, where that differs from ours."""
    context_tokens: int | None = None
    """How long a sequence the engine says it takes; None: it does not say, or the plan knows."""
    verify_tls: bool = True
    """Whether the certificate of an https address must be good."""


class Running(Protocol):
    """An engine that is ready to answer."""

    endpoint: Endpoint
    pid: int | None
    """Of its process, None for an engine elsewhere."""

    ended: asyncio.Future[str]
    """Becomes the cause when the engine ends by itself."""

    async def stop(self) -> None:
        """End it; returns when nothing of it is left."""

    async def memory_bytes(self) -> int | None:
        """Main memory that its processes hold now, shared pages counted in part; None where nobody can say.

        Takes at most a second, and is made to be asked every few seconds. Memory on GPUs is not in it.
        """
