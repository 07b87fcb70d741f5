"""Sequential elimination: fewer questions, and no more false alarms."""

from __future__ import annotations

import asyncio

import pytest

from weighbridge.errors import BadTask
from weighbridge.evals import Manner, Target, race, read_task, report


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
