"""What a gateway that was killed leaves is ended, by its guardians or by the next start; nothing else is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from weighbridge import engines
from weighbridge.engines import records
from weighbridge.engines.surroundings import records_path

# A gateway in small: starts engines, says which processes there are, and waits to be killed.
OWNER = """
import asyncio, json, sys
from pathlib import Path
import psutil
from weighbridge import engines
from weighbridge.engines.child_process import ChildProcess, Launch
from weighbridge.engines.endpoint import Endpoint

async def content(endpoint):
    await asyncio.sleep(0.5)

async def main():
    sockets, state, program = map(Path, sys.argv[1:])
    around = engines.Surroundings(sockets, state / "logs", 20)
    fake = await engines.start(engines.Model("fake", "fake"), around)
    endpoint = Endpoint("http://engine", socket=sockets / "p.sock")
    large = ChildProcess("large", endpoint, Launch.program([sys.executable, str(program)], {}, content), around)
    await large.start()
    family = [process.pid for process in psutil.Process(large.pid).children(recursive=True)]
    print(json.dumps({"fake": fake.pid, "supervisor": large.pid, "family": family}), flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""
# A program with a child, and a grandchild in a session of its own; all of them deaf to polite signals.
PROGRAM = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    between = os.fork()
    if between:
        os.waitpid(between, 0)
    else:
        os.setsid()
        if os.fork():
            os._exit(0)
time.sleep(1000)
"""


@pytest.fixture
def owner(tmp_path):
    """The small gateway, its state folder and what it has started."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    sockets = Path(tempfile.mkdtemp(prefix="weighbridge-"))
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(sockets), str(tmp_path / "state"), str(program)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    started = json.loads(process.stdout.readline())
    started["all"] = [started["fake"], started["supervisor"], *started["family"]]
    yield process, tmp_path / "state", sockets, started
    for pid in (process.pid, *started["all"]):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait()
    process.stdout.close()


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


def gone_within(pids: list[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_a_killed_gateway_leaves_no_process_and_the_next_start_no_socket(owner):
    process, state, sockets, started = owner
    assert len(started["family"]) >= 3
    assert len(list(records_path(state).iterdir())) == 2
    process.kill()
    process.wait()

    # The program does not hear SIGTERM: its guardian waits for it, then kills it and all that it started.
    assert gone_within(started["all"], 12), alive(started["all"])
    assert list(sockets.iterdir())
    assert engines.clean_up(state) == []
    assert not sockets.exists()
    assert not list(records_path(state).iterdir())


def test_what_outlives_a_gateway_and_its_guardian_is_ended_by_the_next_start(owner):
    process, state, _, started = owner
    process.kill()
    process.wait()
    os.kill(started["supervisor"], signal.SIGKILL)
    assert gone_within([started["supervisor"], started["fake"]], 5)
    left = alive(started["family"])
    assert left

    assert [line.split(":")[0] for line in engines.clean_up(state)] == ["large"]
    assert gone_within(left, 3)


def test_engines_of_a_gateway_that_runs_are_left_alone(owner):
    _, state, _, started = owner
    assert engines.clean_up(state) == []
    assert alive(started["all"]) == started["all"]
    assert len(list(records_path(state).iterdir())) == 2


def test_another_process_that_got_the_number_is_not_ended(tmp_path):
    foreign = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    try:
        written = records.write(records_path(tmp_path), "model", foreign.pid, None, "mark")
        assert written is not None
        record = json.loads(written.read_text())
        # The owner is gone, and the process with that number was born at another time and bears no mark of ours.
        written.write_text(json.dumps(record | {"birth": "1@another-start", "owner_birth": "1@another-start"}))
        assert engines.clean_up(tmp_path) == []
        assert foreign.poll() is None
        assert not written.exists()
    finally:
        foreign.kill()
        foreign.wait()


def test_a_damaged_record_is_removed(tmp_path):
    folder = records_path(tmp_path)
    folder.mkdir()
    (folder / "1.json").write_text("{")
    (folder / "2.json").write_text("[]")
    (folder / "3.json").write_text('{"name": "x"}')
    whole = {"name": "x", "pid": 1, "birth": "b", "owner_pid": 1, "owner_birth": "b", "socket": None, "mark": ""}
    for number, change in enumerate(({"socket": 5}, {"pid": "1"}, {"owner_pid": None}, {"mark": [1]}), 4):
        (folder / f"{number}.json").write_text(json.dumps(whole | change))
    (folder / "8.json").write_text("[" * 100_000)
    (folder / "1.folder").write_text("{")
    (folder / "2.folder").write_text('{"folder": 5, "owner_pid": 1, "owner_birth": "b"}')
    assert engines.clean_up(tmp_path) == []
    assert not list(folder.iterdir())


def test_a_record_that_a_killed_process_left_half_written_goes_in_time(tmp_path):
    folder = records_path(tmp_path)
    folder.mkdir()
    (old := folder / "tmpold.unfinished").write_text("{")
    (new := folder / "tmpnew.unfinished").write_text("{")
    os.utime(old, (0, 0))
    engines.clean_up(tmp_path)

    assert not old.exists()
    assert new.exists()


def test_of_the_folders_of_gateways_that_are_gone_only_sockets_are_removed(tmp_path):
    records_path(tmp_path).mkdir()
    for name in ("weighbridge-empty", "weighbridge-with-a-file", "elsewhere"):
        (folder := tmp_path / name).mkdir()
        note = {"folder": str(folder), "owner_pid": os.getpid(), "owner_birth": "another"}
        (records_path(tmp_path) / f"{name}.folder").write_text(json.dumps(note))
    (tmp_path / "weighbridge-with-a-file" / "kept").write_text("")
    engines.clean_up(tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "engines", "weighbridge-with-a-file"]
    assert not list(records_path(tmp_path).iterdir())
