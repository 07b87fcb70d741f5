"""`weigh route`: explains, learns, measures."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import pytest

from weighbridge.cli.main import main

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
    quality = {row["router"]: row["quality"]["value"] for row in found["rows"]}

    assert quality["router, told nothing"] > quality["best single model"] + 0.1
    assert quality["oracle"] >= max(quality.values())


def test_without_evidence_the_cards_of_the_bundled_models_decide():
    done = subprocess.run(
        [sys.executable, "-m", "weighbridge", "route", "What is 37 plus 58?", "--predictor", ""],
        capture_output=True,
        text=True,
        check=False,
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
