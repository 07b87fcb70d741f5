"""`serve()`: the gateway as a server, with all that is not the door itself: lists, health, metrics."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import re
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from weighbridge import __version__
from weighbridge.engines import Model, Surroundings
from weighbridge.errors import AddressInUse
from weighbridge.openai_api import AUTO, ApiError
from weighbridge.settings import Settings

from .door import Door, check_caller
from .metrics import Metrics
from .pool import Pool
from .scheduler import Phase

_PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")
# How long requests that are being answered may go on once the gateway is told to stop.
_PATIENCE_SECONDS = 5.0
_COUNTERS_SECONDS = 1.5
_COUNTER = re.compile(r"^llamacpp:(tokens_predicted_total|requests_processing)\s+([\d.e+]+)", re.MULTILINE)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: whoever runs the gateway decides what ends it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave all signals as they are."""
        yield


class Gateway:
    """The door over a pool of models, and pages about them."""

    def __init__(self, models: Sequence[Model], settings: Settings, sockets: Path, tell: Callable[[str], None]) -> None:
        self.settings = settings
        self.started = time.time()
        self._counted: dict[str, tuple[float, dict[str, str]]] = {}
        self.metrics = Metrics()
        surroundings = Surroundings(sockets, settings.state_path / "logs", settings.start_timeout_seconds)
        self.pool = Pool(models, surroundings, settings.read_timeout_seconds, settings.health_interval_seconds, tell)
        self.door = Door(self.pool, self.metrics, settings.api_key, settings.max_body_bytes)

    def application(self) -> Starlette:
        """The ASGI application."""
        guarded = {"/v1/models": self.models, "/metrics": self.show_metrics, "/ps": self.ps}
        return Starlette(
            routes=[
                *(Route(path, self.door, methods=["POST"]) for path in _PATHS),
                *(Route(path, self._guarded(page), methods=["GET"]) for path, page in guarded.items()),
                Route("/health", self.health, methods=["GET"]),
            ],
            exception_handlers={404: _no_such_path, 405: _wrong_method, ApiError: _api_error, 500: _our_fault},
        )

    def _guarded(self, page: Any) -> Any:
        async def guarded(request: Request) -> Response:
            check_caller(request.headers, self.settings.api_key)
            response: Response = await page(request)
            return response

        return guarded

    async def models(self, request: Request) -> Response:
        """OpenAI's list of models: those served, and `auto`."""
        names = [AUTO, *self.pool.models]
        data = [
            {"id": name, "object": "model", "created": int(self.started), "owned_by": "weighbridge"} for name in names
        ]
        return JSONResponse({"object": "list", "data": data})

    async def health(self, request: Request) -> Response:
        """200 while the gateway answers; says of each model where it is in its life."""
        phases = {name: str(self.pool.phase(name)) for name in self.pool.models}
        status = "ok" if Phase.READY in phases.values() else "starting" if Phase.STARTING in phases.values() else "idle"
        return JSONResponse({"status": status, "version": __version__, "models": phases})

    async def show_metrics(self, request: Request) -> Response:
        """Prometheus' text."""
        for name in self.pool.models:
            self.metrics.ready.labels(name).set(self.pool.phase(name) is Phase.READY)
            self.metrics.restarts.labels(name).set(self.pool.restarts[name])
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def ps(self, request: Request) -> Response:
        """The models: phase, process, memory planned and measured, requests."""
        models = await asyncio.gather(*(self._describe(model) for model in self.pool.models.values()))
        own = {"pid": os.getpid(), "create_time": psutil.Process().create_time()}
        return JSONResponse({**own, "uptime_seconds": time.time() - self.started, "models": models})

    async def _describe(self, model: Model) -> dict[str, Any]:
        state = self.pool.state.models[model.name]
        running = self.pool.running.get(model.name)
        counters = await self._counters(model.name)
        return {
            "name": model.name,
            "engine": model.engine,
            "state": str(state.phase),
            "cause": state.cause or None,
            "pid": running.pid if running else None,
            "context_tokens": model.plan.context_tokens if model.plan else None,
            "parallel": model.plan.workload.parallel if model.plan else None,
            "memory_planned_bytes": model.plan.memory.total if model.plan else None,
            # Walking the pages of a large mapped model takes a while: not on the loop that carries the streams.
            "memory_measured_bytes": await asyncio.to_thread(_memory_bytes, running.pid if running else None),
            "requests_waiting": len(state.waiting),
            "requests_in_flight": len(state.serving),
            "engine_requests_processing": _whole(counters.get("requests_processing")),
            "engine_tokens_predicted": _whole(counters.get("tokens_predicted_total")),
            "restarts": self.pool.restarts[model.name],
            "purpose": model.card.description,
        }

    async def _counters(self, name: str) -> dict[str, str]:
        """What the engine counts. Asked too often, llama.cpp never finds time to see that a client has left."""
        upstream = self.pool.upstreams.get(name)
        if upstream is None:
            return {}
        asked, counters = self._counted.get(name, (0.0, {}))
        if time.monotonic() - asked > _COUNTERS_SECONDS:
            counters = dict(_COUNTER.findall(await upstream.text("/metrics") or ""))
            self._counted[name] = (time.monotonic(), counters)
        return counters


