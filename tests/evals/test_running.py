"""Runs against real servers: faults, retries, kills, and what the log then says."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
import time

import pytest

from tests.evals.conftest import is_right, sums
from weighbridge.errors import BadTask, EvalStopped
from weighbridge.evals import Generation, Manner, State, Target, read_log, read_task, report, run
from weighbridge.evals.asking import Patience, retry_after
from weighbridge.evals.knee import Knee

QUICK = Patience(attempts=3, first_wait_seconds=0.01)


def ran(task, target, folder, **manner):
    return asyncio.run(run(task, target, folder, Manner(**({"patience": QUICK} | manner))))


def test_a_server_that_speaks_something_else_is_left_after_two_samples(server, task_file, tmp_path):
    mock = server(flaky=1000, status=200)

    with pytest.raises(EvalStopped, match=r"first 2 samples all failed: .* no chat completion: .*try later"):
        ran(read_task(task_file(50)), mock.target, tmp_path / "logs")
    assert mock.stats()["asked"] == 2 * QUICK.attempts


def test_every_sample_is_asked_and_scored_once(server, task_file, tmp_path):
    mock = server()
    found = ran(read_task(task_file(120)), mock.target, tmp_path / "logs")
    [only] = report([found.log])
    right = sum(is_right(a, b) for a, b in sums(120))

    assert only.results[0].estimate.value == pytest.approx(right / 120)
    assert only.results[0].counts["scored"] == 120
    assert mock.stats()["asked"] == len(set(sums(120)))
    assert found.log.outcomes.completion_tokens == 8 * 120
    again = ran(read_task(task_file(120)), mock.target, tmp_path / "logs")
    assert again.pace.answered == 0
    assert mock.stats()["asked"] == len(set(sums(120)))


@pytest.mark.parametrize(
    ("fault", "state"),
    [("err", "error"), ("null", "truncated"), ("refuse", "refused"), ("empty", "empty"), ("html", "error")],
)
def test_answers_that_are_none_are_counted_apart_and_bound_the_score(server, task_file, tmp_path, fault, state):
    mock = server(fault=fault)
    found = ran(read_task(task_file(200)), mock.target, tmp_path / "logs", concurrency=32)
    [result] = report([found.log])[0].results
    faulty = sum((a + b) % 33 == 0 for a, b in sums(200))
    right = sum(is_right(a, b) for a, b in sums(200) if (a + b) % 33)

    assert faulty > 2
    assert result.counts[state] == faulty == result.unscored
    assert result.estimate.n == 200 - faulty
    assert result.estimate.value == pytest.approx(right / (200 - faulty))
    assert (result.bounds.low, result.bounds.high) == pytest.approx((right / 200, (right + faulty) / 200))


def test_errors_are_asked_again_by_the_next_run_and_answers_are_not(server, task_file, tmp_path):
    path = task_file(60)
    broken, folder = server(fault="err"), tmp_path / "logs"
    ran(read_task(path), Target(broken.url, "mock", origin="same"), folder)
    healthy = server()
    second = ran(read_task(path), Target(healthy.url, "mock", origin="same"), folder)

    assert 0 < second.pace.answered == sum((a + b) % 33 == 0 for a, b in sums(60))
    assert second.log.outcomes.count(State.ERROR) == 0
    assert second.log.outcomes.count(State.SCORED) == 60
    assert len(list(read_log(second.log.path).rows())) == 60


def test_a_busy_server_is_asked_again_when_it_says(server, task_file, tmp_path):
    mock = server(flaky=1, status=429, retry_after=0.05)
    patience = Patience(attempts=3, first_wait_seconds=1000)
    found = ran(read_task(task_file(10)), mock.target, tmp_path / "logs", concurrency=10, patience=patience)

    assert found.log.outcomes.count(State.SCORED) == 10
    assert {row.attempts for row in found.log.rows()} == {2}


def test_a_connection_that_the_server_closed_meanwhile_is_no_failure(server, task_file, tmp_path):
    found = ran(read_task(task_file(20)), server(closes=1).target, tmp_path / "logs", concurrency=4)

    assert {(row.state, row.attempts) for row in found.log.rows()} == {(State.SCORED, 1)}


def test_a_server_that_refuses_all_samples_ends_the_run(server, task_file, tmp_path):
    mock = server(flaky=9, status=400)
    with pytest.raises(EvalStopped, match="samples all failed: HTTP 400: try later"):
        ran(read_task(task_file(200)), mock.target, tmp_path / "logs", concurrency=2)

    assert mock.stats()["asked"] < 50


def test_a_server_behind_tls_is_asked_and_its_certificate_checked(task_file, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("no openssl to make a certificate with")

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        body = json.dumps({"choices": [{"message": {"content": "#### 5"}, "finish_reason": "stop"}]}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + body)
        writer.close()

    async def both():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        listener = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
        url = f"https://localhost:{listener.sockets[0].getsockname()[1]}"
        task = read_task(task_file([{"input": "What is 2 + 3?", "target": "5"}]))
        trusting = await run(task, Target(url, "m", verify_tls=False), tmp_path / "logs", Manner(1, QUICK))
        with pytest.raises(EvalStopped, match="certificate"):
            await run(task, Target(url, "m"), tmp_path / "other", Manner(1, QUICK))
        listener.close()
        return trusting

    assert list(asyncio.run(both()).log.outcomes.scores) == [1.0]


def test_retry_after_is_a_number_or_a_date_and_bounded():
    assert retry_after("7") == 7
    assert retry_after("86400") == 300
    assert retry_after("Fri, 01 Jan 2100 00:00:00 GMT") == 300
    assert retry_after("Fri, 01 Jan 2010 00:00:00 GMT") == 0
    assert retry_after("soon") is None
    assert retry_after("nan") is None


KILLED = """
import asyncio, sys
from pathlib import Path
from weighbridge.evals import Manner, Target, read_task, run
asyncio.run(run(read_task(Path(sys.argv[1])), Target(sys.argv[2], "mock"), Path(sys.argv[3]), Manner(8)))
"""


def test_a_run_that_is_killed_three_times_ends_with_every_sample_answered_once(server, task_file, tmp_path):
    mock, path, logs = server(delay=0.03), task_file(300), tmp_path / "logs"
    for kill in range(3):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(path), mock.url, str(logs)])
        until = time.monotonic() + 60
        while time.monotonic() < until and mock.stats()["asked"] < 70 * (kill + 1):
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    found = ran(read_task(path), mock.target, logs, concurrency=8)
    rows = list(read_log(found.log.path).rows())

    assert found.pace.answered < 120
    assert [row.at for row in sorted(rows, key=lambda row: row.at)] == list(range(300))
    assert {row.state for row in rows} == {State.SCORED}
    assert len(found.log.path.read_text().splitlines()) == 301
    # At most those in flight were asked twice, each time.
    assert len(set(sums(300))) <= mock.stats()["asked"] <= 300 + 3 * 8


def test_half_a_line_at_the_end_of_a_log_is_taken_away(server, task_file, tmp_path):
    mock, path = server(), task_file(20)
    log = ran(read_task(path), mock.target, tmp_path / "logs").log.path
    whole = log.read_bytes()
    log.write_bytes(whole[:-25])
    found = ran(read_task(path), mock.target, tmp_path / "logs")

    assert found.pace.answered == 1
    assert len(log.read_bytes().splitlines()) == 21
    assert found.log.outcomes.count(State.SCORED) == 20


def test_other_settings_are_another_log(server, task_file, tmp_path):
    import dataclasses

    mock, task = server(), read_task(task_file(5))
    first = ran(task, mock.target, tmp_path / "logs")
    hotter = dataclasses.replace(task, generation=Generation(temperature=1.0))
    second = ran(hotter, mock.target, tmp_path / "logs")

    assert first.log.path != second.log.path
    assert second.pace.answered == 5


def test_a_server_that_is_gone_stops_the_run_and_keeps_what_came(server, task_file, tmp_path):
    mock, path = server(delay=0.01), task_file(400)

    async def evaluated():
        def kill(progress):
            if progress.done == 50:
                mock.process.kill()

        return await run(read_task(path), mock.target, tmp_path / "logs", Manner(4, QUICK), kill)

    with pytest.raises(EvalStopped) as caught:
        asyncio.run(evaluated())
    assert "goes on from there" in caught.value.hint
    [log] = (tmp_path / "logs").iterdir()
    assert read_log(log).outcomes.count(State.SCORED) >= 50


@pytest.mark.parametrize(("url", "words"), [("/wrong", "HTTP 404"), ("", "nothing answers")])
def test_what_every_request_would_meet_ends_the_run_at_once(server, task_file, tmp_path, url, words):
    mock = server()
    if not url:
        mock.process.kill()
        mock.process.wait()
    with pytest.raises(EvalStopped, match=words):
        ran(read_task(task_file(50)), Target(mock.url + url, "mock"), tmp_path / "logs")


def test_two_runs_do_not_write_one_log(server, task_file, tmp_path):
    mock, path = server(delay=0.2), task_file(10)

    async def both():
        task = read_task(path)
        first = asyncio.create_task(run(task, mock.target, tmp_path / "logs", Manner(1)))
        while not mock.stats()["asked"]:
            await asyncio.sleep(0.02)
        with pytest.raises(BadTask, match="another run"):
            await run(task, mock.target, tmp_path / "logs", Manner(1))
        first.cancel()

    asyncio.run(both())


def test_streaming_tells_when_the_first_word_came(server, task_file, tmp_path):
    mock = server()
    found = ran(read_task(task_file(20)), mock.target, tmp_path / "logs", stream=True, concurrency=2)
    row = next(found.log.rows())

    assert found.log.outcomes.count(State.SCORED) == 20
    assert 0 < row.first_token_seconds < row.seconds
    assert row.completion_tokens == 8
    assert row.answer.endswith(str(row.taken))


def test_the_knee_of_a_server_is_found(server, task_file, tmp_path):
    mock = server(parallel=8, delay=0.02)
    found = ran(read_task(task_file(600)), mock.target, tmp_path / "logs")
    levels = {level.concurrency: level.per_second for level in found.pace.levels}

    # Twice too many where the machine was busy when 16 were tried.
    assert 4 <= found.pace.concurrency <= 32
    assert found.pace.at_one.per_second < 50
    assert max(levels.values()) > 3 * levels[1]


def finish(knee, per_second_of, count):
    """Answers at the pace that a server has with so many requests at once."""
    now = 0.0
    for _ in range(count):
        now += 1 / per_second_of(knee.concurrency)
        knee.finished(now, knee.concurrency / per_second_of(knee.concurrency), 10)


def test_the_knee_goes_up_while_it_brings_a_tenth_more_and_back_when_the_server_is_busy():
    knee = Knee()
    finish(knee, lambda concurrency: 50.0 * min(concurrency, 16), 3000)
    assert knee.concurrency == 16
    assert [level.concurrency for level in knee.levels] == [1, 2, 4, 8, 16, 32]
    knee.busy()
    for _ in range(15):
        knee.busy()
    assert knee.concurrency == 8
    fixed = Knee(5)
    fixed.busy()
    assert fixed.concurrency == 5


def test_the_log_says_what_was_asked_said_and_taken(server, task_file, tmp_path):
    mock = server()
    path = task_file([{"id": "s1", "input": "What is 2 + 3?", "target": "5", "cluster": "small", "note": "x"}])
    log = ran(read_task(path), mock.target, tmp_path / "logs").log.path
    head, row = map(json.loads, log.read_text().splitlines())

    assert (head["kind"], head["task"], head["model"], head["scorer"]) == (
        "weighbridge eval log", "sums", "mock", "numeric",
    )  # fmt: skip
    assert (row["id"], row["input"], row["target"], row["cluster"]) == ("s1", "What is 2 + 3?", "5", "small")
    assert (row["answer"], row["taken"], row["score"]) == ("I carry where needed.\n#### 5", "5", 1.0)


def test_a_strangers_file_is_no_log(tmp_path):
    for text, words in (("", "is empty"), ("{}\n", "no log of this version"), ("x\n", "line 1")):
        path = tmp_path / "log.jsonl"
        path.write_text(text)
        with pytest.raises(BadTask, match=words):
            read_log(path)


def test_tools_go_with_the_request_and_their_calls_are_scored(server, task_file, tmp_path):
    tools = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
    lines = [
        {"input": "add", "tools": tools, "target": {"name": "add", "arguments": {"a": 1, "b": 2}}},
        {"input": "add", "tools": tools, "target": {"name": "add", "arguments": {"a": 1, "b": 3}}},
    ]
    import dataclasses

    task = dataclasses.replace(read_task(task_file(lines)), scorer="tool_call")
    rows = list(ran(task, server().target, tmp_path / "logs").log.rows())

    assert [row.score for row in sorted(rows, key=lambda row: row.at)] == [1.0, 0.0]


def test_choices_by_likelihood_take_the_likeliest_letter(server, task_file, tmp_path):
    import dataclasses

    lines = [{"input": "which?", "choices": ["x", "y"], "target": target} for target in ("B", "A")]
    task = dataclasses.replace(read_task(task_file(lines)), scorer="choice_logprob")
    rows = sorted(ran(task, server().target, tmp_path / "logs").log.rows(), key=lambda row: row.at)

    assert [(row.score, row.taken) for row in rows] == [(1.0, "B"), (0.0, "B")]


def test_answers_that_mean_much_the_same_are_similar(server, task_file, tmp_path):
    import dataclasses

    mock = server(reply="the quick brown fox")
    lines = [{"input": str(at), "target": target} for at, target in enumerate(("fox, brown & quick: the", "zzz"))]
    options = {"url": mock.url, "model": "mock"}
    task = dataclasses.replace(read_task(task_file(lines)), scorer="similar", scorer_options=options)
    rows = sorted(ran(task, mock.target, tmp_path / "logs").log.rows(), key=lambda row: row.at)
    strict = dataclasses.replace(task, scorer_options={**options, "threshold": 0.9})
    judged = ran(strict, mock.target, tmp_path / "logs").log.outcomes.scores

    assert [row.score for row in rows] == pytest.approx([1.0, 0.0])
    assert sorted(judged) == [0.0, 1.0]


def test_a_judge_is_asked_in_both_orders(server, task_file, tmp_path):
    import dataclasses

    mock = server(reply="a long answer")
    lines = [
        {"input": "q1", "target": "short"},
        {"input": "q2", "target": "a far longer reference than that"},
        {"input": "q3 always first", "target": "short"},
    ]
    options = {"url": mock.url, "model": "mock"}
    task = dataclasses.replace(read_task(task_file(lines)), scorer="judge", scorer_options=options)
    rows = sorted(ran(task, mock.target, tmp_path / "logs").log.rows(), key=lambda row: row.at)

    assert [(row.score, row.taken) for row in rows] == [(1.0, "AB"), (0.0, "BA"), (0.5, "AA")]
    assert rows[2].explanation == "the orders disagree"
    [log] = (tmp_path / "logs").iterdir()
    assert report([read_log(log)])[0].results[0].agreement == pytest.approx(2 / 3)
