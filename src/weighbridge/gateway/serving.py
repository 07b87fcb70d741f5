"""`serve()`: the gateway as a server, with all that is not the door itself: lists, health, metrics."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any

import psutil
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from weighbridge import __version__, machine
from weighbridge.engines import Model, Surroundings, clean_up, sockets_folder
from weighbridge.errors import BadSetting, StateDamaged, WeighbridgeError
from weighbridge.ledger import folder_of
from weighbridge.openai_api import AUTO, ApiError
from weighbridge.settings import Settings

from . import keys, openapi, terms, wire
from .choosing import Chooser
from .feedback import Feedback
from .front import Front
from .guard import Guard, check_model
from .latency import Latency
from .listening import Place
from .live import Live
from .metrics import Metrics
from .page import page
from .pool import Pool
from .recording import Recorder
from .reloading import Reloaded, Reloader, Reread
from .scheduler import Phase
from .teaching import Teacher
from .upstream import Upstream
from .watching import Care
from .workers import Workers

# How long what is left may take to reach its clients once all engines are stopped.
_LAST_WORDS_SECONDS = 2.0
_COUNTERS_SECONDS = 2.0
# How often it is kept when keys were used and how much: what is lost where the machine's power goes.
_NOTE_SECONDS = 15.0
_LOG = logging.getLogger("weighbridge")
_COUNTER = re.compile(r"^llamacpp:(tokens_predicted_total|requests_processing)\s+([\d.e+]+)", re.MULTILINE)


class Gateway(Front):
    """The door over a pool of models, and pages about them."""

    def __init__(self, models: Sequence[Model], settings: Settings, sockets: Path, tell: Callable[[str], None]) -> None:
        self._sockets = sockets
        self.reload: Callable[[], Awaitable[Reloaded]] | None = None
        """Takes the settings anew; set once the gateway serves."""
        self.started = time.time()
        self._counted: dict[str, tuple[float, dict[str, str]]] = {}
        Chooser.check(settings, models)  # before anything is opened
        super().__init__(
            settings,
            tell,
            metrics=Metrics(),
            guard=Guard(settings, tell),
            pool=Pool(
                models,
                terms.initial_state(models, settings, machine.detect()),
                self.surroundings(settings),
                self.care(settings),
                lambda name, endpoint: Upstream(endpoint, self.settings.of(name)),
                tell,
            ),
            teacher=Teacher(settings.state_path),
            recorder=Recorder(models, settings),
            feedback=Feedback(settings.state_path, settings.feedback_requests),
        )
        self.latency = Latency(self.metrics)
        self.live = Live(self.recorder, self._state)
        self.workers = Workers(self)

    def surroundings(self, settings: Settings) -> Surroundings:
        """What engines that start share."""
        return Surroundings(self._sockets, settings.state_path / "logs", settings.start_timeout_seconds)

    def care(self, settings: Settings) -> Care:
        """How engines are looked after."""
        return Care(settings.health_interval_seconds, settings.read_timeout_seconds, settings.memory_margin_bytes)

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
            self.guard.operator(dict(request.headers.raw))
            response: Response = await page(request)
            return response

        return guarded

    async def models(self, request: Request) -> Response:
        """OpenAI's list of models: those served, `auto`, its kin and the policies of the settings, as far as the caller
        may ask for them."""
        caller = self.guard.caller(dict(request.headers.raw))
        names = [name for name in (*self.chooser.names, *self.pool.models) if caller.may_ask(name)]
        ends = {"has_more": False, "first_id": names[0] if names else None, "last_id": names[-1] if names else None}
        return JSONResponse({"object": "list", "data": [self._listed(name) for name in names], **ends})

    async def one_model(self, request: Request) -> Response:
        """One of that list."""
        caller = self.guard.caller(dict(request.headers.raw))
        name: str = request.path_params["name"]
        check_model(caller, name, self.pool.models)
        if name not in self.pool.models and name not in self.chooser.names:
            raise self._unknown(name)
        return JSONResponse(self._listed(name))

    def _listed(self, name: str) -> dict[str, Any]:
        """A model or policy as OpenAI's list has it, with what Anthropic's and vLLM's have more."""
        context = self.door.context_of(name) if name in self.pool.models else None
        made = datetime.fromtimestamp(int(self.started), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        listed = {"id": name, "object": "model", "created": int(self.started), "owned_by": "weighbridge"}
        known = {} if context is None else {"max_model_len": context, "max_input_tokens": context}
        return {**listed, "type": "model", "display_name": name, "created_at": made, **known}

    def _unknown(self, name: str) -> ApiError:
        served = ", ".join(self.pool.models)
        return ApiError(404, f"no model is named {name[:100]!r}; there are: {served}", code="model_not_found")

    async def explain_route(self, request: Request) -> Response:
        """Who would answer a prompt now, and why: `{"prompt": ..., "model": "auto", "task": null}`."""
        try:
            said = await request.json()
            prompt, policy, task = said["prompt"], said.get("model", AUTO), said.get("task")
            texts = all(isinstance(each, str) for each in (prompt, policy, *([] if task is None else [task])))
        except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
            texts = False
        if not texts:
            raise ApiError(400, 'expected {"prompt": ..., "model": ..., "task": ...}, all texts')
        found = self.chooser.explain(prompt, policy, task)
        return JSONResponse(found | {"route": dataclasses.asdict(found["route"])})

    async def take_feedback(self, request: Request) -> Response:
        """What a user thinks of an answer, by the request's name; whoever may ask for models may say it of his own."""
        caller = self.guard.caller(dict(request.headers.raw))
        return JSONResponse(await self.feedback.take(await request.body(), caller, frozenset(self.pool.models)))

    async def openapi(self, request: Request) -> Response:
        """What may be asked, as an OpenAPI document; read by programs, and seldom."""
        return JSONResponse(openapi.document())

    async def health(self, request: Request) -> Response:
        """200 while the gateway answers; says of each model where it is in its life.

        `status` is `starting` until what is loaded at the start is ready or has failed, then `ok` if a model is ready,
        `idle` if none is, and `failed` if none is and one can't be had.
        """
        return JSONResponse(self._health())

    def _health(self) -> dict[str, Any]:
        phases = {name: self.pool.phase(name) for name in self.pool.models}
        status = "failed" if Phase.FAILED in phases.values() else "idle"
        if Phase.READY in phases.values():
            status = "ok"
        elif Phase.STARTING in phases.values() or not self.pool.is_preloaded:
            status = "starting"
        return {"status": status, "version": __version__, "models": phases}

    async def page(self, request: Request) -> Response:
        """The page. It holds nothing secret, and asks for a key itself where one is needed."""
        try:
            self.guard.caller(dict(request.headers.raw))
        except ApiError as error:
            if error.status != 401:
                raise
        html, headers = page()
        return Response(html, media_type="text/html; charset=utf-8", headers=headers)

    async def events(self, request: Request) -> Response:
        """What happens, as server-sent events: `state` every two seconds, `request` for each that ends."""
        return StreamingResponse(
            self.live.events(), media_type="text/event-stream", headers={"cache-control": "no-store"}
        )

    async def verify(self, request: Request) -> Response:
        """Check the ledger: what `weigh log verify --json` says."""
        if self.recorder.ledger is None:
            raise ApiError(404, "the ledger is off", code="no_ledger")
        return JSONResponse(await self.live.verify(folder_of(self.settings.state_path)))

    def _state(self) -> dict[str, Any]:
        """How the gateway is, for the page: only what is at hand."""
        self.latency.tick()
        ledger = self.recorder.ledger
        return {
            **self._health(),
            "uptime_seconds": time.time() - self.started,
            "memory": self._memory(),
            "models": [self._known(model) for model in self.pool.models.values()],
            "latency": self.latency.minutes(),
            "ledger": None
            if ledger is None
            else {"number": ledger.head.number, "hash": ledger.head.hash, "lost": ledger.lost},
        }

    async def load(self, request: Request) -> Response:
        """Have a model ready; answers when it is, or why it can't be."""
        name = self._named(request)
        await self.pool.load(name)
        return JSONResponse({"name": name, "state": str(self.pool.phase(name))})

    async def unload(self, request: Request) -> Response:
        """Unload a model once its answers are complete; answers when its memory is free."""
        name = self._named(request)
        await self.pool.unload(name)
        return JSONResponse({"name": name, "state": str(self.pool.phase(name))})

    async def reread(self, request: Request) -> Response:
        """Take the settings anew; answers what has changed, or 400 why nothing has."""
        assert self.reload is not None
        try:
            done = await self.reload()
        except WeighbridgeError as error:
            raise ApiError(400, f"nothing was reloaded: {error} ({error.hint})", code="bad_setting") from error
        self.tell(str(done))
        return JSONResponse(dataclasses.asdict(done))

    def _named(self, request: Request) -> str:
        name: str = request.path_params["name"]
        if name not in self.pool.models:
            raise self._unknown(name)
        return name

    async def _api_error(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)
        name = self.door.name()
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

    async def note_uses(self) -> None:
        """Keep how keys were used: off the loop, and at most with what a trouble of the disk says."""
        used = self.guard.uses()
        if used:
            try:
                await asyncio.to_thread(keys.write_uses, self.settings.state_path, used)
            except StateDamaged as error:
                _LOG.warning("when keys were used could not be kept: %s", error)

    async def show_metrics(self, request: Request) -> Response:
        """Prometheus' text."""
        await self.workers.gather()
        self.metrics.look_at(self.pool, self.recorder)
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def ps(self, request: Request) -> Response:
        """The models: phase, process, memory planned and measured, requests; the memory that all may take; and the
        other processes that answer clients."""
        await self.workers.gather()
        models = await asyncio.gather(*(self._describe(model) for model in self.pool.models.values()))
        own = {"pid": os.getpid(), "create_time": psutil.Process().create_time()}
        up = {
            "uptime_seconds": time.time() - self.started,
            "drain_timeout_seconds": self.settings.drain_timeout_seconds,
        }
        told = {"memory": self._memory(), "workers": self.workers.describe(), "models": models}
        return JSONResponse({**own, **up, **told})

    def _memory(self) -> dict[str, dict[str, int]]:
        """What all models may take of each place, and what is promised of it."""
        used = self.pool.state.used()
        return {
            place: {"used_bytes": used.get(place, 0), "budget_bytes": size}
            for place, size in self.pool.state.budget.items()
        }

    async def _describe(self, model: Model) -> dict[str, Any]:
        life = self.pool.lives.get(model.name)
        counters = await self._counters(model.name)
        if life is not None:
            await self.pool.measure(life)
        return self._known(model) | {
            "engine_requests_processing": _whole(counters.get("requests_processing")),
            "engine_tokens_predicted": _whole(counters.get("tokens_predicted_total")),
        }

    def _known(self, model: Model) -> dict[str, Any]:
        """What is known of a model without asking its engine."""
        now = time.monotonic()
        state = self.pool.state.models[model.name]
        life = self.pool.lives.get(model.name)
        idle = state.is_idle and state.phase is Phase.READY
        return {
            "name": model.name,
            "engine": model.engine,
            "state": str(state.phase),
            "cause": state.cause or None,
            "breaker": str(state.breaker(now, self.pool.state.limits)),
            "retry_seconds": max(0.0, state.not_before - now) if state.phase is Phase.FAILED else None,
            "pid": life.running.pid if life else None,
            "context_tokens": model.plan.context_tokens if model.plan else None,
            "parallel": model.plan.workload.parallel if model.plan else None,
            "memory_need_bytes": dict(state.terms.need),
            "memory_planned_bytes": model.need.get("memory"),
            "memory_measured_bytes": life.measured_bytes if life else None,
            "memory_over_plan": life.has_drifted if life else False,
            "pinned": state.terms.pinned,
            "idle_seconds": now - state.idle_since if idle else None,
            # JSON has no infinity: null is for ever.
            "keep_alive_seconds": _finite(state.terms.keep_alive_seconds),
            "keep_alive_left_seconds": _finite(max(0.0, state.keep_until() - now)),
            "requests_waiting": len(state.waiting),
            "requests_in_flight": len(state.serving) + self.workers.uncounted(model.name, life),
            "tokens_per_second": life.rate.per_second(now) if life else 0.0,
            "loads": self.pool.loads[model.name],
            "restarts": self.pool.restarts[model.name],
            "last_end": self.pool.ends.get(model.name),
            "purpose": model.card.description,
        }

    async def _counters(self, name: str) -> dict[str, str]:
        """What the engine counts. Asked too often, llama.cpp never finds time to see that a client has left."""
        life = self.pool.lives.get(name)
        if life is None:
            return {}
        asked, counters = self._counted.get(name, (0.0, {}))
        if time.monotonic() - asked > _COUNTERS_SECONDS:
            counters = dict(_COUNTER.findall(await life.connection.text("/metrics") or ""))
            self._counted[name] = (time.monotonic(), counters)
        return counters


async def _note(gateway: Gateway) -> None:
    while True:
        await asyncio.sleep(_NOTE_SECONDS)
        gateway.latency.tick()
        await gateway.note_uses()


def _whole(text: str | None) -> int | None:
    return None if text is None else int(float(text))


def _finite(seconds: float) -> float | None:
    return None if seconds == inf else seconds


def _make_place_for_logs(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise BadSetting(
            f"{folder}: no place for logs: {error.strerror}", hint="choose another folder: WEIGHBRIDGE_STATE_DIR"
        ) from error


@contextlib.asynccontextmanager
async def serve(
    models: Sequence[Model],
    settings: Settings,
    tell: Callable[[str], None] = lambda line: None,
    reread: Reread | None = None,
) -> AsyncIterator[tuple[Gateway, str]]:
    """The gateway while it serves, and its URL; leaving the context stops it and every engine.

    `tell` hears what an operator should know, a line each; `reread` brings settings and models anew for a reload. What
    a gateway that was killed left running is ended first.
    """
    _make_place_for_logs(settings.state_path / "logs")
    place = Place(settings)
    with contextlib.closing(place), sockets_folder(settings.state_path) as sockets:
        for line in clean_up(settings.state_path):
            tell(line)
        gateway = Gateway(models, settings, sockets, tell)
        await gateway.chooser.begin()
        server = await wire.serve(
            [place.listener],
            gateway.door.route,
            gateway.application(),
            limits=wire.Limits(body_bytes=settings.max_body_bytes),
            tls=place.tls,
            refused=gateway.door.refused,
        )
        server.let_in(wire.Cors(settings.cors_origins) if settings.cors_origins else None)
        await gateway.workers.begin(settings.workers, server, place, sockets)
        gateway.reload = Reloader(gateway, server, place, reread)
        noting = asyncio.create_task(_note(gateway))
        try:
            yield gateway, place.url
        finally:
            noting.cancel()
            try:
                await gateway.pool.drain(gateway.settings.drain_timeout_seconds)
                await gateway.pool.close()
            finally:
                gateway.live.close()
                await gateway.workers.close(_LAST_WORDS_SECONDS)
                await server.drain(_LAST_WORDS_SECONDS)
                await gateway.teacher.close()
                await gateway.feedback.close()
                await gateway.note_uses()
                await gateway.recorder.close()
