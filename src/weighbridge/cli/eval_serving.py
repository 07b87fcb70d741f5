"""The models that `weigh eval` asks: at URLs, at a gateway that runs, or at one that is started for the evaluation."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weighbridge.cli import output
from weighbridge.errors import EvalStopped, UnknownModel, WeighbridgeError
from weighbridge.evals import Target
from weighbridge.evals.http import Connection, ConnectionLost
from weighbridge.settings import Settings

if TYPE_CHECKING:
    from weighbridge.engines import Model

_PAGE_SECONDS = 10.0


def remote(text: str, settings: Settings) -> Target:
    """A server elsewhere: URL, or URL#MODEL where it has several."""
    url, _, model = text.partition("#")
    url = url.rstrip("/").removesuffix("/chat/completions").removesuffix("/v1")
    return Target(url, model, settings.remote_api_key)


async def named(target: Target) -> Target:
    """The target with its model: the one that was named, or the only one that the server has.

    EvalStopped where nothing answers, before a run would try again and again.
    """
    found = await page(target, "/v1/models")
    if target.model:
        return target
    models = [str(entry["id"]) for entry in (found or {}).get("data") or () if "id" in entry]
    if len(models) == 1:
        return dataclasses.replace(target, model=models[0])
    raise UnknownModel(
        f"{target.base_url} has {len(models)} models: {', '.join(models[:8])}",
        hint=f"name one: --url {target.base_url}#MODEL",
    )


async def page(target: Target, path: str) -> Any:
    """The JSON object at a path; None where there is none. EvalStopped where nothing answers."""
    connection = Connection(target)
    try:
        answer = await connection.request("GET", path, timeout=_PAGE_SECONDS)
        found = json.loads(answer.body) if answer.status == 200 else None
        return found if isinstance(found, dict) else None
    except (ConnectionLost, TimeoutError) as error:
        raise EvalStopped(f"{target.base_url}: {error}", hint="is the server running?") from error
    except ValueError:
        return None
    finally:
        connection.close()


@contextlib.asynccontextmanager
async def gateway_targets(
    models: Sequence[str], settings: Settings, *, all_here: bool = False
) -> AsyncIterator[list[Target]]:
    """The models at the gateway that runs, or at one that is started: those named, or all that there are.

    With `all_here`, a gateway that must be started serves every model on this machine that fits, the smallest first.
    """
    wanted = list(models)
    served = await _served(settings)
    if served and set(wanted) <= set(served):
        yield [_target(settings, settings.url, name) for name in wanted or served]
        return
    # Engines and the gateway are only loaded where one must be started.
    from weighbridge.cli.sources import find_models
    from weighbridge.gateway import serve

    try:
        found = _all_that_fit(settings) if all_here else find_models(wanted, settings)
    except WeighbridgeError as error:
        if served:
            error.hint = "; ".join(filter(None, [error.hint, f"the gateway that runs serves {', '.join(served)}"]))
        raise
    free = dataclasses.replace(settings, port=0, host="127.0.0.1", tls_certificate="", tls_key="")
    async with serve(found, free, output.tell) as (_, url):
        yield [_target(settings, url, model.name, origin_of(model)) for model in found]


def _all_that_fit(settings: Settings) -> list[Model]:
    """The bundled models, those of the settings, and those that lie on this machine, as far as each fits; the smallest
    first. What is left out is told."""
    from weighbridge import hub
    from weighbridge.cli.sources import find_models
    from weighbridge.facts import HubAccess
    from weighbridge.specialists import bundled

    stored = [
        model.source
        for model in hub.stored(HubAccess.from_environment(os.environ), settings.state_path)
        if model.is_complete and model.path is not None
    ]
    found: dict[str, Model] = {}
    for source in dict.fromkeys([*settings.models, *bundled(), *stored]):
        try:
            [model] = find_models([source], settings)
        except WeighbridgeError as error:
            output.tell(f"left out: {source}: {error}")
            continue
        if model.name in found:
            output.tell(f"left out: {source}: {model.name} is the name of another; name it: --model NAME={source}")
        found.setdefault(model.name, model)
    return sorted(found.values(), key=lambda model: model.plan.memory.total if model.plan else 0)


def _target(settings: Settings, url: str, name: str, origin: str = "") -> Target:
    socket = settings.socket if url == settings.url else None
    return Target("http://localhost" if socket else url, name, settings.api_key, socket, origin=origin)


def origin_of(model: Model) -> str:
    """What tells a model's files from others: a gateway of our own has another address each time."""
    if model.plan is None:
        told = {key: value for key, value in model.options.items() if key != "api_key"}
        return json.dumps({"engine": model.engine, **told})
    found = [(file, Path(file).stat()) for file in model.plan.facts.source.files]
    files = ";".join(f"{file}:{about.st_size}:{about.st_mtime_ns}" for file, about in found)
    workload = model.plan.workload
    cache = [kind for kind in (workload.cache_type_k, workload.cache_type_v) if kind not in (None, "f16")]
    return ";".join([files, *cache])


async def _served(settings: Settings) -> list[str]:
    """The names that a gateway at the settings' address serves; nothing where there is none."""
    if settings.socket is not None or settings.tls_certificate:
        # Reached in ways that tests of models need not know: they start their own.
        return []
    with contextlib.suppress(EvalStopped):
        found = await page(_target(settings, settings.url, ""), "/ps")
        return [str(model["name"]) for model in (found or {}).get("models") or ()]
    return []
