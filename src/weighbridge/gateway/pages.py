"""`Pages`: all of the gateway that does not go to engines: lists, health, metrics, what an operator asks and tells.

Apart, and loaded with the first request for one of them: what they need takes megabytes.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import time
from typing import TYPE_CHECKING, Any

import psutil
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from weighbridge.errors import WeighbridgeError
from weighbridge.ledger import folder_of
from weighbridge.openai_api import AUTO, ApiError

from . import openapi, wire
from .guard import check_model
from .page import page

if TYPE_CHECKING:
    from .serving import Gateway

_LOG = logging.getLogger("weighbridge")
# A worker process passes no more on.
_MOST_ASKED_BYTES = 1 << 20


class Pages:
    """The pages of a gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def application(self) -> Starlette:
        """The pages: all that does not go to engines, as an ASGI application."""
        guarded = {"/metrics": self.show_metrics, "/ps": self.ps, "/admin/events": self.events}
        return Starlette(
            routes=[
                Route("/v1/models", self.models, methods=["GET"]),
                Route("/v1/models/{name:path}", self.one_model, methods=["GET"]),
                *(Route(path, self._guarded(page), methods=["GET"]) for path, page in guarded.items()),
                Route("/admin/models/{name}/load", self._guarded(self.load), methods=["POST"]),
                Route("/admin/reload", self._guarded(self.reread), methods=["POST"]),
                Route("/admin/models/{name}/unload", self._guarded(self.unload), methods=["POST"]),
                Route("/admin/ledger/verify", self._guarded(self.verify), methods=["POST"]),
                Route("/admin/route", self._guarded(self.explain_route), methods=["POST"]),
                Route("/v1/feedback", self.take_feedback, methods=["POST"]),
                Route("/health", self.health, methods=["GET"]),
                Route("/openapi.json", self.openapi, methods=["GET"]),
                Route("/", self.page, methods=["GET"]),
            ],
            exception_handlers={
                404: self._no_such_path,
                405: self._wrong_method,
                ApiError: self._api_error,
                500: self._our_fault,
            },
        )

    def _guarded(self, page: Any) -> Any:
        """A page that is the operator's alone."""

        async def guarded(request: Request) -> Response:
            self._gateway.guard.operator(dict(request.headers.raw))
            response: Response = await page(request)
            return response

        return guarded

    async def models(self, request: Request) -> Response:
        """OpenAI's list of models: those served, `auto`, its kin and the policies of the settings, as far as the caller
        may ask for them."""
        caller = self._gateway.guard.caller(dict(request.headers.raw))
        names = [name for name in (*self._gateway.chooser.names, *self._gateway.pool.models) if caller.may_ask(name)]
        ends = {"has_more": False, "first_id": names[0] if names else None, "last_id": names[-1] if names else None}
        return JSONResponse({"object": "list", "data": [self._gateway.listed(name) for name in names], **ends})

    async def one_model(self, request: Request) -> Response:
        """One of that list."""
        caller = self._gateway.guard.caller(dict(request.headers.raw))
        name: str = request.path_params["name"]
        check_model(caller, name, self._gateway.pool.models)
        if name not in self._gateway.pool.models and name not in self._gateway.chooser.names:
            raise self._unknown(name)
        return JSONResponse(self._gateway.listed(name))

    def _unknown(self, name: str) -> ApiError:
        served = ", ".join(self._gateway.pool.models)
        return ApiError(404, f"no model is named {name[:100]!r}; there are: {served}", code="model_not_found")

    async def explain_route(self, request: Request) -> Response:
        """Who would answer a prompt now, and why: `{"prompt": ..., "model": "auto", "task": null}`."""
        raw = await request.body()
        if len(raw) > _MOST_ASKED_BYTES:
            raise ApiError(413, f"at most {_MOST_ASKED_BYTES:,} bytes are taken here", code="body_too_large")
        try:
            said = json.loads(raw)
            prompt, policy, task = said["prompt"], said.get("model", AUTO), said.get("task")
            texts = all(isinstance(each, str) for each in (prompt, policy, *([] if task is None else [task])))
        except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
            texts = False
        if not texts:
            raise ApiError(400, 'expected {"prompt": ..., "model": ..., "task": ...}, all texts')
        found = self._gateway.chooser.explain(prompt, policy, task)
        return JSONResponse(found | {"route": dataclasses.asdict(found["route"])})

    async def take_feedback(self, request: Request) -> Response:
        """What a user thinks of an answer, by the request's name; whoever may ask for models may say it of his own."""
        gateway = self._gateway
        caller = gateway.guard.caller(dict(request.headers.raw))
        return JSONResponse(await gateway.feedback.take(await request.body(), caller, frozenset(gateway.pool.models)))

    async def openapi(self, request: Request) -> Response:
        """What may be asked, as an OpenAPI document; read by programs, and seldom."""
        return JSONResponse(openapi.document())

    async def health(self, request: Request) -> Response:
        """200 while the gateway answers; says of each model where it is in its life."""
        return JSONResponse(self._gateway.health())

    async def page(self, request: Request) -> Response:
        """The page. It holds nothing secret, and asks for a key itself where one is needed."""
        try:
            self._gateway.guard.caller(dict(request.headers.raw))
        except ApiError as error:
            if error.status != 401:
                raise
        html, headers = page()
        return Response(html, media_type="text/html; charset=utf-8", headers=headers)

    async def events(self, request: Request) -> Response:
        """What happens, as server-sent events: `state` every two seconds, `request` for each that ends."""
        return StreamingResponse(
            self._gateway.live.events(), media_type="text/event-stream", headers={"cache-control": "no-store"}
        )

    async def verify(self, request: Request) -> Response:
        """Check the ledger: what `weigh log verify --json` says."""
        if self._gateway.recorder.ledger is None:
            raise ApiError(404, "the ledger is off", code="no_ledger")
        return JSONResponse(await self._gateway.live.verify(folder_of(self._gateway.settings.state_path)))

    async def load(self, request: Request) -> Response:
        """Have a model ready; answers when it is, or why it can't be."""
        name = self._named(request)
        await self._gateway.pool.load(name)
        return JSONResponse({"name": name, "state": str(self._gateway.pool.phase(name))})

    async def unload(self, request: Request) -> Response:
        """Unload a model once its answers are complete; answers when its memory is free."""
        name = self._named(request)
        await self._gateway.pool.unload(name)
        return JSONResponse({"name": name, "state": str(self._gateway.pool.phase(name))})

    async def reread(self, request: Request) -> Response:
        """Take the settings anew; answers what has changed, or 400 why nothing has."""
        assert self._gateway.reload is not None
        try:
            done = await self._gateway.reload()
        except WeighbridgeError as error:
            raise ApiError(400, f"nothing was reloaded: {error} ({error.hint})", code="bad_setting") from error
        self._gateway.tell(str(done))
        return JSONResponse(dataclasses.asdict(done))

    def _named(self, request: Request) -> str:
        name: str = request.path_params["name"]
        if name not in self._gateway.pool.models:
            raise self._unknown(name)
        return name

    async def _api_error(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)
        name = self._gateway.door.name()
        headers = {"x-request-id": name}
        if error.retry_after_seconds:
            headers["retry-after"] = str(error.retry_after_seconds)
        return Response(error.body(), status_code=error.status, media_type="application/json", headers=headers)

    async def _no_such_path(self, request: Request, error: Exception) -> Response:
        return await self._api_error(request, ApiError(404, f"no such path: {request.url.path}", code="unknown_url"))

    async def _wrong_method(self, request: Request, error: Exception) -> Response:
        message = f"{request.method} is not taken at {request.url.path}"
        answer = await self._api_error(request, ApiError(405, message, code="method_not_allowed"))
        answer.headers.update(getattr(error, "headers", None) or {})
        return answer

    async def _our_fault(self, request: Request, error: Exception) -> Response:
        if isinstance(error, ClientDisconnect | wire.ClientLeft):
            return Response(status_code=499)  # to nobody
        _LOG.error("a fault of the gateway", exc_info=error)
        message = f"the gateway failed: {type(error).__name__}; this is a fault of weighbridge, please report it"
        return await self._api_error(request, ApiError(500, message, kind="server_error", code="gateway_fault"))

    async def show_metrics(self, request: Request) -> Response:
        """Prometheus' text."""
        await self._gateway.workers.gather()
        self._gateway.metrics.look_at(self._gateway.pool, self._gateway.recorder)
        return Response(self._gateway.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def ps(self, request: Request) -> Response:
        """The models: phase, process, memory planned and measured, requests; the memory that all may take; and the
        other processes that answer clients."""
        gateway = self._gateway
        await gateway.workers.gather()
        models = await asyncio.gather(*(gateway.describe(model) for model in gateway.pool.models.values()))
        own = {"pid": os.getpid(), "create_time": psutil.Process().create_time()}
        up = {
            "uptime_seconds": time.time() - gateway.started,
            "drain_timeout_seconds": gateway.settings.drain_timeout_seconds,
        }
        told = {"memory": gateway.memory(), "workers": gateway.workers.describe(), "models": models}
        return JSONResponse({**own, **up, **told})
