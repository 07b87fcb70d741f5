"""Sequential elimination: fewer questions, and no more false alarms."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.conftest import run_weigh
from weighbridge.errors import BadTask, EvalStopped
from weighbridge.evals import Manner, Target, race, read_task, report
from weighbridge.specialists import bundled


def raced(task, targets, folder):
    return asyncio.run(race(task, targets, folder, Manner(16)))


def test_a_hopeless_model_is_asked_little_and_the_report_says_so(server, task_file, tmp_path):
    good, bad = server(), server(reply="no idea")
    targets = [Target(good.url, "good"), Target(bad.url, "bad")]
    found = raced(read_task(task_file(400)), targets, tmp_path / "logs")
    [only] = report(found.logs, found.paces, raced=found.p_values)

    assert found.beaten["bad"].by == "good"
    assert found.beaten["bad"].samples <= 64
    assert bad.stats()["asked"] <= 64
    assert only.verdict == "good is the best of 2: better than each other one beyond chance"
    assert only.comparisons[0].difference.test == "betting, looked at any time"
    assert only.comparisons[0].corrected_p <= 0.05


def test_equal_models_are_asked_everything_and_not_ranked(server, task_file, tmp_path):
    one = server()
    targets = [Target(one.url, "mock", name="a"), Target(one.url, "mock", name="b")]
    found = raced(read_task(task_file(100)), targets, tmp_path / "logs")
    [only] = report(found.logs, found.paces, raced=found.p_values)

    assert not found.beaten
    assert [result.samples for result in only.results] == [100, 100]
    assert only.verdict.startswith("the data do not rank a, b")


def test_answers_without_a_score_beat_nobody(server, task_file, tmp_path):
    good, silent = server(), server(reply=" ")
    found = raced(read_task(task_file(60)), [Target(good.url, "good"), Target(silent.url, "silent")], tmp_path / "logs")

    assert not found.beaten


def test_samples_in_clusters_do_not_race(server, task_file, tmp_path):
    lines = [{"input": f"What is {at} + 1?", "target": str(at + 1), "cluster": str(at % 2)} for at in range(4)]
    with pytest.raises(BadTask, match="in clusters"):
        raced(read_task(task_file(lines)), [server().target], tmp_path / "logs")


def test_a_race_that_was_stopped_goes_on_with_what_is_known(server, task_file, tmp_path):
    mock, task = server(), read_task(task_file(50))
    targets = [Target(mock.url, "mock", name="a"), Target(mock.url, "mock", name="b")]
    raced(task, targets, tmp_path / "logs")
    asked = mock.stats()["asked"]
    raced(task, targets, tmp_path / "logs")

    assert mock.stats()["asked"] == asked


def test_a_model_that_cannot_be_asked_leaves_and_the_others_go_on(server, task_file, tmp_path):
    """What is wrong with one model's key or name ends the race for it alone; if none is left, that is said."""
    one = server()
    gone = Target(f"{one.url}/nowhere", "gone")
    task = read_task(task_file(40))
    found = raced(task, [gone, Target(one.url, "a"), Target(one.url, "b")], tmp_path / "logs")

    assert "HTTP 404" in found.failed["gone"]
    assert [log.head.model for log in found.logs] == ["a", "b"]
    assert [log.outcomes.n for log in found.logs] == [40, 40]
    with pytest.raises(EvalStopped):
        raced(task, [gone, Target(f"{one.url}/nowhere", "too")], tmp_path / "logs")


def test_all_candidates_are_the_models_here_that_fit_the_smallest_first_and_they_race(tmp_path):
    """Bundled ones and those of the settings; what is no model is told and left out."""
    items = [(a, a + 4) for a in range(20, 60)]
    task = tmp_path / "sums.jsonl"
    task.write_text("".join(json.dumps({"input": f"What is {a} plus 4?", "target": str(b)}) + "\n" for a, b in items))
    config = tmp_path / "settings.toml"
    config.write_text(f'[models.small]\nsource = "{bundled()["arithmetic"]}"\n[models.broken]\nsource = "{task}"\n')
    done = run_weigh(
        "eval", str(task), "--candidates", "all", "--port", "1", "--concurrency", "2", "--json",
        "--config", str(config),
        WEIGHBRIDGE_STATE_DIR=str(tmp_path / "state"), HF_HUB_CACHE=str(tmp_path / "none"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [found] = json.loads(done.stdout)

    assert "left out: broken" in done.stderr
    assert {result["model"] for result in found["results"]} >= {"small", "arithmetic", "extract"}
    assert "extract: beaten by" in done.stderr
    assert next(each for each in found["results"] if each["model"] == "extract")["samples"] < len(items)
    assert "extract" not in found["advice"]["use"]
