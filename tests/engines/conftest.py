"""Engines for tests: real processes, started as the gateway starts them, and nothing left of them at the end."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from weighbridge import engines, facts, fit, machine
from weighbridge.engines import Model, Running, Surroundings


@pytest.fixture
def surroundings(tmp_path: Path) -> Iterator[Surroundings]:
    """Where engines of this test keep their things. After it, no process of them is there and no record."""
    before = set(psutil.Process().children(recursive=True))
    with tempfile.TemporaryDirectory(prefix="weighbridge-") as sockets:
        made = Surroundings(Path(sockets), tmp_path / "state" / "logs", start_timeout_seconds=30)
        yield made
        left = set(psutil.Process().children(recursive=True)) - before
        _gone, alive = psutil.wait_procs(list(left), timeout=30)
        assert not alive, f"left behind: {alive}"
        assert not list(Path(sockets).iterdir())
        assert not list(made.records.glob("*"))


def planned(path: Path, context: int = 256, parallel: int = 2, **workload: Any) -> fit.Plan:
    """How this model would be run here, on the processor."""
    asked = fit.Workload(context, parallel, **workload)
    return fit.make_plan(facts.read(str(path)), machine.detect(), asked, use_devices=False)


def llama(path: Path, name: str = "model", engine: str = "llama_cpp", **workload: Any) -> Model:
    """A model for llama.cpp, planned."""
    return Model(name, engine, plan=planned(path, **workload))


@asynccontextmanager
async def running(model: Model, surroundings: Surroundings) -> AsyncIterator[Running]:
    """The engine while it runs."""
    started = await engines.start(model, surroundings)
    try:
        yield started
    finally:
        await started.stop()


def session(engine: Running, **options: Any) -> aiohttp.ClientSession:
    """A client of the engine's own door."""
    timeout = aiohttp.ClientTimeout(total=30)
    return aiohttp.ClientSession(
        engine.endpoint.base_url,
        connector=aiohttp.UnixConnector(str(engine.endpoint.socket)),
        timeout=timeout,
        **options,
    )


async def until(condition: Callable[[], Awaitable[bool]], seconds: float, every: float = 0.02) -> float:
    """Wait until it holds; the seconds that it took."""
    begun = time.monotonic()
    while not await condition():
        assert time.monotonic() - begun < seconds, f"not within {seconds} s"
        await asyncio.sleep(every)
    return time.monotonic() - begun


def open_files() -> int:
    """How many descriptors this process holds."""
    return len(os.listdir("/proc/self/fd"))
