"""`weigh eval` as the user runs it, with the bundled specialists."""

from __future__ import annotations

import csv
import json
import os
import re
import resource
import subprocess
import sys

import pytest

from tests.conftest import run_weigh
from weighbridge.training import lanes

COUNT = 40


@pytest.fixture(scope="module")
def lane_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lanes")
    for lane in lanes.names():
        items = lanes.held_out_items(lane, COUNT)
        text = "".join(json.dumps({"input": item.prompt, "target": item.answer}) + "\n" for item in items)
        (folder / f"{lane}.jsonl").write_text(text)
    return folder


def weigh(*words, state, **environment):
    return run_weigh("eval", *map(str, words), WEIGHBRIDGE_STATE_DIR=str(state), **environment)


def test_the_report_tells_which_specialist_to_use_for_which_lane(bundled_gateway, lane_files, tmp_path):
    files = [lane_files / f"{lane}.jsonl" for lane in lanes.names()]
    page, table, outcomes = tmp_path / "report.html", tmp_path / "table.csv", tmp_path / "outcomes.jsonl"
    words = (*files, "--scorer", "exact", "--port", bundled_gateway.port(), "--concurrency", 4)
    more = ("--html", page, "--table", table, "--outcomes", outcomes)
    done = weigh(*words, "--json", *more, state=tmp_path / "state")
    assert done.returncode == 0, done.stderr
    reports = json.loads(done.stdout)

    for lane, found in zip(lanes.names(), reports, strict=True):
        assert found["task"] == lane
        assert found["verdict"] == f"{lane} is the best of 2: better than each other one beyond chance"
        first, second = found["results"]
        assert (first["model"], first["estimate"]["n"]) == (lane, COUNT)
        assert first["estimate"]["value"] >= 0.9 > 0.1 >= second["estimate"]["value"]
        assert first["estimate"]["interval"]["low"] > second["estimate"]["interval"]["high"]
        assert found["comparisons"][0]["corrected_p"] < 1e-6
        assert first["cost"]["completion_tokens"] > 0
        assert first["cost"]["memory_bytes"] > 1 << 20
    text = page.read_text()
    assert text.count("<svg") >= 2
    assert not re.search(r'(src|href)="|@import|url\(', text)
    rows = list(csv.DictReader(table.open()))
    assert {(row["model"], row["task"], row["n"]) for row in rows} == {
        (model, task, str(COUNT)) for model in lanes.names() for task in lanes.names()
    }
    lines = [json.loads(line) for line in outcomes.read_text().splitlines()]
    assert len(lines) == 4 * COUNT
    assert {"model", "prompt", "score", "task"} <= set(lines[0])

    shown = weigh(*words, state=tmp_path / "state")
    assert shown.stderr.count(" 0 asked") == 4
    assert re.search(rf"arithmetic +[01]\.\d{{3}}  \[0\.[89]\d\d, [01]\.\d{{3}}\] +{COUNT} +1 ", shown.stdout)
    logs = sorted((tmp_path / "state" / "evals").glob("arithmetic--*.jsonl"))
    again = weigh("report", *logs, state=tmp_path / "state")
    assert "arithmetic is the best of 2" in again.stdout


def test_without_a_gateway_one_is_started_and_the_next_run_goes_on(lane_files, tmp_path):
    words = (lane_files / "arithmetic.jsonl", "--model", "arithmetic", "--port", 1, "--concurrency", 2, "--json")
    short = weigh(*words, "--limit", 10, state=tmp_path)
    assert short.returncode == 0, short.stderr
    assert json.loads(short.stdout)[0]["results"][0]["samples"] == 10
    whole = weigh(*words, state=tmp_path)

    assert f"arithmetic: {COUNT - 10} asked" in whole.stderr
    assert json.loads(whole.stdout)[0]["verdict"] == "one model alone: nothing to compare it with"


def test_a_server_elsewhere_is_asked_by_its_url(server, task_file, tmp_path):
    mock = server(fault="null")
    done = weigh(task_file(100), "--url", mock.url + "/v1", "--concurrency", 8, state=tmp_path)

    assert done.returncode == 0, done.stderr
    assert re.search(r"mock: \d+ unscored \(\d+ truncated\); over all 100: \[0\.\d+, 0\.\d+\]", done.stdout)


def test_two_servers_with_one_model_name_are_told_apart(server, task_file, tmp_path):
    first, second = server(), server(reply="#### 1")
    done = weigh(
        task_file(60), "--url", first.url, "--url", f"{second.url}#mock", "--concurrency", 8, "--json", state=tmp_path
    )
    [found] = json.loads(done.stdout)

    assert found["verdict"].startswith(f"mock at {first.url} is the best of 2")
    assert found["chance_gain"] > 0


