"""Several processes answer at one address: what must be one is one, whoever of them has the connection."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator

import httpx2 as httpx
import psutil
import pytest

from tests.conftest import RunningGateway, run_gateway, run_weigh
from weighbridge.gateway import keys

WORKERS = 3
CHAT = "/v1/chat/completions"
HELLO = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}


def settled(running: RunningGateway, seconds: float = 60) -> list[int]:
    """The pids of all processes that answer, the first one's first, once all do."""
    until = time.monotonic() + seconds
    while True:
        said = httpx.get(f"{running.url}/ps", timeout=60).json()
        if said["workers"] and all(each["state"] == "ready" for each in said["workers"]):
            return [said["pid"], *(each["pid"] for each in said["workers"])]
        assert time.monotonic() < until, said
        time.sleep(0.05)


@contextlib.contextmanager
def one_client_each(running: RunningGateway, model: str, count: int = WORKERS, **headers: str) -> Iterator[list]:
    """Clients with a kept connection, each to another process: a process's name is in those that it gives requests."""
    with contextlib.ExitStack() as stack:
        found: dict[str, httpx.Client] = {}
        for _ in range(200):
            client = stack.enter_context(httpx.Client(base_url=running.url, timeout=30, headers=headers))
            answer = client.post(CHAT, json={"model": model, **HELLO})
            assert answer.status_code == 200, answer.text
            found.setdefault(answer.headers["x-request-id"][:24], client)
            if len(found) == count:
                break
        assert len(found) == count, "some process never answered"
        yield [*found.values()]


@contextlib.contextmanager
def serving(state, *models: str, flags: tuple[str, ...] = (), count: int = WORKERS, **environment: str) -> Iterator:
    """A gateway of several processes, all of which answer."""
    with run_gateway(state, *models, flags=("--workers", str(count), *flags), **environment) as running:
        said = httpx.get(f"{running.url}/ps", timeout=60).json()
        # Else clients that keep their connections would all have the first process for good.
        assert [each["state"] for each in said["workers"]] == ["ready"] * (count - 1), (
            "it was called ready without them"
        )
        yield running


