"""`weigh route`: explains, learns, measures."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time

import numpy as np
import pytest

from weighbridge.cli.learning import is_new
from weighbridge.cli.main import main
from weighbridge.gateway import PREDICTOR
from weighbridge.routing import keep_thumb
from weighbridge.routing.thumbs import Thumb
from weighbridge.routing.version import version_of

from .test_predictor import SKILL, prompts


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    rng = random.Random(4)
    path = tmp_path_factory.mktemp("outcomes") / "outcomes.jsonl"
    rows = [
        {
            "model": model,
            "prompt": prompt,
            "score": float(rng.random() < SKILL[model][task]),
            "task": task,
            "cost": cost,
        }
        for task in ("sums", "stories")
        for prompt in prompts(task, 60, 4)
        for model, cost in (("counter", 1.0), ("writer", 2.0))
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_it_learns_and_then_explains_by_what_it_learnt(data, tmp_path, capsys):
    kept = tmp_path / "router.npz"

    assert main(["route", "learn", str(data), "--predictor", str(kept)]) == 0
    assert "learnt from 114 prompts" in capsys.readouterr().err  # some are drawn twice
    assert main(["route", "Add 31 to 42.", "--policy", "auto:best", "--predictor", str(kept), "--json"]) == 0
    chosen = json.loads(capsys.readouterr().out)
    assert (chosen["model"], chosen["layer"], chosen["basis"]) == ("counter", "evidence", "measured")
    assert main(["route", "Write a poem about the fox and the storm.", "--predictor", str(kept)]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("writer: auto: expected quality ")
    assert "decided in" in shown.err


def test_it_measures_beside_simpler_ways(data, capsys):
    assert main(["route", "eval", str(data), "--folds", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["router"]: row for row in found["rows"]}
    quality = {name: row["quality"]["value"] for name, row in rows.items()}

    assert quality["router, told nothing"] > quality["best single model"] + 0.1
    assert quality["oracle"] >= max(quality.values())
    for name, row in rows.items():
        gap = quality["oracle"] - quality[name]
        assert row["oracle_gap"]["value"] == pytest.approx(gap)
        assert row["oracle_gap"]["low"] <= gap <= row["oracle_gap"]["high"]
    if found["pair"]:
        assert rows["oracle"]["apgr"]["value"] > rows["router, told nothing"]["apgr"]["value"]
        assert rows["oracle"]["cpt"]["value"] <= rows["best single model"]["cpt"]["value"]


def test_two_models_of_two_prices_are_a_pair_with_apgr_and_cpt(tmp_path, capsys):
    """The strong one is right where the prompt is a sum; the lookup, which is told the task, finds them all."""
    kept = tmp_path / "outcomes.jsonl"
    kept.write_text(
        "\n".join(
            json.dumps({"model": model, "prompt": prompt, "task": task, "cost": cost, "score": score})
            for task in ("sums", "stories")
            for prompt in dict.fromkeys(prompts(task, 40, 2))
            for model, cost, score in (("weak", 1, 0.5), ("strong", 5, 1.0 if task == "sums" else 0.5))
        )
    )
    assert main(["route", "eval", str(kept), "--folds", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["router"]: row for row in found["rows"]}
    share = sum(task == "sums" for task in ("sums", "stories")) / 2

    assert found["pair"] == ["weak", "strong"]
    # All of the gap lies in about half of the prompts: recovered evenly over these, and kept over the others.
    assert rows["lookup by task, told the task"]["apgr"]["value"] == pytest.approx(1 - share / 2, abs=0.03)
    assert rows["lookup by task, told the task"]["cpt"]["value"] == pytest.approx(share / 2, abs=0.03)
    assert rows["router, told nothing"]["apgr"]["value"] > 0.7
    assert main(["route", "eval", str(kept), "--folds", "2"]) == 0
    shown = capsys.readouterr().out
    assert "oracle gap" in shown
    assert "…" not in shown  # at the 80 columns of no terminal
    assert "APGR and CPT(50 %): between weak, the weak one, and strong" in shown


def test_without_evidence_the_cards_of_the_bundled_models_decide(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "weighbridge", "route", "What is 37 plus 58?", "--predictor", ""],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "WEIGHBRIDGE_STATE_DIR": str(tmp_path)},
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("arithmetic: auto: in form like ")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["route", "two", "words"], "put the prompt in quotes"),
        (["route", "eval", "nowhere.csv"], "there is no such file"),
        (["route", "hi", "--predictor", "nowhere.npz"], "there is no such file"),
        (["route", "hi", "--policy", "auto:wise"], "is not served here"),
    ],
)
def test_what_cannot_be_done_is_said(words, says, capsys):
    assert main(words) == 1
    assert says in capsys.readouterr().err


@pytest.fixture
def state(tmp_path, monkeypatch):
    """A state folder with an eval's log, and nothing else."""
    monkeypatch.setenv("WEIGHBRIDGE_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("WEIGHBRIDGE_PORT", "1")
    rng = random.Random(8)
    head = {"kind": "weighbridge eval log", "version": 1, "fingerprint": "f", "scorer": "exact", "task": "mine"}
    (tmp_path / "evals").mkdir()
    for model in SKILL:
        rows = [head | {"model": model}]
        for at, (task, prompt) in enumerate((t, p) for t in ("sums", "stories") for p in prompts(t, 14, 4)):
            scored = {"state": "scored", "score": float(rng.random() < SKILL[model][task])}
            rows.append({"at": at, "id": str(at), "cluster": task, "input": prompt, "seconds": 0.5, **scored})
        rows.append({"at": len(rows) - 1, "id": "x", "state": "truncated", "input": "never scored"})
        (tmp_path / "evals" / f"{model}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "evals" / "notes.jsonl").write_text('{"no": "log"}\n')
    return tmp_path


def test_evals_by_task_and_cluster_what_was_added_and_thumbs_are_learnt_together(state, data, capsys):
    assert main(["route", "add", str(data)]) == 0
    keep_thumb(state, Thumb("req_1", "counter", 0.0, better="writer"), "Rhyme on the fox.", 17)
    assert main(["route", "learn", "--json"]) == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out[shown.out.index('{\n  "prompts"') :])

    assert set(found["tasks"]) == {"mine/sums", "mine/stories", "sums", "stories"}
    # Of the evals' 28 prompts a few may be drawn twice; what was added weighs half beside them, a thumb 0.3.
    assert 114 * 0.5 + 20 < found["models"]["counter"] < 114 * 0.5 + 29
    assert found["models"]["counter"] % 0.5 == pytest.approx(0.3)
    assert "passed over" in shown.err
    assert not is_new(state)
    assert (
        main(["route", "Add 31 to 42.", "--policy", "auto:best", "--predictor", str(state / "router.npz"), "--json"])
        == 0
    )
    assert json.loads(capsys.readouterr().out)["model"] == "counter"


def test_what_an_earlier_version_learnt_is_passed_over_and_learnt_anew(state, data, capsys):
    kept = state / PREDICTOR
    assert main(["route", "learn", str(data), "--predictor", str(kept)]) == 0
    os.utime(kept, (time.time() + 60, time.time() + 60))
    assert not is_new(state)
    with np.load(kept) as whole:
        arrays = {name: whole[name] for name in whole.files}
    about = json.loads(arrays.pop("about").tobytes()) | {"version": 2}
    with kept.open("wb") as out:
        np.savez(out, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays)
    os.utime(kept, (time.time() + 60, time.time() + 60))
    capsys.readouterr()

    assert version_of(kept) == 2
    assert is_new(state)
    assert main(["route", "What is 37 plus 58?"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("arithmetic: auto: in form like ")
    assert "is of an earlier version and not used" in shown.err
    assert main(["route", "What is 37 plus 58?", "--predictor", str(kept)]) == 1
    assert "a predictor of version 2, expected 3" in capsys.readouterr().err


def test_without_any_evidence_it_says_so_and_what_would_be_some(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WEIGHBRIDGE_STATE_DIR", str(tmp_path))

    assert main(["route", "learn"]) == 1
    said = capsys.readouterr().err
    assert "there is nothing to learn from" in said
    assert "weigh eval TASK, weigh route add DATA, or POST to /v1/feedback" in said


def test_a_gateway_learns_from_what_is_new_and_explains_what_it_would_decide(state, gateway, capsys, monkeypatch):
    """The child that learns is a process of its own; the gateway reads what it wrote."""
    running = gateway("writer=fake", "counter=fake", "api=fake", WEIGHBRIDGE_STATE_DIR=str(state))
    monkeypatch.setenv("WEIGHBRIDGE_PORT", running.port())
    until = time.monotonic() + 120  # it is nice to those who compute meanwhile
    while True:
        assert main(["route", "Add 31 to 42.", "--json", "--policy", "auto:best"]) == 0
        shown = capsys.readouterr()
        found = json.loads(shown.out)
        if found["layer"] == "evidence":
            break
        assert time.monotonic() < until, found
        time.sleep(0.2)

    assert f"as the gateway at {running.url} would decide now" in shown.err
    assert found["model"] == "counter"
    assert not is_new(state)
    assert main(["route", "Add 31 to 42."]) == 0
    assert "api: the evidence does not know it" in capsys.readouterr().out
