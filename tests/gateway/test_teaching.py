"""What served answers teach: real ones reach `weigh fit`, and nothing that an engine writes is an error."""

from __future__ import annotations

import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import run_gateway, run_weigh
from weighbridge.gateway.teaching import Timing, measured, stated
from weighbridge.specialists import bundled

LLAMA = (
    b'"usage":{"completion_tokens":35,"prompt_tokens":237},"timings":{"cache_n":236,"prompt_n":1,"prompt_ms":30.958,'
    b'"prompt_per_token_ms":30.958,"prompt_per_second":32.3,"predicted_n":35,"predicted_ms":661.064,'
    b'"predicted_per_token_ms":18.9,"predicted_per_second":52.9}}\n\ndata: [DONE]\n\n'
)


@pytest.fixture(scope="module")
def measured_machine(tmp_path_factory):
    """A state folder in which `weigh fit` has kept how fast this machine is: what answers took is held against that."""
    state = tmp_path_factory.mktemp("measured")
    done = run_weigh("fit", str(bundled()["arithmetic"]), "--json", WEIGHBRIDGE_STATE_DIR=str(state))
    assert done.returncode == 0, done.stderr
    assert "learnt from" not in done.stdout
    return state


@pytest.mark.parametrize("stream", [False, True])
def test_three_answers_of_a_bundled_model_teach_weigh_fit_how_fast_it_is(tmp_path, measured_machine, stream):
    shutil.copytree(measured_machine, tmp_path, dirs_exist_ok=True)
    with run_gateway(tmp_path, "arithmetic") as running:
        client = running.client()
        for question in "abc":
            answer = client.completions.create(
                model="arithmetic", prompt=question, max_tokens=480, stream=stream, extra_body={"ignore_eos": True}
            )
            if stream:
                assert list(answer)
        assert running.stop() == 0
    learned = json.loads((tmp_path / "learned.json").read_text())
    (entry,) = learned["machines"].values()
    counts = {place: each["count"] for place, each in entry["learned"].items() if "prompts" not in place}
    told = run_weigh("fit", str(bundled()["arithmetic"]), "--json", WEIGHBRIDGE_STATE_DIR=str(tmp_path)).stdout

    assert counts
    assert set(counts.values()) == {3}
    assert "learnt from 3 answers of this model" in told


def test_what_llama_cpp_states_is_read_with_the_cached_tokens_apart():
    assert stated(LLAMA) == Timing(237, 236, 0.030958, 34, 0.661064)


@pytest.mark.parametrize(
    "said",
    [
        b'{"timings":{}}', b'{"timings":{"prompt_n":"x","predicted_n":2,"prompt_ms":1,"predicted_ms":1}}',
        b'{"timings":{"prompt_n":1,"predicted_n":0,"prompt_ms":1,"predicted_ms":1}}',
        b'{"timings":{"prompt_n":1,"predicted_n":5,"prompt_ms":1,"predicted_ms":NaN}}',
        b'{"timings":{"prompt_n":1,"predicted_n":5,"prompt_ms":1,"predicted_ms":-1}}',
        b'{"timings":{"prompt_n":1e999,"predicted_n":5,"prompt_ms":1,"predicted_ms":1}}',
        b'{"timings":{"cache_n":null,"prompt_n":1,"predicted_n":5,"prompt_ms":1,"predicted_ms":1}}', b"",
    ],
)  # fmt: skip
def test_timings_that_cannot_be_are_passed_over(said):
    assert stated(said) is None


TIMINGS = st.text(max_size=100).map(lambda text: b'"timings": {' + text.encode() + b"}")


@given(st.one_of(st.binary(max_size=200), TIMINGS))
def test_no_bytes_make_it_fail(tail):
    assert stated(tail) is None or stated(tail).generated_tokens >= 0


def test_where_no_engine_states_it_the_clock_and_the_usage_say_it():
    usage = {"prompt": 100, "completion": 51}

    assert measured(b'"cached_tokens":40', usage, 0.5, 1.5) == Timing(100, 40, 0.5, 50, 1.0)
    assert measured(b"", usage, 0.5, 1.5) == Timing(100, 100, 0.5, 50, 1.0)
    assert measured(b"", {}, 0.5, 1.5) is None
    assert measured(b"", {"prompt": 100, "completion": 0}, 0.5, 1.5) is None