def counted(running: RunningGateway, name: str) -> float:
    """The sum of a metric over its labels."""
    lines = httpx.get(f"{running.url}/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((name + "{", name + " ")))


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """Three processes with a fake engine, and its state folder's settings."""
    state = tmp_path_factory.mktemp("three")
    file = state / "w.toml"
    file.write_text('[models.fake]\nsource = "fake:tokens=3"\n')
    with serving(state, WEIGHBRIDGE_CONFIG=str(file)) as running:
        running.state = state
        yield running


def test_every_process_answers_counts_and_records_and_pages_are_the_same_everywhere(three):
    before = counted(three, "weighbridge_requests_total")
    with one_client_each(three, "fake") as clients:
        asked = counted(three, "weighbridge_requests_total") - before
        assert asked >= WORKERS
        for client in clients:
            assert [each["id"] for each in client.get("/v1/models").json()["data"]].count("fake") == 1
            assert client.get("/ps").json()["pid"] == three.process.pid
            assert client.get("/health").json()["status"] == "ok"
            assert client.head("/").headers["content-type"].startswith("text/html")
            assert client.get("/nowhere").json()["error"]["code"] == "unknown_url"
            assert client.post("/v1/feedback", content=b"x" * 2_000_000).status_code == 413
            assert client.post("/v1/feedback", content=iter([b"no ", b"JSON"])).status_code == 400, "in chunks"
            # A page in a browser that points a name of its own here is kept out at every process.
            assert client.get("/ps", headers={"host": "evil.example"}).json()["error"]["code"] == "foreign_caller"
            assert client.post(CHAT, json={**HELLO, "model": "none"}).status_code == 404
        assert counted(three, "weighbridge_tokens_total") > 0
        names = [client.post(CHAT, json={"model": "fake", **HELLO}).headers["x-request-id"] for client in clients]
        for name, client in zip(names, [*clients[1:], clients[0]], strict=True):
            taken = client.post("/v1/feedback", json={"request_id": name, "thumb": "up"})
            assert taken.json().get("model") == "fake", "an answer of one process is judged through another one"
    said = run_weigh("ps", "--port", three.port())
    assert f"{WORKERS} workers" in said.stdout
    chains = [path for path in (three.state / "ledger").iterdir() if path.is_dir()]
    assert len(chains) == WORKERS
    verified = run_weigh("log", "verify", WEIGHBRIDGE_STATE_DIR=str(three.state))
    assert verified.returncode == 0, verified.stderr


def test_the_page_hears_of_requests_to_every_process(three):
    with one_client_each(three, "fake") as clients, httpx.stream("GET", f"{three.url}/admin/events") as events:
        lines = events.iter_lines()
        next(lines)
        names = {client.post(CHAT, json={"model": "fake", **HELLO}).headers["x-request-id"] for client in clients}
        until = time.monotonic() + 60
        for line in lines:
            if line.startswith("data: ") and '"id"' in line:
                names.discard(json.loads(line[6:])["id"])
            if not names:
                break
            assert time.monotonic() < until, names


def test_settings_reach_every_process_before_the_reload_is_answered(three):
    with one_client_each(three, "fake") as clients:
        for round_ in range(3):
            new = f"new{round_}"
            (three.state / "w.toml").write_text(
                'max_body_bytes = 2000\n[models.fake]\nsource = "fake:tokens=3"\n'
                f'[models.{new}]\nsource = "fake:tokens=1"\n'
            )
            done = clients[round_].post("/admin/reload").json()
            assert done["added"] == [new]
            for client in clients:
                assert client.post(CHAT, json={"model": new, **HELLO}).status_code == 200
                assert client.post(CHAT, content=b"x" * 3000).status_code == 413
                gone = client.post(CHAT, json={"model": f"new{round_ - 1}", **HELLO})
                assert gone.status_code == 404, gone.text


def test_a_worker_that_is_killed_loses_its_own_connections_and_is_replaced(three):
    pids = settled(three)
    with one_client_each(three, "fake") as clients:
        os.kill(pids[1], signal.SIGKILL)
        time.sleep(0.1)
        lost = 0
        for client in clients:
            try:
                assert client.post(CHAT, json={"model": "fake", **HELLO}).status_code == 200
            except httpx.HTTPError:
                lost += 1
        assert lost <= 1
        for _ in range(20):  # nobody waits for the new one
            assert httpx.post(f"{three.url}{CHAT}", json={"model": "fake", **HELLO}).status_code == 200
    after = settled(three)
    assert after[0] == pids[0]
    assert after[2] == pids[2]
    assert after[1] != pids[1]
    assert [each["restarts"] for each in httpx.get(f"{three.url}/ps").json()["workers"]] == [1, 0]
    with one_client_each(three, "fake"):
        pass


def test_an_engine_that_is_killed_is_started_once_for_all(three):
    before = three.ps()["fake"]
    with one_client_each(three, "fake") as clients:
        os.kill(before["pid"], signal.SIGKILL)
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as threads:
            answers = [*threads.map(lambda client: client.post(CHAT, json={"model": "fake", **HELLO}), clients)]
        assert [answer.status_code for answer in answers] == [200] * WORKERS
    after = three.ps()["fake"]
    assert after["loads"] == before["loads"] + 1
    assert after["pid"] != before["pid"]


def test_models_that_do_not_fit_together_take_turns_whoever_asks(tmp_path):
    (tmp_path / "w.toml").write_text(
        'memory_budget_bytes = "60MiB"\nturn_seconds = 0.2\n'
        '[models.one]\nsource = "fake:tokens=3,memory_bytes=40MiB"\n'
        '[models.two]\nsource = "fake:tokens=3,memory_bytes=40MiB"\n'
    )
    with serving(tmp_path, count=2, WEIGHBRIDGE_CONFIG=str(tmp_path / "w.toml")) as running:
        with one_client_each(running, "one", 2) as clients:
            most = 0

            def ask(at: int) -> list[int]:
                names = ("one", "two") if at else ("two", "one")
                return [clients[at].post(CHAT, json={"model": name, **HELLO}).status_code for name in names]

            with concurrent.futures.ThreadPoolExecutor(2) as threads:
                asking = [threads.submit(ask, at) for at in range(2)]
                while not all(each.done() for each in asking):
                    said = httpx.get(f"{running.url}/ps").json()
                    most = max(most, sum(each["state"] == "ready" for each in said["models"]))
                    used = said["memory"]["memory"]
                    assert used["used_bytes"] <= used["budget_bytes"]
                assert [each.result() for each in asking] == [[200] * 2] * 2
            assert most == 1
        unloaded = httpx.post(f"{running.url}/admin/models/one/unload", timeout=60)
        assert unloaded.json()["state"] == "stopped"


def test_an_engine_gets_as_many_requests_as_it_takes_from_all_together_and_a_killed_worker_holds_none(tmp_path):
    long = {"messages": [{"role": "user", "content": "hello " * 40}], "max_tokens": 150, "stream": True,
            "ignore_eos": True, "model": "arithmetic"}  # fmt: skip
    with (
        serving(tmp_path, count=2, flags=("--parallel", "2")) as running,
        one_client_each(running, "arithmetic", 2) as clients,
    ):
        pids = settled(running)
        stop = threading.Event()

        def stream(client: httpx.Client) -> None:
            while not stop.is_set():
                with contextlib.suppress(httpx.HTTPError), client.stream("POST", CHAT, json=long) as answer:
                    for _ in answer.iter_bytes():
                        if stop.is_set():
                            return

        threads = [threading.Thread(target=stream, args=(client,)) for client in clients for _ in range(2)]
        for thread in threads:
            thread.start()
        most = waited = 0
        until = time.monotonic() + 60
        while time.monotonic() < until and not (most == 2 and waited >= 2):
            found = running.ps()["arithmetic"]
            most, waited = max(most, found["requests_in_flight"]), max(waited, found["requests_waiting"])
            assert found["requests_in_flight"] <= 2
            assert (found["engine_requests_processing"] or 0) <= 2
        assert (most, waited >= 2) == (2, True)
        for pid in pids[1:]:
            os.kill(pid, signal.SIGKILL)
        stop.set()
        for thread in threads:
            thread.join(60)
        answer = httpx.post(f"{running.url}{CHAT}", json={"model": "arithmetic", **HELLO}, timeout=60)
        assert answer.status_code == 200
        running.wait_for("arithmetic", lambda model: model["requests_in_flight"] == 0)
        settled(running)


def test_what_a_key_may_ask_for_holds_over_all_processes(tmp_path):
    few, slow = (keys.create(tmp_path / "keys.json", name, **limits)[1]
                 for name, limits in (("few", {"requests_per_minute": 7}), ("slow", {"concurrency": 2})))  # fmt: skip
    operator = "the operator's own"
    with run_gateway(
        tmp_path, "fake:tokens=20,tokens_per_second=20", flags=("--workers", "3"), WEIGHBRIDGE_API_KEY=operator
    ) as running:
        boss = {"authorization": f"Bearer {operator}"}
        until = time.monotonic() + 60
        while any(each["state"] != "ready" for each in httpx.get(f"{running.url}/ps", headers=boss).json()["workers"]):
            assert time.monotonic() < until
            time.sleep(0.05)
        brief = {"model": "fake", "messages": HELLO["messages"], "max_tokens": 1}
        with one_client_each(running, "fake", **boss) as clients:
            limited = {"authorization": f"Bearer {few}"}
            answers = [clients[at % 3].post(CHAT, json=brief, headers=limited) for at in range(12)]
            assert [answer.status_code for answer in answers].count(200) == 7
            refused = answers[-1]
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
            assert refused.headers["x-ratelimit-remaining-requests"] == "0"
            assert int(refused.headers["retry-after"]) > 0
            assert answers[0].headers["x-ratelimit-limit-requests"] == "7"

            at_once = {"authorization": f"Bearer {slow}"}
            long = {"model": "fake", "messages": HELLO["messages"], "stream": True}
            with contextlib.ExitStack() as stack:
                for client in clients[:2]:
                    opened = stack.enter_context(client.stream("POST", CHAT, json=long, headers=at_once))
                    assert opened.status_code == 200
                assert clients[2].post(CHAT, json=brief, headers=at_once).status_code == 429
            # They have left, and what was set aside for them is back.
            until = time.monotonic() + 60
            while clients[2].post(CHAT, json=brief, headers=at_once).status_code == 429:
                assert time.monotonic() < until
                time.sleep(0.05)
    listed = json.loads(run_weigh("key", "list", "--json", WEIGHBRIDGE_STATE_DIR=str(tmp_path)).stdout)
    assert all(each["last_used"] for each in listed["keys"]), listed


def test_a_drain_lets_every_process_end_its_answers_and_leaves_none(tmp_path):
    words: list[int] = []
    with serving(tmp_path, "fake:tokens=30,tokens_per_second=30") as running:
        pids = settled(running)
        with one_client_each(running, "fake") as clients:
            begun = threading.Barrier(WORKERS + 1)

            def stream(client: httpx.Client) -> None:
                body = {"model": "fake", "messages": HELLO["messages"], "stream": True}
                with client.stream("POST", CHAT, json=body) as answer:
                    begun.wait(60)
                    text = "".join(answer.iter_text())
                words.append(text.count("data: {") if text.rstrip().endswith("data: [DONE]") else -1)

            threads = [threading.Thread(target=stream, args=(client,)) for client in clients]
            for thread in threads:
                thread.start()
            begun.wait(60)
            # As a service's manager does with all processes of a service.
            os.kill(pids[1], signal.SIGTERM)
            assert run_weigh("stop", "--port", running.port()).returncode == 0
            for thread in threads:
                thread.join(60)
        running.process.wait(60)
        assert len(words) == WORKERS
        assert all(count >= 30 for count in words), words
        assert not any(psutil.pid_exists(pid) for pid in pids)


def test_workers_share_a_unix_socket_and_end_with_the_first_process(tmp_path):
    path = tmp_path / "gateway.sock"
    process_names = set()
    with run_gateway(tmp_path, "fake:tokens=3", flags=("--workers", "2", "--host", f"unix:{path}")) as running:

        def client() -> httpx.Client:
            return httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://localhost", timeout=60)

        until = time.monotonic() + 60
        while len(process_names) < 2:
            with client() as one, client() as other:
                for each in (one, other):
                    answer = each.post(CHAT, json={"model": "fake", **HELLO})
                    process_names.add(answer.headers["x-request-id"][:24])
            assert time.monotonic() < until, "the second process never answered"
        with client() as one:
            pids = [each["pid"] for each in one.get("/ps").json()["workers"]]
        running.process.kill()
        running.process.wait()
        _, alive = psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=30)
        assert not alive, "a worker outlived the engines"


def test_another_gateway_of_several_processes_does_not_get_a_share_of_an_address_that_is_taken(three, tmp_path):
    second = run_weigh("up", "fake", "--workers", "2", "--port", three.port(), WEIGHBRIDGE_STATE_DIR=str(tmp_path))
    assert second.returncode == 1
    assert "cannot listen" in second.stderr
