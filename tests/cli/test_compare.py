"""`weigh compare` as a user runs it: a process of its own, with its page, its JSON, its errors and its ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.compression.variants import remake
from tests.conftest import run_weigh
from weighbridge.specialists import bundled


@pytest.fixture(scope="module")
def four(tmp_path_factory) -> Path:
    return remake(bundled()["arithmetic"], tmp_path_factory.mktemp("quant") / "four.gguf", "Q4_0")


def test_the_page_tells_verdict_figures_noise_and_places(four):
    done = run_weigh("compare", str(four), "arithmetic", "--tokens", "1200")

    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert first.startswith("verdict")
    assert "loss" in first
    names = {line.split("  ")[0] for line in rest}
    assert {"QUANT", "BASE", "divergence", "noise", "same top", "perplexity", "read", "farthest apart:"} <= names
    assert "four.gguf: Q4_0" in done.stdout
    assert " to " in done.stdout.split("divergence")[1].splitlines()[0]
    assert "tools/perplexity/README.md" in done.stdout
    assert "loading four.gguf and arithmetic" in done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_json_holds_the_same(four):
    done = run_weigh("compare", str(four), "arithmetic", "--tokens", "1000", "--context", "256", "--json")
    found = json.loads(done.stdout)

    assert found["positions"] == 999
    assert found["context_tokens"] == 256
    assert 0 < found["kl"]["low"] < found["kl"]["value"] < found["kl"]["high"]
    assert 0 < found["base"]["noise"]["value"] < found["kl"]["value"]
    assert found["agreement"]["low"] < found["agreement"]["value"] < found["agreement"]["high"] < 1
    assert found["quant"]["quantization"] == "Q4_0"
    assert found["verdict"]["thresholds_source"].startswith("llama.cpp")
    assert len(found["worst"]) == 5
    assert found["worst"][0]["kl"] == found["kl_max"]
    assert found["engine_version"].startswith("xllamacpp ")


def test_one_name_and_a_cache_type_tell_what_that_cache_costs(tmp_path):
    text = tmp_path / "own.txt"
    text.write_text("What is 37 plus 58?\nTom has 12 apples and eats 5. How many are left?\n" * 30)
    done = run_weigh("compare", "arithmetic", "--cache-type-k", "q4_0", "--text", str(text), "--json")
    found = json.loads(done.stdout)

    assert found["text"] == str(text)
    assert found["quant"]["file"] == found["base"]["file"]
    assert (found["quant"]["cache_type_k"], found["base"]["cache_type_k"]) == ("q4_0", "f16")
    assert found["kl"]["value"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["arithmetic"], "there is nothing to compare with"),
        (["arithmetic", "extract"], "different vocabularies"),
        (["arithmetic", "--cache-type-v", "q3_0"], "no cache type of values is 'q3_0'"),
        (["arithmetic", "arithmetic", "--tokens", "10"], "--tokens is 10, expected 65 or more"),
        (["arithmetic", "arithmetic", "--text", "/no/such"], "No such file"),
        (["arithmetic", "/no/such.gguf"], "/no/such.gguf"),
    ],
)
def test_what_cannot_be_is_told_in_two_lines(arguments, message):
    done = run_weigh("compare", *arguments)

    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if not line.startswith("loading")]
    assert message in told[0]
    assert len(told) == 2, done.stderr
    assert not done.stdout


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_nothing_is_left_when_it_is_interrupted_or_killed(tmp_path, how, code):
    text = tmp_path / "long.txt"
    text.write_text(Path(__file__).read_text() * 60)
    process = subprocess.Popen(
        [sys.executable, "-m", "weighbridge", "compare", "extract", "extract", "--text", str(text)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=dict(os.environ),
    )  # fmt: skip
    assert process.stderr is not None
    while "to go" not in (line := process.stderr.readline()):
        assert line, "it ended before it said how long it takes"
    children = psutil.Process(process.pid).children()
    assert len(children) == 2
    process.send_signal(how)
    _, rest = process.communicate(timeout=60)

    assert process.returncode == code
    assert not psutil.wait_procs(children, timeout=30)[1]
    if how is signal.SIGINT:
        assert "stopped; nothing is kept" in rest
        assert "Traceback" not in rest