def _whole(text: str | None) -> int | None:
    return None if text is None else int(float(text))


def _memory_bytes(pid: int | None) -> int | None:
    """Proportional set size where the kernel tells it (weights that others map too count in part), else resident."""
    if pid is None:
        return None
    try:
        memory = psutil.Process(pid).memory_full_info()
    except (psutil.Error, OSError):
        return None
    return int(getattr(memory, "pss", 0) or memory.rss)


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return Response(error.body(), status_code=error.status, media_type="application/json")


async def _no_such_path(request: Request, error: Exception) -> Response:
    return await _api_error(request, ApiError(404, f"no such path: {request.url.path}", code="unknown_url"))


async def _wrong_method(request: Request, error: Exception) -> Response:
    message = f"{request.method} is not taken at {request.url.path}"
    return await _api_error(request, ApiError(405, message, code="method_not_allowed"))


async def _our_fault(request: Request, error: Exception) -> Response:
    logging.getLogger("weighbridge").error("a fault of the gateway", exc_info=error)
    message = f"the gateway failed: {type(error).__name__}; this is a fault of weighbridge, please report it"
    return await _api_error(request, ApiError(500, message, kind="server_error", code="gateway_fault"))


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; AddressInUse where another program has the address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named so that asyncio knows accepted sockets for TCP and sets TCP_NODELAY: without it each
    # answer waits 40 ms for the client's delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise AddressInUse(
            f"cannot listen at {host}:{port}: {reason}",
            hint="a gateway may be running already (weigh ps), or choose another port: --port 0 takes a free one",
        ) from error
    return listener


@contextlib.asynccontextmanager
async def serve(
    models: Sequence[Model], settings: Settings, tell: Callable[[str], None] = lambda line: None
) -> AsyncIterator[tuple[Gateway, str]]:
    """The gateway while it serves, and its URL; leaving the context stops it and every engine.

    `tell` hears what an operator should know, a line each.
    """
    listener = listen(settings.host, settings.port)
    host, port = listener.getsockname()[:2]
    url = dataclasses.replace(settings, host=host, port=port).url
    with tempfile.TemporaryDirectory(prefix="weighbridge-") as sockets:
        gateway = Gateway(models, settings, Path(sockets), tell)
        config = uvicorn.Config(
            gateway.application(),
            log_level="critical",  # what goes wrong is told by the door, once and in its own words
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=2,
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            while not server.started and not task.done():
                await asyncio.sleep(0.005)
            yield gateway, url
        finally:
            try:
                await gateway.pool.drain(_PATIENCE_SECONDS)
                await gateway.pool.close()
            finally:
                server.should_exit = True
                await task
                listener.close()
