"""What models take while they are asked: memory as a gateway of ours tells it, energy as this machine's counters do."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from weighbridge.cli.eval_serving import page
from weighbridge.errors import BadSetting, EvalStopped
from weighbridge.evals import Footprint, Price, Target, Watch
from weighbridge.evals.energy import EnergyMeter
from weighbridge.settings import Settings

_LOOK_SECONDS = 2.0
_IDLE_SECONDS = 5.0


@contextlib.asynccontextmanager
async def watching(targets: Sequence[Target]) -> AsyncIterator[Watch]:
    """What watches a target; where this machine counts energy, its idle power is measured first."""
    with EnergyMeter() as meter:
        idle_watts = await meter.idle_watts(_IDLE_SECONDS) if any(map(_is_loopback, targets)) else None
        reading = asyncio.create_task(meter.keep_reading())

        @contextlib.asynccontextmanager
        async def watch(target: Target) -> AsyncIterator[Footprint]:
            footprint = Footprint()
            looking = asyncio.create_task(_look(target, footprint))
            begun, before = time.monotonic(), meter.joules()
            try:
                yield footprint
            finally:
                if meter.is_known:
                    footprint.energy = meter.since(begun, before, idle_watts)
                looking.cancel()
                engine = await _see(target, footprint)
            if engine == "remote" or not _is_loopback(target):
                footprint.energy, footprint.energy_unknown = None, "it runs elsewhere"
            elif footprint.energy is None:
                footprint.energy_unknown = meter.why_unknown or "a counter stopped telling"

        try:
            yield watch
        finally:
            reading.cancel()


async def _look(target: Target, footprint: Footprint) -> None:
    """See the model's memory again and again, so that its most is known."""
    while await _see(target, footprint) is not None:
        await asyncio.sleep(_LOOK_SECONDS)


async def _see(target: Target, footprint: Footprint) -> str | None:
    """Take note of the memory now; the engine's name, or None where no gateway of ours serves the model."""
    with contextlib.suppress(EvalStopped, KeyError, TypeError):
        found: dict[str, Any] = await page(target, "/ps")
        for model in found["models"]:
            if model["name"] == target.model:
                footprint.see(model["memory_measured_bytes"] or None)
                return str(model["engine"])
    return None


def _is_loopback(target: Target) -> bool:
    """Whether the server is on this machine, as far as its address tells."""
    host = urlsplit(target.base_url).hostname or ""
    if target.socket is not None or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def prices(given: Sequence[str], targets: Sequence[Target], settings: Settings) -> dict[str, Price]:
    """What the models cost: by `--price NAME=PROMPT/COMPLETION`, else by their tables in the settings."""
    found = {}
    for name, own in settings.models.items():
        if own.price_input is not None and own.price_output is not None:
            found[name] = Price(own.price_input, own.price_output)
    for text in given:
        name, _, amounts = text.rpartition("=")
        try:
            prompt, completion = (float(amount) for amount in amounts.split("/"))
            if not (name and 0 <= prompt < 1e9 and 0 <= completion < 1e9):
                raise ValueError
        except ValueError:
            raise BadSetting(
                f"--price {text} is no price", hint="dollars for a million tokens: --price NAME=0.15/0.60"
            ) from None
        found[name] = Price(prompt, completion)
    labels = {target.label: target.model for target in targets}
    if unknown := [text for text in given if text.rpartition("=")[0] not in {*labels, *labels.values()}]:
        raise BadSetting(f"--price {unknown[0]}: no such model is asked", hint=f"there are: {', '.join(labels)}")
    return {
        label: found[label] if label in found else found[model]
        for label, model in labels.items()
        if label in found or model in found
    }
