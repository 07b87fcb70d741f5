"""`serve()`: the gateway as a server, and what it knows of itself; `pages` shows it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any

from weighbridge import __version__, machine
from weighbridge.engines import Model, Surroundings, clean_up, sockets_folder
from weighbridge.errors import BadSetting, StateDamaged
from weighbridge.settings import Settings

from . import keys, terms, wire
from .choosing import Chooser
from .feedback import Feedback
from .front import Front
from .guard import Guard
from .latency import Latency
from .listening import Place
from .live import Live
from .metrics import Metrics
from .pool import Pool
from .recording import Recorder
from .reloading import Reloaded, Reloader, Reread
from .scheduler import Phase
from .teaching import Teacher
from .upstream import Upstream
from .watching import Care
from .wire.asgi import AsgiApp
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
        self.live = Live(self.recorder, self.state)
        self.workers = Workers(self)

    def surroundings(self, settings: Settings) -> Surroundings:
        """What engines that start share."""
        return Surroundings(self._sockets, settings.state_path / "logs", settings.start_timeout_seconds)

    def care(self, settings: Settings) -> Care:
        """How engines are looked after."""
        return Care(settings.health_interval_seconds, settings.read_timeout_seconds, settings.memory_margin_bytes)

    def application(self) -> AsgiApp:
        """The pages: all that does not go to engines, as an ASGI application.

        It is made with the first request for one, as what it needs takes megabytes; loaded on a thread, as that takes a
        tenth of a second, in which streams go on.
        """
        made: AsgiApp | None = None

        async def application(scope: Any, receive: Any, send: Any) -> None:
            nonlocal made
            if made is None:
                pages = await asyncio.to_thread(importlib.import_module, f"{__package__}.pages")
                made = made or pages.Pages(self).application()
            await made(scope, receive, send)

        return application

    def listed(self, name: str) -> dict[str, Any]:
        """A model or policy as OpenAI's list has it, with what Anthropic's and vLLM's have more."""
        context = self.door.context_of(name) if name in self.pool.models else None
        made = datetime.fromtimestamp(int(self.started), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        listed = {"id": name, "object": "model", "created": int(self.started), "owned_by": "weighbridge"}
        known = {} if context is None else {"max_model_len": context, "max_input_tokens": context}
        return {**listed, "type": "model", "display_name": name, "created_at": made, **known}

    def health(self) -> dict[str, Any]:
        """Where each model is in its life, and so the gateway.

        `status` is `starting` until what is loaded at the start is ready or has failed and all workers answer; then
        `ok` if a model is ready, `idle` if none is, and `failed` if none is and one can't be had.
        """
        phases = {name: self.pool.phase(name) for name in self.pool.models}
        status = "failed" if Phase.FAILED in phases.values() else "idle"
        if Phase.READY in phases.values():
            status = "ok"
        elif Phase.STARTING in phases.values() or not self.pool.is_preloaded:
            status = "starting"
        if self.workers.are_coming and status != "failed":
            status = "starting"
        return {"status": status, "version": __version__, "models": phases}

    def state(self) -> dict[str, Any]:
        """How the gateway is, for the page: only what is at hand."""
        self.latency.tick()
        ledger = self.recorder.ledger
        return {
            **self.health(),
            "uptime_seconds": time.time() - self.started,
            "memory": self.memory(),
            "models": [self.known(model) for model in self.pool.models.values()],
            "latency": self.latency.minutes(),
            "ledger": None
            if ledger is None
            else {"number": ledger.head.number, "hash": ledger.head.hash, "lost": ledger.lost},
        }

    async def note_uses(self) -> None:
        """Keep how keys were used: off the loop, and at most with what a trouble of the disk says."""
        used = self.guard.uses()
        if used:
            try:
                await asyncio.to_thread(keys.write_uses, self.settings.state_path, used)
            except StateDamaged as error:
                _LOG.warning("when keys were used could not be kept: %s", error)

    def memory(self) -> dict[str, dict[str, int]]:
        """What all models may take of each place, and what is promised of it."""
        used = self.pool.state.used()
        return {
            place: {"used_bytes": used.get(place, 0), "budget_bytes": size}
            for place, size in self.pool.state.budget.items()
        }

    async def describe(self, model: Model) -> dict[str, Any]:
        """What is known of a model, with what its engine counts and its processes hold now."""
        life = self.pool.lives.get(model.name)
        counters = await self._counters(model.name)
        if life is not None:
            await self.pool.measure(life)
        return self.known(model) | {
            "engine_requests_processing": _whole(counters.get("requests_processing")),
            "engine_tokens_predicted": _whole(counters.get("tokens_predicted_total")),
        }

    def known(self, model: Model) -> dict[str, Any]:
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
            plain=gateway.plain,
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
                if gateway.plain is not None:
                    gateway.plain.settle()
                await gateway.recorder.close()
