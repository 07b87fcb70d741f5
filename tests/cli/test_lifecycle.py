"""`weigh ps`, `weigh stop MODEL` and `weigh logs`, as a user types them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import httpx2 as httpx
import openai
import pytest

from tests.conftest import run_weigh

TWO = """
memory_budget_bytes = "60MiB"

[models.one]
source = "fake:memory_bytes=40MiB,tokens_per_second=50,tokens=400,reply=one"
keep_alive_seconds = 900

[models.two]
source = "fake:memory_bytes=40MiB,die_after_tokens=0"
preload = false
"""


@pytest.fixture
def serving(gateway, tmp_path):
    (tmp_path / "w.toml").write_text(TWO)
    return gateway(flags=("--config", str(tmp_path / "w.toml")))


def test_a_settings_file_alone_says_what_is_served_and_ps_how_it_is(serving):
    body = {"model": "one", "stream": True, "messages": [{"role": "user", "content": "go on"}]}
    with httpx.stream("POST", serving.url + "/v1/chat/completions", json=body) as stream:
        pieces = stream.iter_bytes()
        next(pieces)
        shown = run_weigh("ps", "--port", serving.port(), COLUMNS="100").stdout
    found = serving.ps()

    head, one, two, *rest = shown.splitlines()
    assert head.split() == ["model", "state", "engine", "pid", "planned", "measured", "now+wait", "tok/s", "idle"]
    assert one.split()[:3] == ["one", "ready", "fake"]
    assert "40.0 MiB" in one
    assert "1+0" in one
    assert two.split()[:2] == ["two", "stopped"]
    assert "main memory: 40.0 MiB of 60.0 MiB promised" in rest
    assert max(map(len, shown.splitlines())) <= 100
    assert found["one"]["memory_measured_bytes"] > 40 << 20
    assert found["one"]["keep_alive_seconds"] == 900


def test_stop_with_a_name_unloads_that_model_and_the_gateway_serves_on(serving):
    stopped = run_weigh("stop", "one", "--port", serving.port())

    assert (stopped.returncode, stopped.stderr) == (0, "unloaded one\n")
    assert serving.ps()["one"]["state"] == "stopped"
    assert serving.client().chat.completions.create(
        model="one", max_tokens=1, messages=[{"role": "user", "content": "x"}]
    ).choices  # fmt: skip
    unknown = run_weigh("stop", "three", "--port", serving.port())
    assert (unknown.returncode, unknown.stderr.splitlines()[0]) == (
        1, "weigh: no model is named 'three'; there are: one, two"
    )  # fmt: skip


def test_a_gateway_is_looked_at_and_ended_while_its_settings_are_broken(gateway, tmp_path):
    config, state = tmp_path / "w.toml", tmp_path / "elsewhere"
    config.write_text('[models.one]\nsource = "fake:"\n')
    running = gateway(flags=("--config", str(config)), WEIGHBRIDGE_STATE_DIR=str(state))
    here = f'port = {running.port()}\nstate_dir = "{state}"\n'
    for fault, command in (
        ("prot = 1\n", ["ps"]),
        ('max_body_bytes = "many"\n', ["logs", "one"]),
        ("[models.one]\nsource = \n", ["key", "list"]),
        ('policies = "none"\n', ["stop"]),
    ):
        config.write_text(here + fault)
        done = run_weigh(*command, "--config", str(config))
        assert (done.returncode, done.stderr.startswith(f"warning: {config}: ")) == (0, True), done

    assert running.process.wait(30) == 0


def test_ps_shows_a_model_that_is_left_alone_after_failures(serving):
    client = serving.client(max_retries=0)
    for _ in range(2):
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(model="two", messages=[{"role": "user", "content": "x"}])
    shown = run_weigh("ps", "--port", serving.port(), COLUMNS="100").stdout

    # On a busy machine the pause of two seconds may be over by now.
    assert re.search(
        r"^two: (left alone after failures, tried again in \d|failed again and again)", shown, re.MULTILINE
    )
    assert "two: its process ended with exit code 9" in shown


def test_ps_says_how_an_engine_ended_that_is_there_again(gateway):
    running = gateway("fake:abort_after_tokens=2")
    client = running.client()
    body = {"model": "fake", "messages": [{"role": "user", "content": "x"}]}
    with pytest.raises(openai.APIError, match="ended by SIGABRT: fake: error: told to abort"):
        list(client.chat.completions.create(stream=True, **body))
    assert client.chat.completions.create(max_tokens=1, **body).choices
    shown = run_weigh("ps", "--port", running.port(), COLUMNS="200").stdout

    assert (
        "fake: ended by itself 1 times, the last time: its process was ended by SIGABRT: fake: error: told to abort"
        in shown
    )


def test_logs_are_the_end_of_what_an_engine_said(tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "one.log").write_bytes(b"".join(b"line %d\n" % number for number in range(100_000)) + b"last \x1b[2J\xff")
    done = run_weigh("logs", "one", "-n", "2", WEIGHBRIDGE_STATE_DIR=str(tmp_path))
    missing = run_weigh("logs", "onne", WEIGHBRIDGE_STATE_DIR=str(tmp_path))

    assert done.stdout == "line 99999\nlast \\x1b[2J\ufffd\n"
    assert run_weigh("logs", "one", WEIGHBRIDGE_STATE_DIR=str(tmp_path)).stdout.count("\n") == 50
    assert missing.returncode == 1
    assert missing.stderr == (f"weigh: no log of 'onne' in {logs}: No such file or directory\n  did you mean 'one'?\n")


def test_logs_go_on_with_what_comes_also_in_a_new_file(tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    path = logs / "one.log"
    path.write_text("first\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "weighbridge", "logs", "one", "-f"],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "WEIGHBRIDGE_STATE_DIR": str(tmp_path)},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "first\n"
        with path.open("a") as file:
            file.write("second\nhalf")
        assert process.stdout.readline() == "second\n"
        with path.open("a") as file:
            file.write(" of it\n")
        assert process.stdout.readline() == "half of it\n"
        path.rename(logs / "one.log.1")
        path.write_text("third\n")
        assert process.stdout.readline() == "third\n"
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()


def test_an_engines_log_is_found_by_the_models_name(serving, tmp_path):
    said = run_weigh("logs", "one", WEIGHBRIDGE_STATE_DIR=str(tmp_path)).stdout

    assert f"one: process {serving.ps()['one']['pid']}" in said
    assert json.loads(run_weigh("ps", "--json", "--port", serving.port()).stdout)["memory"]["memory"]
