"""Fetching by processes: killed, interrupted, several at once, and on a disk that fills up."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest

from tests.facts.hub_server import Fault
from tests.hub.conftest import MIB
from weighbridge import hub

BIG = "acme/big-GGUF:Q4_K_M"
NAME = "big-Q4_K_M.gguf"


def start(environment, *arguments, limit_bytes=None):
    """`weigh` as a process, whose files may be as large as that."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    return subprocess.Popen(
        [sys.executable, "-m", "weighbridge", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        preexec_fn=limit if limit_bytes else None,
    )


def wait_for_part(access, least):
    """The part, when so much of it is there."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for part in access.cache.glob("models--acme--big-GGUF/blobs/*.part"):
            if part.stat().st_size >= least:
                return part
        time.sleep(0.01)
    pytest.fail("no part within 20 s")


def cdn_ranges(server):
    return [asked.range for asked in server.asked if asked.server == "cdn" and asked.path.endswith(NAME)]


def test_after_kill_9_the_next_process_goes_on_where_the_bytes_end(server, access, environment):
    server.faults[NAME] = Fault(bytes_per_second=3 * MIB)
    process = start(environment, "get", BIG)
    part = wait_for_part(access, 2 * MIB)
    process.kill()
    process.communicate()
    held = part.stat().st_size
    server.faults.clear()
    server.asked.clear()
    done = start(environment, "get", BIG, "--json")
    out, err = done.communicate(timeout=60)

    assert done.returncode == 0, err
    (model,) = json.loads(out)
    with open(model["path"], "rb") as file:
        assert file.read() == server.repositories["acme/big-GGUF"][NAME]
    assert cdn_ranges(server) == [f"bytes={held}-{4 * MIB - 1}"]
    assert "MiB here" in err


def test_ctrl_c_ends_at_once_keeps_what_came_and_says_how_to_go_on(server, access, environment):
    server.faults[NAME] = Fault(bytes_per_second=2 * MIB)
    process = start(environment, "get", BIG)
    wait_for_part(access, MIB)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "run the same again" in err
    assert "Traceback" not in err
    assert wait_for_part(access, MIB)


def test_processes_that_fetch_the_same_do_not_disturb_each_other(server, access, environment):
    server.faults[NAME] = Fault(bytes_per_second=2 * MIB)
    processes = [start(environment, "get", BIG) for _ in range(3)]
    ends = [(process.communicate(timeout=60), process.returncode) for process in processes]

    assert [code for _, code in ends] == [0, 0, 0], ends
    assert len({out for (out, _), _ in ends}) == 1
    assert hub.find(BIG, access).first.read_bytes() == server.repositories["acme/big-GGUF"][NAME]
    assert cdn_ranges(server) == [None]


def test_a_disk_that_fills_up_is_told_and_what_came_is_gone_on_with(server, access, environment):
    process = start(environment, "get", BIG, limit_bytes=2 * MIB + 12345)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "File too large" in err
    assert "2.0 MiB of big-Q4_K_M.gguf are still to come" in err
    assert "it goes on where it ended" in err
    held = wait_for_part(access, MIB).stat().st_size
    assert held == 2 * MIB + 12345
    server.asked.clear()
    again = start(environment, "get", BIG)
    _, err = again.communicate(timeout=60)

    assert again.returncode == 0, err
    assert cdn_ranges(server) == [f"bytes={held}-{4 * MIB - 1}"]
