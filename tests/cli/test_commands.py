"""The commands as a user types them: what they print, and how they fail."""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import run_weigh
from weighbridge.cli.flag_values import positive, rate, temperature
from weighbridge.cli.main import _run, command_names, documentation


def data_of(*arguments, code=0, **environment):
    done = run_weigh(*arguments, "--json", **environment)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def test_help_lists_every_command_with_its_summary():
    shown = run_weigh("--help", COLUMNS="80").stdout

    for name in command_names():
        assert f"{name} " in shown
        assert documentation(name).splitlines()[0] in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("name", command_names())
def test_each_commands_help_holds_an_example(name):
    done = run_weigh(name, "--help")

    assert done.returncode == 0
    assert f"example:\n  weigh {name}" in done.stdout


def test_facts_as_json_keep_the_contract():
    facts = data_of("facts", "arithmetic")

    assert facts["architecture"] == "llama"
    assert facts["source"]["kind"] == "gguf"
    assert facts["parameters"]["total"] == facts["parameters"]["active"] > 900_000
    assert facts["parameters"]["basis"] == "read"
    assert facts["context_length"] == 512
    assert [layer["kind"] for layer in facts["layers"]] == ["full"] * 4
    assert set(facts["layers"][0]) >= {"kind", "kv_bytes_per_token", "state_bytes", "window_tokens"}
    assert facts["experts"] is None
    assert facts["modalities"] == {"input": ["text"], "output": ["text"]}
    assert facts["licence"] == "apache-2.0"
    assert facts["quantization"] == "Q8_0"
    assert 8.5 <= facts["bits_per_weight"] < 8.7


def test_several_files_are_a_list(tiny_gguf):
    facts = data_of("facts", "arithmetic", str(tiny_gguf()))

    assert [found["name"] for found in facts] == ["arithmetic", "tiny"]


def test_facts_read_well_on_80_columns():
    shown = run_weigh("facts", "extract", COLUMNS="80").stdout

    assert max(len(line) for line in shown.splitlines() if not line.startswith("  /")) <= 80
    for word in ("parameters", "context", "licence", "where the bytes are", "Q8_0"):
        assert word in shown


def test_tensors_are_listed_with_size_and_place():
    shown = run_weigh("facts", "arithmetic", "--tensors").stdout

    assert re.search(r"^token_embd\.weight +Q8_0 +128 x 768 ", shown, re.MULTILINE)


def test_fit_shows_the_sum_by_component():
    plan = data_of("fit", "arithmetic")
    memory = plan["memory"]

    assert plan["verdict"] == "fits"
    assert memory["total"] == sum(size for name, size in memory.items() if name != "total")
    assert memory["weights"] > 1_000_000
    assert plan["largest_context"] == 512
    shown = run_weigh("fit", "arithmetic").stdout
    assert re.search(r"^cache +", shown, re.MULTILINE)
    assert re.search(r"^sum .* free", shown, re.MULTILINE)


def test_what_does_not_fit_is_refused_with_the_sum(tiny_gguf):
    path = str(tiny_gguf(context=1 << 20, width=256, heads=16, kv_heads=16, layers=8))
    plan = data_of("fit", path, "--context", "1048576", "--parallel", "64", code=1)
    refused = run_weigh("up", path, "--context", "1048576", "--parallel", "64", "--port", "0")

    assert plan["verdict"] == "no"
    assert 0 < plan["largest_context"] < 1 << 20
    assert refused.returncode == 1
    assert re.search(
        r"weigh: tiny needs [\d.,]+ GiB at 1,048,576 tokens x 64 \(weights .* \+ cache .*\)", refused.stderr
    )
    assert re.search(r"it fits at [\d,]+ tokens: --context \d+", refused.stderr)


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "promise"])
@pytest.mark.parametrize("command", ["facts", "fit", "up"])
def test_a_damaged_model_is_an_error_before_any_engine_starts(tiny_gguf, command, damage, tmp_path):
    path = tiny_gguf()
    raw = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "text": b"hello",
            "cut": raw[: len(raw) // 2],
            "promise": raw[:8] + (1 << 60).to_bytes(8, "little") + raw[16:],
        }[damage]
    )
    done = run_weigh(command, str(path), WEIGHBRIDGE_STATE_DIR=str(tmp_path))

    assert done.returncode == 1
    what, how = done.stderr.strip().splitlines()
    assert what.startswith(f"weigh: {path}: ")
    assert how.startswith("  ")
    assert not (tmp_path / "logs").exists()


