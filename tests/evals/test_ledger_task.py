"""`weigh eval init --ledger`: a task of what a gateway was asked."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import run_gateway, run_weigh
from weighbridge.evals import read_task


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A state folder in which a gateway was asked: twice the same, once streamed, once with a picture."""
    state = tmp_path_factory.mktemp("asked")
    picture = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]
    with run_gateway(state, "fake", WEIGHBRIDGE_LEDGER_TEXT="true") as gateway:
        client = gateway.client()
        for content in ("What is 1 + 1?", "Grüß Gott", "What is 1 + 1?", picture):
            for stream in (False, True) if content == "Grüß Gott" else (False,):
                messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": content}]
                answer = client.chat.completions.create(model="fake", messages=messages, stream=stream)
                if stream:
                    list(answer)
        assert gateway.stop() == 0
    return state


def init(state, folder, *words, said=""):
    return subprocess.run(
        [sys.executable, "-m", "weighbridge", "eval", "init", "--ledger", str(state / "ledger"), *words],
        cwd=folder, input=said, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_answers_are_taken_replaced_or_left_out_as_the_user_says(asked, tmp_path):
    done = init(asked, tmp_path, "--out", "mine.toml", "--scorer", "exact", said="Servus\n-\n")
    assert done.returncode == 0, done.stderr
    [sample] = list(read_task(tmp_path / "mine.toml").dataset)

    assert sample.input == ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Grüß Gott"})
    assert sample.target == "Servus"
    assert "1 of 2, answered by fake: Grüß Gott" in done.stderr
    assert "2 of 2, answered by fake: What is 1 + 1?" in done.stderr
    assert (tmp_path / "mine.jsonl").stat().st_mode & 0o777 == 0o600


def test_all_answers_may_be_kept_and_the_newest_come_last(asked, tmp_path):
    done = init(asked, tmp_path, "--keep-answers", "--limit", "1", "--scorer", "exact", "--json")
    assert done.returncode == 0, done.stderr
    [line] = [json.loads(line) for line in (tmp_path / "task.jsonl").read_text().splitlines()]

    assert json.loads(done.stdout)["samples"] == 1
    assert line["messages"][-1]["content"] == "What is 1 + 1?"
    assert line["answered_by"] == "fake"
    assert line["target"]
    again = init(asked, tmp_path, "--keep-answers")
    assert again.returncode == 1
    assert "is there already" in again.stderr


def test_a_ledger_without_texts_says_how_to_have_them(tmp_path):
    done = run_weigh("eval", "init", "--ledger", WEIGHBRIDGE_STATE_DIR=str(tmp_path))

    assert done.returncode == 1
    assert "ledger_text = true" in done.stderr
