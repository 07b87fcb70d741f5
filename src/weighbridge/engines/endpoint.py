"""`Endpoint`: where an engine answers; `Running`: an engine that was started."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to send a model's requests: `base_url` ends before `/v1`; with `socket`, through that Unix socket."""

    base_url: str
    socket: Path | None = None
    api_key: str = ""
    model: str | None = None
    """The name by which the engine knows the model, where that differs from ours."""


class Running(Protocol):
    """An engine that is ready to answer."""

    endpoint: Endpoint
    pid: int | None
    """Of its process, None for an engine elsewhere."""

    ended: asyncio.Future[str]
    """Becomes the cause when the engine ends by itself."""

    async def stop(self) -> None:
        """End it; returns when nothing of it is left."""