def test_init_makes_a_task_of_a_csv_with_other_names(server, tmp_path):
    data = tmp_path / "quiz.csv"
    data.write_text("Frage,Antwort,Thema\nWhat is 1 + 2?,3,klein\nWhat is 400 + 2?,402,gross\n")
    task = tmp_path / "quiz.toml"
    made = weigh("init", data, "--input", "Frage", "--target", "Antwort", "--cluster", "Thema", state=tmp_path)
    assert made.returncode == 0, made.stderr
    assert "What is 1 + 2?" in made.stdout
    assert "2 samples, scorer numeric" in made.stderr
    done = weigh(task, "--url", server().url, "--json", state=tmp_path)

    [found] = json.loads(done.stdout)
    assert found["results"][0]["estimate"]["n"] == 2
    assert {(row["cluster"], row["n"]) for row in found["by_cluster"]} == {("klein", 1), ("gross", 1)}
    assert "is there already" in weigh("init", data, "--input", "Frage", state=tmp_path).stderr


def test_init_takes_questions_that_are_typed(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "weighbridge", "eval", "init", "--out", str(tmp_path / "mine.toml")],
        input="What is 2 + 2?\n4\nCapital of France?\nParis\n\n",
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "mine.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nowhere.jsonl",), "there is no such file"),
        (("report",), "names no results"),
        (("TASK", "--scorer", "exakt", "--url", "http://127.0.0.1:1#m"), "no scorer is named 'exakt'"),
        (("TASK", "--option", "x", "--url", "http://127.0.0.1:1#m"), "has no value"),
        (("TASK", "--url", "http://127.0.0.1:1#m"), "nothing answers"),
        (("TASK", "--url", "ftp://x#m"), "is no address of a server"),
        (
            ("TASK", "--concurrency", "0", "--url", "http://127.0.0.1:1#m"),
            "--concurrency: 0 is not between 1 and 4,096",
        ),
    ],
)
def test_what_cannot_be_done_is_said_with_a_way_out(task_file, tmp_path, words, says):
    given = [str(task_file(3)) if word == "TASK" else word for word in words]
    done = weigh(*given, state=tmp_path)

    assert done.returncode == 1, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_starting_up_loads_no_server_engine_or_template_language(server, task_file, tmp_path):
    code = (
        "import sys; from weighbridge.cli.main import main; "
        f"main(['eval', {str(task_file(3))!r}, '--url', {server().url!r}, '--logs', {str(tmp_path / 'logs')!r}]); "
        "print(sorted({'numpy', 'aiohttp', 'jinja2', 'yaml', 'jsonschema', 'xllamacpp', 'starlette', 'uvicorn'} "
        "& set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--html", "nowhere/report.html"), "there is no folder nowhere"),
        (("--table", "."), "is a folder"),
        (("--limit", "0"), "0 is not between 1 and"),
        (("--option", "tol=1"), "it has: tolerance, relative_tolerance"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_asked(server, task_file, tmp_path, flags, said):
    mock = server()
    done = weigh(task_file(5), "--url", mock.url, *flags, state=tmp_path)

    assert done.returncode == 1
    assert said in done.stderr
    assert mock.stats()["asked"] == 0


@pytest.mark.parametrize("sign", [";", "\t"])
def test_a_table_of_a_spreadsheet_is_read_whatever_parts_its_cells(server, tmp_path, sign):
    data = tmp_path / "quiz.csv"
    data.write_text(f'\ufeff"input, as asked"{sign}target\n"What is 1 + 2?"{sign}3\n', encoding="utf-8")
    made = weigh("init", data, "--input", "input, as asked", "--out", tmp_path / "😀.toml", state=tmp_path)
    done = weigh(tmp_path / "😀.toml", "--url", server().url, "--json", state=tmp_path)

    assert made.returncode == done.returncode == 0, made.stderr + done.stderr
    assert json.loads(done.stdout)[0]["results"][0]["estimate"]["n"] == 1


def test_a_disk_that_fills_up_ends_a_run_that_goes_on_later(server, task_file, tmp_path):
    words = ("eval", str(task_file(200)), "--url", server().url, "--logs", str(tmp_path / "logs"), "--concurrency", "4")
    state = {**os.environ, "WEIGHBRIDGE_STATE_DIR": str(tmp_path)}

    def small_files() -> None:
        # Python leaves SIGXFSZ ignored, so that a write past the limit fails as one on a full disk does.
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    full = subprocess.run(
        [sys.executable, "-m", "weighbridge", *words], capture_output=True, text=True, timeout=60, env=state,
        preexec_fn=small_files, check=False,
    )  # fmt: skip
    done = weigh(*words[1:], "--json", state=tmp_path)

    assert full.returncode == 1
    assert "goes on from there" in full.stderr
    assert "Traceback" not in full.stderr
    assert json.loads(done.stdout)[0]["results"][0]["estimate"]["n"] == 200
    asked = int(re.search(r"mock: (\d+) asked", done.stderr)[1])
    assert 0 < asked < 200
