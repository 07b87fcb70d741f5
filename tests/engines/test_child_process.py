"""A child's life: started, watched, measured and ended whatever it does."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import time
from pathlib import Path

import psutil
import pytest

from tests.engines.conftest import open_files, running, session
from weighbridge import engines
from weighbridge.engines import Model, Surroundings, log_path
from weighbridge.engines.log import LARGE_BYTES, Log
from weighbridge.errors import BadSetting, EngineFailed

MIB = 1 << 20


def fake(**options: str) -> Model:
    return Model("fake", "fake", options=options)


def test_memory_that_is_held_is_measured(surroundings):
    async def scenario():
        async with running(fake(memory_bytes="200MiB"), surroundings) as engine:
            measured = await engine.memory_bytes()
            assert 200 * MIB <= measured < 240 * MIB
        assert await engine.memory_bytes() is None

    asyncio.run(scenario())


def test_a_stopped_child_is_ended_at_once(surroundings):
    async def seconds() -> float:
        async with running(fake(), surroundings) as engine:
            os.kill(engine.pid, signal.SIGSTOP)
            begun = time.monotonic()
            await engine.stop()
            assert not psutil.pid_exists(engine.pid)
            return time.monotonic() - begun

    # One that hears is given three seconds; a busy machine may make one of these as slow.
    assert any(asyncio.run(seconds()) < 2 for _ in range(5))


@pytest.mark.parametrize(
    ("option", "cause"),
    [
        ({"die_after_tokens": "3"}, "its process ended with exit code 9"),
        ({"abort_after_tokens": "3"}, "its process was ended by SIGABRT: fake: error: told to abort"),
        (
            {"memory_limit_bytes": "64MiB", "leak_bytes_per_token": "16MiB"},
            "its process ended with exit code 12: fake: error: out of memory: 16777216 bytes could not be had",
        ),
    ],
)
def test_a_death_in_mid_answer_is_seen_with_its_cause(surroundings, option, cause):
    async def scenario():
        async with running(fake(**option), surroundings) as engine, session(engine) as client:
            with pytest.raises(Exception):  # noqa: B017
                async with client.post(
                    "/v1/completions", json={"prompt": "a", "max_tokens": 50, "stream": True}
                ) as got:
                    await got.read()
            assert await asyncio.wait_for(engine.ended, 60) == cause

    asyncio.run(scenario())


def test_a_killed_child_is_seen(surroundings):
    async def scenario():
        async with running(fake(), surroundings) as engine:
            os.kill(engine.pid, signal.SIGKILL)
            assert await asyncio.wait_for(engine.ended, 60) == "its process was ended by SIGKILL"

    asyncio.run(scenario())


def test_memory_that_is_refused_fails_the_start_with_the_engines_own_words(surroundings):
    with pytest.raises(EngineFailed, match="out of memory: 209715200 bytes could not be had") as caught:
        asyncio.run(engines.start(fake(memory_bytes="200MiB", memory_limit_bytes="100MiB"), surroundings))
    assert caught.value.log


def test_a_start_that_never_ends_is_ended(surroundings):
    hasty = Surroundings(surroundings.sockets, surroundings.logs, start_timeout_seconds=0.5)
    with pytest.raises(EngineFailed, match=r"fake: not ready after 0\.5 s"):
        asyncio.run(engines.start(fake(load_seconds="1000"), hasty))


def test_a_start_that_is_given_up_leaves_nothing(surroundings):
    async def scenario():
        starting = asyncio.create_task(engines.start(fake(load_seconds="1000"), surroundings))
        await asyncio.sleep(0.2)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

    asyncio.run(scenario())


def test_stopping_twice_and_at_the_same_time_is_one_stop(surroundings):
    async def scenario():
        engine = await engines.start(fake(), surroundings)
        await asyncio.gather(engine.stop(), engine.stop())
        await engine.stop()
        assert not engine.ended.done()

    asyncio.run(scenario())


def test_lives_leave_no_descriptors(surroundings):
    async def scenario():
        async with running(fake(), surroundings):
            pass
        before = open_files()
        for _ in range(5):
            async with running(fake(), surroundings) as engine:
                await engine.memory_bytes()
        assert open_files() <= before

    asyncio.run(scenario())


def test_a_folder_of_sockets_that_others_may_enter_is_refused(surroundings, tmp_path):
    tmp_path.chmod(0o755)
    with pytest.raises(EngineFailed, match="others may enter"):
        asyncio.run(engines.start(fake(), Surroundings(tmp_path, surroundings.logs, 5)))


def test_our_own_settings_do_not_reach_an_engine(surroundings, monkeypatch):
    monkeypatch.setenv("WEIGHBRIDGE_API_KEY", "secret")
    monkeypatch.setenv("WEIGHBRIDGE_REMOTE_API_KEY", "secret")

    async def scenario():
        async with running(fake(), surroundings) as engine:
            environment = psutil.Process(engine.pid).environ()
            assert not [name for name in environment if name.startswith("WEIGHBRIDGE_")]

    asyncio.run(scenario())


def test_options_that_are_no_options_are_named():
    async def start(**options: str):
        await engines.start(fake(**options), Surroundings(Path("/nowhere"), Path("/nowhere"), 1))

    with pytest.raises(BadSetting, match="no option 'memory'"):
        asyncio.run(start(memory="1"))
    with pytest.raises(BadSetting, match="memory_bytes is 'much', expected a size"):
        asyncio.run(start(memory_bytes="much"))


def test_a_log_never_grows_beyond_two_files(tmp_path):
    log = Log(tmp_path / "model.log")
    log.open("a life begins")
    line = b"x" * 65535 + b"\n"
    for _ in range(3 * LARGE_BYTES // len(line)):
        log.take(line)
    log.take(b"the last line\n")
    log.close()
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(sizes) == {"model.log", "model.log.1"}
    assert max(sizes.values()) <= LARGE_BYTES
    assert (tmp_path / "model.log").read_bytes().endswith(b"the last line\n")
    assert log.lines[-1] == "the last line"


def test_a_log_is_for_its_owner_and_says_which_life_it_was(surroundings):
    async def scenario():
        for _ in range(2):
            async with running(fake(), surroundings):
                pass

    asyncio.run(scenario())
    path = log_path(surroundings.logs, "fake")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().count("--- ") == 2


def test_a_log_that_cannot_be_written_does_not_stop_an_engine(surroundings):
    log_path(surroundings.logs, "fake").mkdir(parents=True)

    async def scenario():
        async with (
            running(fake(), surroundings) as engine,
            session(engine) as client,
            client.get("/health") as answer,
        ):
            assert answer.status == 200

    asyncio.run(scenario())
    log_path(surroundings.logs, "fake").rmdir()
