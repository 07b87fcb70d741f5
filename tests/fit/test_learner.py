"""`Learner`: what served answers teach reaches the next plan, whatever the folder and the file are like."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.growth import costs_at_most
from weighbridge import facts
from weighbridge import machine as machines
from weighbridge.figures import Basis
from weighbridge.fit import Learner, Plan, Workload, calibration, make_plan
from weighbridge.fit.learning import FILE, Learned, keep, recall
from weighbridge.fit.synthetic import Shape, write_model
from weighbridge.machine import Machine

CARD = machines.describe("rtx 3090,ram=64GiB@60GB/s,cores=8")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def plan(tmp_path_factory) -> Plan:
    path = write_model(tmp_path_factory.mktemp("models") / "m.gguf", Shape(4, 1024, 2816, 16, 4, type="Q4_K"))
    return make_plan(facts.read(path), CARD, Workload(4096, 2))


def decode_of(plan: Plan, folder: Path, here: Machine = CARD, parallel: int = 1):
    """The middle of the decode speed that a plan made now foretells, at the depth that `serve` has."""
    known, _ = calibration.load(folder, here)
    again = make_plan(plan.facts, here, replace(plan.workload, depth_tokens=600, parallel=parallel), calibration=known)
    assert again.speed
    assert again.speed.decode
    return again.speed.decode


def serve(learner: Learner, plan: Plan, speed: float, times: int, **more) -> None:
    for _ in range(times):
        learner.answered(
            plan, prompt_tokens=100, prompt_seconds=0.5, generated_tokens=1000, decode_seconds=1000 / speed, **more
        )


def test_the_next_plan_knows_how_fast_answers_were(tmp_path, plan):
    before = decode_of(plan, tmp_path)
    true = 0.6 * (before.low * before.high) ** 0.5
    learner = Learner(tmp_path, CARD)
    serve(learner, plan, true, 40)
    learner.close()
    after = decode_of(plan, tmp_path)

    assert after.low < true < after.high
    assert after.high / after.low < 1.6
    assert after.basis is Basis.MEASURED
    assert "learnt from 40 answers of this model" in (after.source or "")


def test_another_model_at_the_same_place_learns_too_and_its_own_answers_count_more(tmp_path, plan):
    other = write_model(tmp_path / "other.gguf", Shape(2, 512, 1024, 8, 2, type="Q8_0"))
    second = make_plan(facts.read(other), CARD, Workload(4096, 2))
    learner = Learner(tmp_path, CARD)
    before = decode_of(second, tmp_path)
    serve(learner, plan, 0.5 * (decode_of(plan, tmp_path).low * decode_of(plan, tmp_path).high) ** 0.5, 20)
    learner.close()
    taught = decode_of(second, tmp_path)
    assert taught.high < before.high

    serve(learner, second, (before.low * before.high) ** 0.5, 5)
    learner.close()
    own = decode_of(second, tmp_path)
    assert "of this model" in (own.source or "")
    assert own.low < (before.low * before.high) ** 0.5 < own.high


def test_prompts_teach_of_prompts_alone_and_cached_ones_nothing(tmp_path, plan):
    learner = Learner(tmp_path, CARD)
    for cached in (0, 3600):
        for _ in range(5):
            learner.answered(plan, prompt_tokens=4000, prompt_seconds=9.0, generated_tokens=0, decode_seconds=0.0,
                             cached_tokens=cached)  # fmt: skip
    learner.close()
    known = recall(tmp_path, calibration.identity(CARD), "")

    assert known
    assert all("prompts" in place for place in known)
    assert {each.count for each in known.values()} == {5}


def test_what_holds_up_a_quick_models_answers_now_and_then_is_not_what_is_learnt(tmp_path, plan):
    usual = decode_of(plan, tmp_path)
    speed = (usual.low * usual.high) ** 0.5
    learner = Learner(tmp_path, CARD)
    for number in range(60):
        held_up = 20.0 if number % 5 == 0 else 1.0
        # Their tokens take 20 ms, and one answer in five twenty times as long.
        tokens = round(0.02 * speed)
        learner.answered(
            plan,
            prompt_tokens=600,
            prompt_seconds=0.5,
            generated_tokens=tokens,
            decode_seconds=held_up * tokens / speed,
        )
    learner.close()
    after = decode_of(plan, tmp_path)

    assert after.low < speed < after.high


def test_answers_served_side_by_side_are_not_held_for_slow_ones(tmp_path, plan):
    """Four at once take longer each than one alone; what they teach is how they differ from four foretold."""
    learner = Learner(tmp_path, CARD)
    four = make_plan(plan.facts, CARD, replace(plan.workload, depth_tokens=600, parallel=4)).speed
    assert four
    assert four.batch_decode
    each = (four.batch_decode.low * four.batch_decode.high) ** 0.5 / 4
    serve(learner, plan, each, 10, parallel=4)
    learner.close()

    for known in recall(tmp_path, calibration.identity(CARD), "").values():
        assert known.ratio == pytest.approx(1, rel=0.02)


def test_it_writes_at_most_every_thirty_seconds(tmp_path, plan):
    clock = Clock()
    learner = Learner(tmp_path, CARD, clock=clock)
    written = []
    for second in range(100):
        clock.now = float(second)
        serve(learner, plan, 50.0, 1)
        written.append((tmp_path / FILE).stat().st_mtime_ns)

    assert len(set(written)) == 4
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_an_answer_costs_little(tmp_path, plan):
    learner = Learner(tmp_path, CARD, clock=lambda: 0.0)
    serve(learner, plan, 50.0, 1)

    costs_at_most(10 * 0.005, lambda: serve(learner, plan, 50.0, 10))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "\x00", "[" * 100_000, '{"format": 1, "machines": 3}', '{"machines": {"here": {"learned": [1]}}}'],
)
def test_a_damaged_file_is_written_anew(tmp_path, plan, text):
    (tmp_path / FILE).write_text(text)
    learner = Learner(tmp_path, CARD)
    serve(learner, plan, 50.0, 3)
    learner.close()

    assert recall(tmp_path, calibration.identity(CARD), "")


def test_a_later_releases_file_is_left_alone(tmp_path, plan):
    text = '{"format": 2, "machines": {}}'
    (tmp_path / FILE).write_text(text)
    learner = Learner(tmp_path, CARD)
    serve(learner, plan, 50.0, 3)
    learner.close()

    assert (tmp_path / FILE).read_text() == text


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path, plan):
    (tmp_path / "file").write_text("")
    learner = Learner(tmp_path / "file" / "below", CARD)
    serve(learner, plan, 50.0, 3)
    learner.close()

    assert (tmp_path / "file").read_text() == ""


@given(
    st.dictionaries(
        st.text(max_size=20),
        st.fixed_dictionaries({
            "ratio": st.floats() | st.text(max_size=3) | st.none(),
            "scatter": st.floats() | st.booleans(),
            "count": st.integers() | st.floats(),
        }),
        max_size=5,
    )
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_whatever_the_file_holds_what_is_recalled_is_sound(tmp_path_factory, learned):
    folder = tmp_path_factory.mktemp("state")
    (folder / FILE).write_text(json.dumps({"format": 1, "machines": {"here": {"against": "", "learned": learned}}}))
    for known in recall(folder, "here", "").values():
        assert 1e-3 < known.ratio < 1e3
        assert known.count > 0
        assert known.spread[0] < 1 < known.spread[1]


def test_what_the_processor_taught_beside_another_calibration_is_left_aside(tmp_path):
    learned = {"processor": Learned(1.5, 0.1, 9), "card": Learned(0.8, 0.1, 9)}
    keep(tmp_path, "here", "one", learned)

    assert recall(tmp_path, "here", "one") == learned
    assert recall(tmp_path, "here", "another") == {"card": learned["card"]}


def test_a_calibration_made_meanwhile_is_not_lost(tmp_path, plan):
    source = random.Random(0)
    learner = Learner(tmp_path, CARD)
    serve(learner, plan, source.uniform(10, 20), 3)
    made = calibration.Calibration(calibration.identity(CARD), "engine", "2026-11-21")
    calibration.save(tmp_path, made)
    serve(learner, plan, source.uniform(10, 20), 3)
    learner.close()
    found, _ = calibration.load(tmp_path, CARD)

    assert found
    assert found.engine == "engine"
    assert found.learned


def test_the_file_stays_small_however_many_models_are_served(tmp_path):
    many = {f"place {number}": Learned(1.0, 0.1, 1) for number in range(5000)}
    keep(tmp_path, "here", "", many)

    assert list(recall(tmp_path, "here", "")) == list(many)[-256:]
    assert (tmp_path / FILE).stat().st_size < 64 << 10


@pytest.mark.parametrize("wrong", [{"prompt_tokens": -1}, {"decode_seconds": float("nan")}, {"decode_seconds": -1.0}])
def test_numbers_that_cannot_be_teach_nothing(tmp_path, plan, wrong):
    learner = Learner(tmp_path, CARD)
    told = {"prompt_tokens": 0, "prompt_seconds": 0.0, "generated_tokens": 100, "decode_seconds": 1.0} | wrong
    learner.answered(plan, **told)
    learner.close()

    assert not (tmp_path / FILE).exists()
