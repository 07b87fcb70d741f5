"""`Reloader`: takes the settings anew while the gateway serves. All is looked at first; then all of it changes at once,
between two requests, or nothing does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from weighbridge import machine
from weighbridge.engines import Model
from weighbridge.errors import BadSetting
from weighbridge.settings import Settings

from . import terms, wire
from .choosing import Chooser
from .listening import Place

if TYPE_CHECKING:
    from .front import Front
    from .serving import Gateway

Reread = Callable[[Mapping[str, int]], tuple[Settings, Sequence[Model]]]
"""The settings and models as they are now, by the memory of each place that all models may take. WeighbridgeError says
why not."""

# What the gateway began with, and keeps until its end.
_FIXED = (
    "host", "port", "workers", "state_dir", "ledger", "ledger_text", "ledger_days", "ledger_bytes", "ledger_sums",
    "otel_endpoint",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What a reload did: models by name, and settings by their rows; `kept` are rows that changed in the file and hold
    only once the gateway is started again."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [
            f"{what}: {', '.join(names)}"
            for what, names in (
                ("models added", self.added),
                ("removed", self.removed),
                ("replaced", self.replaced),
                ("settings", self.settings),
                ("only with a new start", self.kept),
            )
            if names
        ]
        return "settings reloaded; " + ("; ".join(parts) if parts else "nothing has changed")


class Reloader:
    """Calls `reread` on a thread and applies what it says to a gateway, its server and the place where it listens."""

    def __init__(self, gateway: Gateway, server: wire.Server, place: Place, reread: Reread | None) -> None:
        self._gateway = gateway
        self._server = server
        self._place = place
        self._reread = reread
        self._turn = asyncio.Lock()

    async def __call__(self) -> Reloaded:
        """Take the settings anew. WeighbridgeError says what is wrong, and then nothing has changed."""
        if self._reread is None:
            raise BadSetting("this gateway was not started by `weigh up`", hint="start it with: weigh up")
        async with self._turn:
            gateway = self._gateway
            settings, models = await asyncio.to_thread(self._reread, dict(gateway.pool.state.budget))
            settings, kept = _with_what_stays(settings, gateway.settings)
            self._place.check(settings)
            # On a thread, since it looks at the machine; then nothing waits until all is in place.
            here = await asyncio.to_thread(machine.detect)
            done = self._apply(settings, models, kept, here)
            await gateway.workers.take_anew()
            return done

    def _apply(
        self, settings: Settings, models: Sequence[Model], kept: tuple[str, ...], here: machine.Machine
    ) -> Reloaded:
        gateway, pool = self._gateway, self._gateway.pool
        before, had = gateway.settings, dict(pool.models)
        # Each of these may raise, and none of them changes anything.
        state = terms.rearranged(pool.state, had, models, (before, settings), here)
        Chooser.check(settings, models)
        gateway.guard.configure(settings)  # reads the keys before it takes anything
        # From here on nothing may fail.
        gateway.settings = settings
        pool.rearrange(models, state, gateway.care(settings), gateway.surroundings(settings))
        take_anew(gateway, self._server, self._place)
        names = {model.name: model for model in models}
        return Reloaded(
            added=tuple(name for name in names if name not in had),
            removed=tuple(name for name in had if name not in names),
            replaced=tuple(name for name, model in names.items() if name in had and had[name] != model),
            settings=_changed(before, settings),
            kept=kept,
        )


def take_anew(front: Front, server: wire.Server, place: Place) -> None:
    """Have all that answers clients go by the settings and models that `front` has now; keys it knows already."""
    settings, pool = front.settings, front.pool
    front.choose_anew()
    front.recorder.know([*pool.models.values()], settings)
    for name, life in pool.lives.items():
        life.connection.take(settings.of(name))  # type: ignore[attr-defined]
    server.limits = replace(server.limits, body_bytes=settings.max_body_bytes)
    server.let_in(wire.Cors(settings.cors_origins) if settings.cors_origins else None)
    place.renew(settings)


def _with_what_stays(settings: Settings, before: Settings) -> tuple[Settings, tuple[str, ...]]:
    """The settings with what can't change as it was, and the names of that."""
    kept = [name for name in _FIXED if getattr(settings, name) != getattr(before, name)]
    if bool(settings.tls_certificate) != bool(before.tls_certificate):
        kept += ["tls_certificate", "tls_key"]
    return replace(settings, **{name: getattr(before, name) for name in kept}), tuple(kept)


def _changed(before: Settings, after: Settings) -> tuple[str, ...]:
    """The rows that differ: their names, and never a value, which may be a secret."""
    rows = [row.name for row in fields(Settings) if row.name not in ("given", "digest")]
    return tuple(name for name in rows if getattr(before, name) != getattr(after, name))
