"""An engine somewhere else: any URL that speaks the OpenAI API (Ollama, vLLM, SGLang, a company's own)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import aiohttp

from weighbridge.errors import EngineFailed

from .endpoint import Endpoint, Running
from .model import Model
from .surroundings import Surroundings

IS_ENGINE = True
_ASK_SECONDS = 10.0


@dataclass
class RemoteEngine:
    """A server that others run: it can't be stopped from here, and it is only known to be there."""

    endpoint: Endpoint
    pid: int | None = None
    ended: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    async def stop(self) -> None:
        """Nothing of it is ours."""


async def start(model: Model, surroundings: Surroundings) -> Running:
    """Ask the server at `options["url"]` for its models, and take the one in `options["model"]` or its only one."""
    url = model.options["url"].rstrip("/").removesuffix("/v1")
    key = model.options.get("api_key", "")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    timeout = aiohttp.ClientTimeout(total=min(_ASK_SECONDS, surroundings.start_timeout_seconds))
    try:
        async with (
            aiohttp.ClientSession(headers=headers, timeout=timeout) as session,
            session.get(f"{url}/v1/models") as answer,
        ):
            if answer.status != 200:
                raise EngineFailed(
                    f"{model.name}: {url}/v1/models answered {answer.status}",
                    hint="is a key needed? WEIGHBRIDGE_REMOTE_API_KEY",
                )
            listed = await answer.json(content_type=None)
            names = [str(entry["id"]) for entry in listed["data"]]
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise EngineFailed(f"{model.name}: nothing answers at {url}: {error}", hint="is the server running?") from error
    except (ValueError, KeyError, TypeError) as error:
        raise EngineFailed(
            f"{model.name}: {url}/v1/models is no OpenAI list of models: {error!r}", hint="check the URL"
        ) from error
    wanted = model.options.get("model")
    if wanted is None and len(names) != 1:
        raise EngineFailed(
            f"{model.name}: {url} has {len(names)} models: {', '.join(names[:8])}", hint="name one: NAME=URL#MODEL"
        )
    if wanted is not None and wanted not in names:
        raise EngineFailed(f"{model.name}: {url} has no model {wanted!r}", hint=f"it has: {', '.join(names[:8])}")
    return RemoteEngine(Endpoint(url, api_key=key, model=wanted or names[0]))
