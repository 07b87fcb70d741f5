"""Doors and engines that end with their test."""

from __future__ import annotations

import pytest

from .kit import Door, Engine, Loop


@pytest.fixture(scope="package")
def loops():
    """One event loop for gateways, another for engines."""
    made = Loop(), Loop()
    yield made
    for loop in made:
        loop.stop()


@pytest.fixture
def door(loops):
    """door(script, **options): a gateway before an engine; (door, engine)."""
    started = []

    def make(script=None, app=None, **options):
        engine = Engine(loops[1], script).start()
        made = Door(loops[0], app, **options).start(("127.0.0.1", engine.port))
        started.append((made, engine))
        return made, engine

    yield make
    for made, engine in started:
        made.stop()
        loops[1].loop.call_soon_threadsafe(engine.server.close)
