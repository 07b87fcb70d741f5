"""The commands that fetch, list, remove and carry models, as processes, against a hub over real sockets."""

# ruff: noqa: F811

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time

import pytest

from tests.conftest import run_weigh
from tests.facts.hub_server import COMMIT, Fault
from tests.hub.conftest import MIB, access, environment, model_bytes, server, state  # noqa: F401
from weighbridge import hub

TINY = "acme/tiny-GGUF:Q4_K_M"


def weigh(environment, *arguments, code=0):
    done = run_weigh(*arguments, **environment)
    assert done.returncode == code, done.stderr
    assert all(len(line) <= 80 for line in done.stdout.splitlines() if "/" not in line), done.stdout
    return done


def on_terminal(environment, *arguments, answer=b""):
    """What a terminal shows, and the exit code."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "weighbridge", *arguments],
        stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, **environment},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if not select.select([ours], [], [], 0.1)[0]:
            if process.poll() is not None:
                break
            continue
        try:
            shown += os.read(ours, 4096)
        except OSError:
            break
        if answer and b"[y/N]" in shown:
            os.write(ours, answer)
            answer = b""
    os.close(ours)
    return shown.decode(), process.wait(60)


def test_get_prints_the_path_and_ls_what_is_here(environment, server, access):
    got = weigh(environment, "get", TINY)
    path = got.stdout.strip()

    assert path == str(access.cache / f"models--acme--tiny-GGUF/snapshots/{COMMIT}/tiny-Q4_K_M.gguf")
    assert "every file has its sum" in got.stderr
    listed = weigh(environment, "ls").stdout
    assert TINY in listed
    assert "complete" in listed
    (row,) = json.loads(weigh(environment, "ls", "--json").stdout)
    assert (row["quantization"], row["path"], row["is_complete"]) == ("F32", path, True)
    assert weigh(environment, "facts", path, "--json").returncode == 0


def test_get_again_finds_a_flipped_byte_and_mends_it(environment, server):
    path = weigh(environment, "get", TINY).stdout.strip()
    status = os.stat(path)
    with open(path, "r+b") as file:
        file.seek(-9, os.SEEK_END)
        byte = file.read(1)
        file.seek(-9, os.SEEK_END)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    again = weigh(environment, "get", TINY)

    with open(again.stdout.strip(), "rb") as file:
        assert file.read() == server.repositories["acme/tiny-GGUF"]["tiny-Q4_K_M.gguf"]


def test_get_on_a_terminal_writes_one_line_with_share_rate_and_time_left(environment, server):
    server.faults["big-Q4_K_M.gguf"] = Fault(bytes_per_second=4 * MIB)
    shown, code = on_terminal(environment, "get", "acme/big-GGUF")

    assert code == 0
    lines = shown.split("\r\n")
    (line,) = [line for line in lines if "fetching" in line]
    assert line.count("\r") >= 3
    assert "MiB/s" in line
    assert " s left" in line
    assert all(len(part) < 80 for part in line.split("\r"))


def test_get_names_what_a_catalogue_name_means(environment, server):
    done = weigh(environment, "get", "qwen3-8b:Q4_K_M", code=1)

    assert "qwen3-8b:Q4_K_M is unsloth/Qwen3-8B-GGUF:Q4_K_M" in done.stderr
    assert "not there" in done.stderr


@pytest.mark.parametrize(
    ("headers", "status", "said"),
    [
        ({"X-Error-Code": "GatedRepo"}, 403, "is gated"),
        ({"Retry-After": "9999"}, 429, "limits the rate"),
        ({}, 404, "is not there"),
    ],
)
def test_get_says_what_the_hub_said(headers, status, said, environment, server):
    server.faults["tiny-Q4_K_M.gguf"] = Fault(status=status, headers=headers)
    done = weigh(environment, "get", TINY, code=1)

    assert said in done.stderr
    assert ("not there" in done.stderr) == (status == 404)


def test_a_model_moves_on_a_stick_to_a_machine_without_network(environment, server, tmp_path):
    stick = tmp_path / "stick.tar"
    packed = weigh(environment, "pack", TINY, "acme/tiny-GGUF:Q8_0", str(stick))
    far = {**environment, "HF_HOME": str(tmp_path / "far"), "HF_HUB_OFFLINE": "1"}
    far["WEIGHBRIDGE_STATE_DIR"] = str(tmp_path / "far-state")
    paths = weigh(far, "unpack", str(stick)).stdout.split()

    assert "apache-2.0, with its text (LICENSE)" in packed.stderr
    assert weigh(far, "get", TINY).stdout.strip() == paths[0]
    facts = json.loads(subprocess.run(["tar", "-xOf", stick, "0/facts.json"], capture_output=True, check=True).stdout)
    assert facts["architecture"] == "llama"
    assert str(tmp_path) not in json.dumps(facts)


def test_a_stick_that_takes_no_such_file_is_told(environment, server, tmp_path):
    weigh(environment, "get", TINY)
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 100; exec {sys.executable} -m weighbridge pack {TINY} {tmp_path / 'x.tar'}"],
        capture_output=True, text=True, env={**os.environ, **environment},
    )  # fmt: skip

    assert done.returncode == 1
    assert "FAT32" in done.stderr
    assert not list(tmp_path.glob("x.tar*"))


def test_rm_asks_on_a_terminal_and_takes_no_for_an_answer(environment, server, access, state):
    weigh(environment, "get", TINY)
    shown, code = on_terminal(environment, "rm", TINY, answer=b"n\n")
    assert code == 1
    assert "nothing was removed" in shown
    assert hub.stored(access, state)

    shown, code = on_terminal(environment, "rm", TINY, answer=b"y\n")
    assert code == 0
    assert "freed" in shown
    assert not hub.stored(access, state)


def test_rm_without_a_terminal_wants_to_be_told_yes(environment, server):
    weigh(environment, "get", TINY)

    assert "--yes" in weigh(environment, "rm", TINY, code=1).stderr
    said = json.loads(weigh(environment, "rm", "acme/tiny-GGUF", "--yes", "--json").stdout)
    assert said["removed"] == [TINY]
    assert said["freed_bytes"] > MIB


def test_rm_of_a_repository_removes_every_revision(environment, server, access):
    weigh(environment, "get", TINY)
    server.publish("acme/tiny-GGUF", {**server.repositories["acme/tiny-GGUF"], "README.md": b"new"}, "d" * 40)
    weigh(environment, "get", TINY, "--newest")
    weigh(environment, "rm", "acme/tiny-GGUF", "--yes")

    assert not list(access.cache.glob("models--*"))


def test_update_tells_which_models_have_a_newer_revision(environment, server):
    weigh(environment, "get", TINY)
    server.publish("acme/tiny-GGUF", {**server.repositories["acme/tiny-GGUF"], "README.md": b"new"}, "d" * 40)
    said = weigh(environment, "update", "--models").stdout
    (update,) = json.loads(weigh(environment, "update", "--models", "--json").stdout)["models"]

    assert f"weigh get {TINY} --newest" in said
    assert (update["have"], update["newest"], update["changed"]) == (COMMIT, "d" * 40, [])


def test_update_of_the_catalogue_gives_up_where_no_hub_can_be_reached(environment):
    done = weigh(environment | {"HF_ENDPOINT": "http://127.0.0.1:9"}, "update", "--catalogue", code=1)

    assert done.stderr.count("/504 ") < 10
    assert "no connection" in done.stderr.splitlines()[-2]


def test_a_damaged_file_of_state_is_set_aside_and_a_model_is_fetched_and_listed_all_the_same(
    environment, server, state
):
    state.mkdir()
    (state / "weighbridge.sqlite3").write_bytes(b"no database" * 200)
    done = weigh(environment, "get", TINY)
    listed = weigh(environment, "ls")

    assert done.stderr.count("was damaged and lies at") == 1
    assert "Traceback" not in done.stderr
    assert TINY in listed.stdout
    assert "was damaged" not in listed.stderr


def test_listing_many_models_is_quick(environment, access, model_bytes):
    for number in range(40):
        folder = access.cache / f"models--acme--m{number}" / "snapshots" / COMMIT
        folder.mkdir(parents=True)
        (folder / "m-Q4_0.gguf").write_bytes(model_bytes)
    before = os.times().children_user
    listed = weigh(environment, "ls").stdout

    assert listed.count("complete") == 40
    # Counted in work, not in time: the machine may be busy.
    assert os.times().children_user - before < 4