def test_a_missing_file_is_one_line_what_and_one_line_how():
    done = run_weigh("up", "nowhere.gguf")

    assert done.returncode == 1
    what, how = done.stderr.splitlines()
    assert what == "weigh: nowhere.gguf: is not there"
    assert how.startswith("  give a path, org/name of a repository")


def test_once_answers_one_question_and_stops(tmp_path):
    done = run_weigh("up", "--once", "What is 37 plus 58?", WEIGHBRIDGE_STATE_DIR=str(tmp_path))

    assert done.returncode == 0, done.stderr
    assert done.stdout == "95\n"
    assert "arithmetic answers: auto: in form like" in done.stderr


def test_once_as_json_tells_model_reason_and_times():
    said = data_of("up", "--once", "What is 37 plus 58?")

    assert (said["answer"], said["model"]) == ("95", "arithmetic")
    assert 0 < said["first_token_seconds"] < said["start_to_first_token_seconds"]


def test_chat_asks_the_gateway_that_runs(bundled_gateway):
    done = run_weigh("chat", "12 * 12", "--port", bundled_gateway.port())

    assert done.stdout == "144\n"
    assert "[arithmetic: auto: in form like" in done.stderr


def test_a_conversation_comes_from_standard_input(bundled_gateway):
    done = subprocess.run(
        [sys.executable, "-m", "weighbridge", "chat", "--port", bundled_gateway.port(), "--model", "arithmetic"],
        input="3 + 4\nWhat is 20 minus 8?\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stdout.split() == ["7", "12"]


@contextlib.contextmanager
def chat_at_a_terminal(port):
    """`weigh chat` at a terminal of its own: the process, and the terminal's other end."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "weighbridge", "chat", "--port", port],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield process, master
    finally:
        process.kill()
        process.wait()
        os.close(master)


def read_until(terminal, wanted):
    shown, end = b"", time.monotonic() + 30
    while wanted not in shown:
        ready, _, _ = select.select([terminal], [], [], max(0, end - time.monotonic()))
        assert ready, shown
        shown += os.read(terminal, 4096)


def test_a_conversation_at_a_terminal(bundled_gateway):
    with chat_at_a_terminal(bundled_gateway.port()) as (process, terminal):
        read_until(terminal, b"> ")
        os.write(terminal, b"What is 37 plus 58?\n")
        read_until(terminal, b"95\r\n> ")
        os.write(terminal, b"\x04")

        assert process.wait(60) == 0


def test_ctrl_c_ends_a_conversation_at_once(fake_gateway):
    with chat_at_a_terminal(fake_gateway.port()) as (process, terminal):
        read_until(terminal, b"> ")
        process.send_signal(signal.SIGINT)

        assert process.wait(60) == 130


def test_chat_without_a_gateway_starts_one(tmp_path):
    done = run_weigh("chat", "9 times 9", "--port", "9", WEIGHBRIDGE_STATE_DIR=str(tmp_path))

    assert done.stdout == "81\n"
    assert "no gateway at http://127.0.0.1:9" in done.stderr


def test_ps_shows_planned_and_measured_memory(bundled_gateway):
    data = data_of("ps", "--port", bundled_gateway.port())
    shown = run_weigh("ps", "--port", bundled_gateway.port(), COLUMNS="100").stdout

    assert [model["name"] for model in data["models"]] == ["arithmetic", "extract"]
    for model in data["models"]:
        assert model["state"] == "ready"
        assert 10 << 20 < model["memory_measured_bytes"] <= model["memory_planned_bytes"]
    assert "planned" in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_no_gateway_is_one_line_what_and_one_line_how():
    done = run_weigh("ps", "--port", "9")

    assert done.returncode == 1
    what, how = done.stderr.strip().splitlines()
    assert what.startswith("weigh: no gateway answers at http://127.0.0.1:9")
    assert how == "  start one with: weigh up"


def test_a_gateway_in_the_background_serves_and_is_stopped(tmp_path):
    port = _free_port()
    state = {"WEIGHBRIDGE_STATE_DIR": str(tmp_path)}
    done = run_weigh("up", "fake", "--detach", "--port", port, **state)
    try:
        assert done.returncode == 0, done.stderr
        assert "serving in the background" in done.stderr
        assert data_of("ps", "--port", port)["models"][0]["state"] == "ready"
        again = run_weigh("up", "--detach", "--port", port, **state)
        assert (again.returncode, "serves already" in again.stderr) == (0, True)
    finally:
        stopped = run_weigh("stop", "--port", port)
    assert stopped.returncode == 0
    assert run_weigh("ps", "--port", port).returncode == 1


def test_what_fails_in_the_background_is_told_in_front(tmp_path):
    done = run_weigh(
        "up", "fake:fail_start=no such device", "--detach", "--port", _free_port(), WEIGHBRIDGE_STATE_DIR=str(tmp_path)
    )

    assert done.returncode == 1
    assert "no such device" in done.stderr


def _free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        (["facts"], "the following arguments are required: SOURCE"),
        (["fit", "arithmetic", "--context", "-3"], "-3 is not between 1 and"),
        (["up", "--once", "x", "--port", "99999"], "port is 99,999, expected 0 to 65,535"),
        (["up", "fake:speed=3"], "fake has no option 'speed'"),
        (["up", "a=fake", "a=fake"], "the name 'a' is taken already"),
        (["log", "-n", "-1"], "-1 is not between 1 and 1,000,000"),
        (["eval", "task.jsonl", "--limit", "-1"], "-1 is not between 1 and"),
        (["key", "create", "anna", "--expires", "2020-01-01"], "2020-01-01 has begun already"),
        (["route", "add"], "add needs DATA"),
        (["route", "learn", "nowhere.jsonl"], "nowhere.jsonl: there is no such file"),
        (["up", "auto=fake"], "no model can be named 'auto'"),
    ],
)
def test_a_wrong_command_line_is_exit_code_1_with_a_hint(arguments, what):
    done = run_weigh(*arguments)

    assert done.returncode == 1
    assert what in done.stderr
    assert len(done.stderr.strip().splitlines()) >= 2


@pytest.mark.parametrize("flag", [positive, rate, temperature])
@pytest.mark.parametrize("text", ["", "x", "-1", "nan", "inf", "1e400", "9" * 5000])
def test_a_flag_that_wants_a_number_takes_nothing_else(flag, text):
    with pytest.raises(argparse.ArgumentTypeError):
        flag(text)


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/data/x"), 1, "/data/x: Permission denied"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), 2, "a fault of weighbridge"),
        (ValueError("wrong"), 2, "a fault of weighbridge"),
    ],
)
def test_what_a_disk_refuses_is_the_users_to_mend_and_what_else_is_raised_our_fault(
    capsys, monkeypatch, raised, code, said
):
    class Failing:
        def add_arguments(self, parser):
            pass

        def run(self, arguments):
            raise raised

    door = sys.modules[_run.__module__]
    monkeypatch.setattr(door, "parser_of", lambda _name: (argparse.ArgumentParser(), Failing()))

    assert _run("failing", []) == code
    assert said in capsys.readouterr().err


def test_what_a_file_says_cannot_steer_the_terminal(tiny_gguf):
    path = tiny_gguf(metadata={"general.description": "\x1b[31mred\nweigh: all is well"})
    done = run_weigh("facts", str(path))

    assert "\x1b" not in done.stdout
    assert "\\x1b[31mred\\nweigh: all is well" in " ".join(done.stdout.split())


def test_a_terminal_without_signs_gets_others():
    done = run_weigh("facts", "arithmetic", PYTHONIOENCODING="ascii")

    assert done.returncode == 0
    assert "where the bytes are" in done.stdout


@pytest.mark.parametrize("source", ["x" * 300, "~nosuchuser/x.gguf", "a\0b"])
def test_a_name_that_can_be_no_file_is_an_error_of_the_user(source):
    if "\0" in source:
        from weighbridge import facts
        from weighbridge.errors import BadModelFile

        with pytest.raises(BadModelFile):
            facts.read(source)
        return
    done = run_weigh("facts", source)

    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_flags_are_not_guessed_from_their_beginnings():
    assert "unrecognized arguments: --det" in run_weigh("up", "fake", "--det").stderr


def test_an_interrupted_question_is_no_success(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "weighbridge", "up", "fake:tokens_per_second=1,tokens=100", "--once", "x"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "WEIGHBRIDGE_STATE_DIR": str(tmp_path)},
    )
    assert process.stdout.read(4) == b"This"
    process.send_signal(signal.SIGINT)

    assert process.wait(60) == 130


def test_a_closed_pipe_is_no_error():
    done = subprocess.run(
        f"{sys.executable} -m weighbridge facts arithmetic --tensors | head -1",
        shell=True,
        capture_output=True,
        check=False,
    )

    assert done.stderr == b""


def test_a_command_that_is_stopped_while_it_is_loaded_ends_without_a_word(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Stop:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'weighbridge.cli.commands.up':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Stop())\n"
    )
    places = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    done = run_weigh("up", PYTHONPATH=places)

    assert done.returncode == 130
    assert done.stdout + done.stderr == ""
