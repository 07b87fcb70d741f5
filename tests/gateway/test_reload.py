"""Settings taken anew while requests run: no request fails, and a file that is wrong changes nothing."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import socket
import ssl
import sys
import threading
import time

import httpx2 as httpx
import psutil

from tests.conftest import run_gateway, run_weigh
from tests.gateway.test_ways_in import make_certificate

ASKED = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 3}


class Traffic:
    """Requests to a model, one after the other, from a thread; `failures` are all that were not answered 200."""

    def __init__(self, url: str, model: str, *, stream: bool = False) -> None:
        self.answered, self.failures = 0, []
        self._ends = threading.Event()
        self._body = {"model": model, "stream": stream, **ASKED}
        self._url = url
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join(60)

    def _run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=20) as http:
            while not self._ends.is_set():
                try:
                    answer = http.post("/v1/chat/completions", json=self._body)
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
                    continue
                if answer.status_code != 200 or (self._body["stream"] and "[DONE]" not in answer.text):
                    self.failures.append(f"{answer.status_code}: {answer.text[:200]}")
                self.answered += 1


FILE = """
queue_limit = {queue}
max_body_bytes = {body}
cors_origins = {origins}
[models.stays]
source = "fake:tokens=3"
[models.{other}]
source = "fake:tokens=3,reply={reply}"
keep_alive_seconds = {keep}
"""


def test_no_request_fails_while_settings_and_models_change(tmp_path):
    file = tmp_path / "w.toml"

    def write(**rows) -> None:
        known = {"queue": 100, "body": 100_000, "origins": [], "other": "goes", "reply": "a", "keep": "inf"}
        beside = tmp_path / "new.toml"
        beside.write_text(FILE.format(**known | rows))
        beside.rename(file)

    write()
    env = {"WEIGHBRIDGE_STATE_DIR": str(tmp_path), "WEIGHBRIDGE_CONFIG": str(file)}
    with run_gateway(tmp_path, WEIGHBRIDGE_CONFIG=str(file)) as running, httpx.Client(base_url=running.url) as http:

        def reload() -> dict:
            answer = http.post("/admin/reload")
            return answer.json() | {"status": answer.status_code}

        def models() -> list[str]:
            return [each["id"] for each in http.get("/v1/models").json()["data"] if ":" not in each["id"]]

        with Traffic(running.url, "stays") as plain, Traffic(running.url, "stays", stream=True) as streams:
            with Traffic(running.url, "goes") as going:
                for round_ in range(6):
                    write(queue=100 + round_, reply="ab"[round_ % 2])
                    changed = reload()
                    assert (changed["status"], changed["removed"]) == (200, [])
                    assert changed["replaced"] == (["goes"] if round_ else [])
                    time.sleep(0.05)
            assert not going.failures, "a model that becomes another ends its answers, and the next request waits"
            before = http.get("/ps").json()["models"][0]["pid"]
            write(other="comes", body=2_000, origins='["https://a.example"]', keep="60")
            changed = reload()
            assert (changed["added"], changed["removed"]) == (["comes"], ["goes"])
            assert set(changed["settings"]) == {"models", "queue_limit", "max_body_bytes", "cors_origins"}
            assert models() == ["auto", "stays", "comes"]
            assert http.post("/v1/chat/completions", json={"model": "goes", **ASKED}).status_code == 404
            assert http.post("/v1/chat/completions", json={"model": "comes", **ASKED}).status_code == 200
            assert http.post("/v1/chat/completions", content=b"x" * 3_000).status_code == 413
            page = http.get("/v1/models", headers={"origin": "https://a.example"})
            assert page.headers["access-control-allow-origin"] == "https://a.example"
            assert running.ps()["comes"]["keep_alive_seconds"] == 60
            assert running.ps()["stays"]["pid"] == before, "what does not change is not touched"

            for wrong, what in (
                ("nonsense = 1", "no setting is named 'nonsense'"),
                ("= 3", "Invalid"),
                ('[models.x]\nsource = "/nowhere.gguf"', "nowhere.gguf"),
                ('[policies.stays]\nrules = []\n[models.stays]\nsource = "fake"', "stays"),
                ('tls_certificate = "/none.pem"\ntls_key = ""\n[models.stays]\nsource = "fake"', None),
            ):
                file.write_text(wrong)
                refused = reload()
                if what is None:
                    assert refused["kept"] == ["tls_certificate", "tls_key"] or refused["status"] == 400
                    continue
                assert refused["status"] == 400, wrong
                assert what in refused["error"]["message"]
                assert models() == ["auto", "stays", "comes"]

            write(other="comes", queue=7)
            running.process.send_signal(signal.SIGHUP)
            until = time.monotonic() + 60
            while "queue_limit" not in (tmp_path / "stderr.txt").read_text().rpartition("settings reloaded")[2]:
                assert time.monotonic() < until
                time.sleep(0.02)
            said = run_weigh("up", "--reload", "--port", running.port(), **env)
            assert (said.returncode, "nothing has changed" in said.stderr) == (0, True), said.stderr
        for traffic in (plain, streams):
            assert traffic.failures == []
            assert traffic.answered > 10
        deadline = time.monotonic() + 60
        while http.get("/metrics").text.count("weighbridge_engine_ready{") != 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(http.get("/ps").json()["models"]) == 2


def test_a_model_that_is_removed_ends_its_answers_first(tmp_path):
    file = tmp_path / "w.toml"
    file.write_text('[models.slow]\nsource = "fake:tokens=40,tokens_per_second=50"\n[models.other]\nsource = "fake"\n')
    with (
        run_gateway(tmp_path, WEIGHBRIDGE_CONFIG=str(file)) as running,
        httpx.Client(base_url=running.url, timeout=20) as http,
    ):
        (engine,) = [each["pid"] for each in http.get("/ps").json()["models"] if each["name"] == "slow"]
        body = {"model": "slow", "stream": True, "messages": ASKED["messages"]}
        with http.stream("POST", "/v1/chat/completions", json=body) as answer:
            lines = answer.iter_lines()
            next(lines)
            file.write_text('[models.other]\nsource = "fake"\n')
            running.process.send_signal(signal.SIGHUP)
            assert list(lines)[-2:] == ["data: [DONE]", ""]
        until = time.monotonic() + 60
        while psutil.pid_exists(engine):
            assert time.monotonic() < until
            time.sleep(0.05)
        assert http.post("/v1/chat/completions", json=body).status_code == 404


def test_what_can_not_change_is_said_and_the_certificate_is_renewed(tmp_path):
    file = tmp_path / "w.toml"
    certificate, key = make_certificate(tmp_path, "first")
    rows = f'tls_certificate = "{certificate}"\ntls_key = "{key}"\n'
    tables = '[models.one]\nsource = "fake"\n'
    file.write_text(rows + tables)

    def shown(port: str) -> str:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", int(port))) as raw, context.wrap_socket(raw) as wrapped:
            return ssl.DER_cert_to_PEM_cert(wrapped.getpeercert(True) or b"")

    env = {"WEIGHBRIDGE_STATE_DIR": str(tmp_path), "WEIGHBRIDGE_CONFIG": str(file)}
    with run_gateway(tmp_path, WEIGHBRIDGE_CONFIG=str(file)) as running:
        first = shown(running.port())
        assert first.strip() in certificate.read_text()
        (tmp_path / "new").mkdir()
        new, new_key = make_certificate(tmp_path / "new", "second")
        file.write_text(f'tls_certificate = "{new}"\ntls_key = "{new_key}"\nstate_dir = "/elsewhere"\n' + tables)
        # What is shown still is not what the settings name by now, and is trusted all the same.
        said = run_weigh("up", "--reload", "--json", "--port", running.port(), **env)
        assert said.returncode == 0, said.stderr
        assert set(json.loads(said.stdout)["settings"]) == {"tls_certificate", "tls_key"}
        assert shown(running.port()).strip() in new.read_text()
        new.write_text("broken")
        running.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 60
        while "nothing was reloaded" not in (tmp_path / "stderr.txt").read_text():
            assert time.monotonic() < until
            time.sleep(0.02)
        assert shown(running.port()) != first


def start_at_terminal(tmp_path, *words: str) -> tuple[int, int]:
    """`weigh up` as the leader of a session with a terminal of its own: its process, and the terminal's other side."""
    child, terminal = pty.fork()
    if child == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # also where these tests run under nohup
        os.environ |= {"WEIGHBRIDGE_STATE_DIR": str(tmp_path)}
        os.execv(words[0], words)
    said = b""
    until = time.monotonic() + 60
    while b"OpenAI API" not in said:
        assert time.monotonic() < until, said
        if select.select([terminal], [], [], 1)[0]:
            said += os.read(terminal, 4096)
    return child, terminal


def test_a_terminal_that_hangs_up_ends_a_gateway_in_its_foreground_and_none_that_ignores_it(tmp_path):
    up = (sys.executable, "-m", "weighbridge", "up", "one=fake", "--port", "0")
    child, terminal = start_at_terminal(tmp_path, *up)
    os.kill(child, signal.SIGHUP)
    time.sleep(0.5)
    assert os.waitpid(child, os.WNOHANG) == (0, 0), "a signal at a terminal that is there is no end"
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    child, terminal = start_at_terminal(tmp_path, "/bin/sh", "-c", "trap '' HUP; exec " + " ".join(up))
    os.close(terminal)
    time.sleep(0.7)
    assert os.waitpid(child, os.WNOHANG) == (0, 0)
    os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
