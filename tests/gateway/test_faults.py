"""What goes wrong: dying engines, damaged requests, closed doors. Each with real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import tempfile
import threading
import time
from pathlib import Path

import httpx2 as httpx
import openai
import psutil
import pytest

from tests.conftest import run_weigh


def chat(client, model, **options):
    settings = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    return client.chat.completions.create(**(settings | options))


def test_a_killed_engine_ends_the_stream_with_an_error_and_is_started_again(gateway, tiny_gguf):
    running = gateway(
        f"one={tiny_gguf(context=65536)}", "two=fake:tokens_per_second=50,tokens=100", flags=("--context", "65536")
    )
    client = running.client()
    pid = running.ps()["one"]["pid"]
    other_tokens: list[str] = []

    def other():
        for event in chat(client, "two", stream=True):
            other_tokens.append(event.choices[0].delta.content)

    bystander = threading.Thread(target=other)
    bystander.start()
    stream = chat(client, "one", stream=True)
    next(iter(stream))
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(openai.APIError) as caught:
        for _ in stream:
            pass
    assert "the engine of one ended while it answered" in str(caught.value)
    assert caught.value.body["source"] == "engine"

    again = chat(client, "one", max_tokens=3)
    bystander.join()

    assert again.usage.completion_tokens == 3
    assert running.ps()["one"]["pid"] not in (pid, None)
    assert running.ps()["one"]["restarts"] == 1
    assert len(other_tokens) == 101
    assert running.ps()["two"]["restarts"] == 0


def test_the_very_next_request_after_a_death_is_answered(gateway, tiny_gguf):
    running = gateway(str(tiny_gguf(context=65536)), flags=("--context", "65536"))
    client = running.client()
    for _ in range(3):
        stream = chat(client, "tiny", stream=True)
        next(iter(stream))
        os.kill(running.ps()["tiny"]["pid"], signal.SIGKILL)
        with pytest.raises(openai.APIError):
            for _ in stream:
                pass

        assert chat(client, "tiny", max_tokens=3).usage.completion_tokens == 3


def test_an_idle_engine_that_was_killed_is_not_noticed_by_anyone(gateway):
    running = gateway("fake")
    client = running.client()
    assert chat(client, "fake").choices
    os.kill(running.ps()["fake"]["pid"], signal.SIGKILL)

    assert chat(client, "fake").choices[0].message.content


def test_a_hung_engine_is_ended_and_started_again(gateway):
    running = gateway("fake", WEIGHBRIDGE_HEALTH_INTERVAL_SECONDS="0.2", WEIGHBRIDGE_READ_TIMEOUT_SECONDS="30")
    pid = running.ps()["fake"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    running.wait_for("fake", lambda model: model["state"] == "stopped")

    assert not psutil.pid_exists(pid)
    assert chat(running.client(), "fake").choices[0].message.content


def test_a_connection_that_the_engine_closed_costs_no_request(gateway, tiny_gguf):
    running = gateway(str(tiny_gguf()))
    client = running.client()
    for _ in range(130):  # llama.cpp closes a kept connection after a hundred requests
        assert chat(client, "tiny", max_tokens=1).usage.completion_tokens == 1


def test_a_log_that_cannot_be_written_harms_nobody(gateway, tmp_path):
    (tmp_path / "logs" / "fake.log").mkdir(parents=True)
    running = gateway("fake")
    os.kill(running.ps()["fake"]["pid"], signal.SIGKILL)
    running.wait_for("fake", lambda model: model["state"] == "stopped")

    assert chat(running.client(), "fake").choices[0].message.content


def test_a_folder_for_logs_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    done = run_weigh("up", "fake", "--port", "0", WEIGHBRIDGE_STATE_DIR=str(tmp_path / "file"))

    assert done.returncode == 1
    assert f"weigh: {tmp_path / 'file' / 'logs'}: no place for logs: Not a directory" in done.stderr
    assert "WEIGHBRIDGE_STATE_DIR" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_with_a_long_name_is_served(gateway, tiny_gguf):
    name = "a-model-with-a-name-that-is-longer-than-any-socket-path-may-be-" * 3
    running = gateway(str(tiny_gguf(name=name)))
    (served_as,) = running.ps()

    assert name.startswith(served_as)
    assert chat(running.client(), served_as, max_tokens=2).usage.completion_tokens == 2


def test_an_engine_that_dies_before_its_first_byte_is_a_502(gateway):
    running = gateway("fake:die_after_tokens=0")
    with pytest.raises(openai.InternalServerError) as caught:
        chat(running.client(), "fake")

    assert caught.value.status_code == 502
    assert caught.value.code == "engine_died"


def test_a_plain_answer_that_is_cut_never_looks_complete(gateway):
    running = gateway("fake:die_after_tokens=3,tokens=10")
    with pytest.raises(openai.APIError):
        chat(running.client(), "fake")


def test_a_crash_loop_is_refused_with_a_time_to_come_back(gateway):
    running = gateway("ok=fake", "bad=fake:die_after_tokens=0")
    client = running.client()
    answers = []
    for _ in range(4):
        with pytest.raises(openai.InternalServerError) as caught:
            chat(client, "bad")
        answers.append(caught.value)

    refused = [answer for answer in answers if answer.status_code == 503]
    assert refused
    assert int(refused[0].response.headers["retry-after"]) >= 1
    assert refused[0].code == "engine_unavailable"
    assert chat(client, "ok").choices[0].message.content


def test_an_engine_that_falls_silent_is_a_504(gateway):
    running = gateway("fake:hang_after_tokens=0", WEIGHBRIDGE_READ_TIMEOUT_SECONDS="0.5")
    with pytest.raises(openai.InternalServerError) as caught:
        chat(running.client(), "fake")

    assert caught.value.status_code == 504
    assert caught.value.code == "engine_timeout"


def test_requests_wait_for_an_engine_that_starts(gateway):
    running = gateway("fake:load_seconds=0.5")
    os.kill(running.ps()["fake"]["pid"], signal.SIGKILL)
    running.wait_for("fake", lambda model: model["state"] == "stopped")

    begun = time.monotonic()
    assert chat(running.client(), "fake").choices[0].message.content
    assert time.monotonic() - begun > 0.4


def test_an_engine_that_never_gets_ready_is_named(tmp_path):
    done = run_weigh(
        "up", "fake:load_seconds=60", "--port", "0",
        WEIGHBRIDGE_START_TIMEOUT_SECONDS="0.5", WEIGHBRIDGE_STATE_DIR=str(tmp_path),
    )  # fmt: skip

    assert done.returncode == 1
    assert "weigh: fake: not ready after 0.5 s" in done.stderr
    assert "start_timeout_seconds" in done.stderr


def test_a_failed_start_quotes_the_engine(tmp_path):
    done = run_weigh("up", "fake:fail_start=no such device", "--port", "0", WEIGHBRIDGE_STATE_DIR=str(tmp_path))

    assert done.returncode == 1
    assert "fake: error: no such device" in done.stderr


def test_an_error_of_the_engine_passes_with_its_status(gateway):
    running = gateway("fake:status=429")
    with pytest.raises(openai.RateLimitError) as caught:
        chat(running.client(), "fake")

    assert caught.value.body["message"] == "told to answer 429"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is not JSON"),
        (b"{", "the body is not JSON: Expecting property name"),
        (
            b'{"model": "fake", "messages": [{"role": "user", "content": "\xff"}]}',
            "the body is not UTF-8: byte 60 is 0xff",
        ),
        (b"[1]", "the body is a JSON list, expected an object"),
        (b'{"a": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"model": 7, "messages": []}', "model is 7, expected a name"),
        (b'{"model": "fake", "messages": []}', "messages is missing or no list"),
        (b'{"model": "fake", "messages": "hi"}', "messages is missing or no list"),
        (b'{"model": "fake", "stream": "yes", "messages": [{}]}', 'stream is "yes", expected true or false'),
        (b'{"n": ' + b"9" * 5000 + b"}", "the body is not JSON: Exceeds the limit"),
    ],
)
def test_a_damaged_request_is_a_400_that_says_where(fake_gateway, body, message):
    answer = httpx.post(fake_gateway.url + "/v1/chat/completions", content=body)

    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]
    assert answer.json()["error"]["source"] == "gateway"


def test_a_body_that_is_too_large_is_a_413(gateway):
    running = gateway("fake", WEIGHBRIDGE_MAX_BODY_BYTES="10kB")

    def endless():
        while True:
            yield b"x" * 1000

    declared = httpx.post(running.url + "/v1/completions", content=b"x" * 20_000)
    assert declared.status_code == 413
    assert "at most 10,000 are taken" in declared.json()["error"]["message"]
    try:
        undeclared = httpx.post(running.url + "/v1/completions", content=endless())
        assert undeclared.status_code == 413
    except httpx.TransportError:
        pass  # the gateway stopped reading, which is as good
    assert httpx.get(running.url + "/health").status_code == 200


def test_unknown_paths_and_methods_are_openais_errors(fake_gateway):
    missing = httpx.get(fake_gateway.url + "/v1/nothing")
    method = httpx.get(fake_gateway.url + "/v1/chat/completions")

    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "unknown_url")
    assert (method.status_code, method.json()["error"]["code"]) == (405, "method_not_allowed")


def test_a_key_is_asked_for_and_never_passed_on(gateway):
    running = gateway("fake", WEIGHBRIDGE_API_KEY="s3cret")
    with pytest.raises(openai.AuthenticationError) as caught:
        chat(running.client(), "fake")
    assert caught.value.code == "invalid_api_key"
    assert httpx.get(running.url + "/metrics").status_code == 401
    assert httpx.get(running.url + "/health").status_code == 200

    assert chat(running.client(api_key="s3cret"), "fake").choices[0].message.content
    shown = run_weigh("ps", "--json", "--port", running.port(), WEIGHBRIDGE_API_KEY="s3cret")
    assert json.loads(shown.stdout)["models"][0]["state"] == "ready"


@pytest.mark.parametrize(
    "headers", [{"host": "evil.example"}, {"origin": "https://evil.example"}, {"host": "127.0.0.1.evil.example:80"}]
)
def test_a_page_from_elsewhere_is_kept_out(fake_gateway, headers):
    answer = httpx.post(
        fake_gateway.url + "/v1/chat/completions",
        json={"messages": [{"role": "user", "content": "x"}]},
        headers=headers,
    )

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "foreign_caller")
    assert httpx.get(fake_gateway.url + "/ps", headers=headers).status_code == 403
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("host", ["localhost:8642", "127.0.0.1", "[::1]:8642", "weigh.localhost"])
def test_this_machine_by_any_of_its_names_is_let_in(fake_gateway, host):
    assert httpx.get(fake_gateway.url + "/v1/models", headers={"host": host}).status_code == 200


def test_a_port_in_use_is_one_line_what_and_one_line_how():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run_weigh("up", "fake", "--port", port)

    assert done.returncode == 1
    what, how = done.stderr.strip().splitlines()[-2:]
    assert what == f"weigh: cannot listen at 127.0.0.1:{port}: Address already in use"
    assert "choose another port" in how


def test_nothing_of_a_gateway_killed_outright_is_left(gateway, tiny_gguf):
    running = gateway(str(tiny_gguf()), "fake")
    children = psutil.Process(running.process.pid).children(recursive=True)
    assert len(children) == 2
    running.process.kill()
    _, alive = psutil.wait_procs(children, timeout=30)

    assert not alive


@pytest.fixture
def short_folder():
    """A folder whose name leaves room for a socket's, which pytest's own may not."""
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as name:
        yield Path(name)


def test_folders_of_sockets_that_a_killed_gateway_left_go_with_the_next_start(gateway, short_folder):
    folder = short_folder
    first = gateway("fake", TMPDIR=str(folder), WEIGHBRIDGE_PRELOAD="no")
    first.process.kill()
    first.process.wait()
    (left,) = folder.glob("weighbridge-*")
    second = gateway("fake", TMPDIR=str(folder), WEIGHBRIDGE_PRELOAD="no")

    assert not left.exists()
    assert len(list(folder.glob("weighbridge-*"))) == 1
    assert second.stop() == 0
    assert not list(folder.iterdir())


def test_a_folder_for_temporary_files_with_a_long_name_is_no_hindrance(gateway, tmp_path):
    (folder := tmp_path / ("long" * 30)).mkdir()
    running = gateway("fake", TMPDIR=str(folder))

    assert chat(running.client(), "fake").choices


def test_a_stop_while_streaming_ends_within_seconds(gateway):
    running = gateway("fake:tokens_per_second=20,tokens=10000", WEIGHBRIDGE_DRAIN_TIMEOUT_SECONDS="1")
    stream = chat(running.client(), "fake", stream=True)
    next(iter(stream))
    begun = time.monotonic()

    assert running.stop() == 0
    assert 1 <= time.monotonic() - begun < 60, "the answer would take eight minutes"
    with pytest.raises(openai.APIError, match="the gateway is closing"):
        for _ in stream:
            pass


def test_sockets_are_for_their_owner_only(gateway, tiny_gguf, tmp_path):
    running = gateway(str(tiny_gguf()))
    child = psutil.Process(running.ps()["tiny"]["pid"])
    (path,) = {connection.laddr for connection in child.net_connections("unix") if connection.laddr}

    assert os.stat(path).st_mode & 0o077 == 0
    assert os.stat(os.path.dirname(path)).st_mode & 0o077 == 0
    assert child.net_connections("inet") == []


def test_another_servers_models_are_served_through_ours(gateway):
    behind = gateway("deep=fake:reply=from afar")
    running = gateway(f"far={behind.url}/v1#deep")
    answer = chat(running.client(), "far")

    assert answer.choices[0].message.content.strip() == "from afar"
    assert running.ps()["far"]["engine"] == "remote"


def test_a_key_for_servers_elsewhere_is_sent_and_a_password_in_a_url_refused(gateway):
    behind = gateway("deep=fake", WEIGHBRIDGE_API_KEY="theirs")
    running = gateway(f"far={behind.url}/v1#deep", WEIGHBRIDGE_REMOTE_API_KEY="theirs")
    assert chat(running.client(), "far").choices[0].message.content

    refused = run_weigh("up", f"far={behind.url}/v1#deep", "--port", "0", WEIGHBRIDGE_REMOTE_API_KEY="wrong")
    assert (refused.returncode, "WEIGHBRIDGE_REMOTE_API_KEY" in refused.stderr) == (1, True)
    with_password = run_weigh("up", "http://me:secret@127.0.0.1:1/v1", "--port", "0")
    assert with_password.returncode == 1
    assert "secret" not in with_password.stderr


def test_a_remote_that_is_not_there_is_named():
    done = run_weigh("up", "far=http://127.0.0.1:9/v1", "--port", "0")

    assert done.returncode == 1
    assert "far: nothing answers at http://127.0.0.1:9" in done.stderr


def test_errors_are_json_with_a_request_id(fake_gateway):
    answer = httpx.post(fake_gateway.url + "/v1/chat/completions", json={"model": "nope", "messages": [{}]})

    assert answer.headers["x-request-id"].startswith("req_")
    assert set(json.loads(answer.text)["error"]) == {"message", "type", "param", "code", "source"}
