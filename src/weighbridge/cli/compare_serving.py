"""Both models of a comparison behind one gateway, for what servers alone tell: scores of a task, log-probabilities."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from weighbridge.cli import eval_pages, eval_serving, eval_watching, output
from weighbridge.cli.state_folders import EVALS
from weighbridge.compression import Bounds, Text, bound
from weighbridge.evals import Manner, Report, Target, Task, report
from weighbridge.evals import run as run_task
from weighbridge.settings import ModelSettings, Settings


@dataclass(frozen=True, slots=True)
class Served:
    """One of the two: what is loaded, and what to call it."""

    name: str
    source: str
    cache_type_k: str = "f16"
    cache_type_v: str = "f16"


@contextlib.asynccontextmanager
async def serving(quant: Served, base: Served, settings: Settings) -> AsyncIterator[tuple[Target, Target]]:
    """A gateway of our own with both; (quant, base). Raises DoesNotFit, BadModelFile or EngineFailed."""
    # Engines and the gateway are only loaded where one must be started.
    from weighbridge.cli.sources import find_models
    from weighbridge.gateway import serve

    tables = {
        each.name: ModelSettings(source=each.source, cache_type_k=each.cache_type_k, cache_type_v=each.cache_type_v)
        for each in (quant, base)
    }
    # What was said of all models is not meant for a comparison of two.
    own = dataclasses.replace(
        settings, port=0, host="127.0.0.1", tls_certificate="", tls_key="", models=tables, given=frozenset()
    )
    models = find_models(list(tables), own)
    async with serve(models, own, output.tell) as (_, url):
        first, second = (Target(url, model.name, own.api_key, origin=eval_serving.origin_of(model)) for model in models)
        yield first, second


def scored(quant: Served, base: Served, tasks: Sequence[Task], settings: Settings, limit: int | None) -> list[Report]:
    """Both models on each task, compared sample by sample."""

    async def all_of() -> list[Report]:
        reports = []
        async with serving(quant, base, settings) as targets, eval_watching.watching(targets) as watch:
            manner = Manner(limit=limit, watch=watch)
            for task in tasks:
                logs, paces = [], {}
                for target in targets:
                    line = eval_pages.shown_progress(target.label)
                    try:
                        ran = await run_task(task, target, settings.state_path / EVALS, manner, line)
                    finally:
                        line.end()
                    logs.append(ran.log)
                    paces[target.label] = ran.pace
                reports += report(logs, paces)
        return reports

    return asyncio.run(all_of())


def bounded(quant: Served, base: Served, text: Text, settings: Settings, positions: int) -> Bounds:
    """What log-probabilities of the likeliest tokens tell of the two, by a server."""

    async def ask() -> Bounds:
        async with serving(quant, base, settings) as (first, second):
            return await bound(first, second, text, positions)

    return asyncio.run(ask())


def names(quant: Path, base: Path, cache_type_k: str, cache_type_v: str) -> tuple[str, str]:
    """What to call the two, each by its file; one that is compared with itself by its cache."""
    first, second = (path.stem.strip("-.")[:48] for path in (quant, base))
    if first == second:
        first = f"{first}-{cache_type_k}-{cache_type_v}" if quant == base else f"{first}-quant"
    return first, second
