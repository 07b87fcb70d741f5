"""Calibration: rates from trials, a file that is kept, and what answers teach."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import run_weigh
from weighbridge import facts
from weighbridge import machine as machines
from weighbridge.fit import calibration
from weighbridge.fit.calibration import Calibration, Measured, Run
from weighbridge.fit.costs import Share
from weighbridge.fit.learning import Learned, Observation, learn
from weighbridge.fit.rates import Rates, TypeRate
from weighbridge.fit.speed import estimate
from weighbridge.fit.synthetic import TYPES, Shape, write_model
from weighbridge.fit.touched import touched
from weighbridge.fit.workload import Workload

RATES = Rates(
    {
        "Q4_K": TypeRate(5e-11, 3e-11, 2.5e-11),
        "Q8_0": TypeRate(4.5e-11, 2e-11, 1.6e-11),
        "Q6_K": TypeRate(4.8e-11, 4.8e-11, 1.8e-11),
        "Q4_0": TypeRate(6.5e-11, 4e-11, 3.5e-11),
        "F16": TypeRate(4e-11, 1.6e-11, 1.5e-11),
    },
    cache=0.0, attention=1.5e-11, attention_many=4e-11, layer=2e-5, vocabulary=3e-9, look=1.8e-8, activation=5e-9,
    row=6e-9, row_many=4e-9, experts=0.8, piece=1.1e-7,
)  # fmt: skip


def calibration_of(rates: Rates = RATES, machine: str = "here") -> Calibration:
    return Calibration(machine, "engine 1", "2026-11-21", (Measured(1, rates, 0.12),), 1e12)


def played(rates: Rates) -> dict[str, list[Run]]:
    """What the trials would take on a machine of those rates, by the model of speed itself."""
    here = replace(machines.detect(), devices=())
    found = {}
    for trial in calibration.trials():
        model = calibration.touched_by(trial.shape)
        runs = []
        for prompt, answer in trial.runs:
            work = Workload(8192, 1, depth_tokens=round(prompt + answer / 2), prompt_tokens=prompt)
            speed = estimate(model, here, workload=work, calibration=calibration_of(rates))
            assert speed.decode
            assert speed.prefill
            middle = (speed.decode.low * speed.decode.high) ** 0.5
            prompts = (speed.prefill.low * speed.prefill.high) ** 0.5
            runs.append(Run(prompt, answer, 1 / middle, 0.01, prompt / prompts))
        found[trial.name] = runs
    return found


def test_rates_are_found_again_from_trials_that_they_explain():
    found, _ = calibration.derive(played(RATES), calibration.trials())
    rates = found.rates

    for name, wanted in RATES.types.items():
        assert rates.types[name].first == pytest.approx(wanted.first, rel=0.1), name
        assert rates.types[name].many == pytest.approx(wanted.many, rel=0.25), name
    assert rates.layer == pytest.approx(RATES.layer, rel=0.5)
    assert rates.piece == pytest.approx(RATES.piece, rel=0.05)
    assert rates.look == pytest.approx(RATES.look, rel=0.2)
    assert found.spread == pytest.approx(0.01)


def test_speeds_of_other_models_follow_from_derived_rates():
    rates = calibration.derive(played(RATES), calibration.trials())[0].rates
    here = replace(machines.detect(), devices=())
    for shape in (Shape(8, 1024, 2816, 16, 4, type="Q4_K"), Shape(24, 2048, 5632, 32, 32, type="Q8_0")):
        model = calibration.touched_by(shape)
        for depth in (64, 1024):
            work = Workload(4096, 1, depth_tokens=depth)
            true = estimate(model, here, workload=work, calibration=calibration_of()).decode
            found = estimate(model, here, workload=work, calibration=calibration_of(rates)).decode
            assert true
            assert found
            assert found.low == pytest.approx(true.low, rel=0.15)


def test_threads_between_those_measured_lie_between():
    twice = replace(calibration_of(), measured=(Measured(1, RATES, 0.1), Measured(4, _half(RATES), 0.1)))
    model = calibration.touched_by(Shape(8, 1024, 2816, 16, 4, type="Q4_K"))
    seconds = [twice.rates_for(model, threads)[0].types["Q4_K"].first for threads in (1, 2, 3, 4, 8)]

    assert seconds == sorted(seconds, reverse=True)
    assert seconds[-1] == seconds[-2] == 2.5e-11


def _half(rates: Rates) -> Rates:
    halves = {name: TypeRate(rate.first / 2, rate.few / 2, rate.many / 2) for name, rate in rates.types.items()}
    return replace(rates, types=halves)


def test_a_type_that_was_not_measured_is_judged_by_its_relatives_and_less_surely():
    model = calibration.touched_by(Shape(8, 1024, 2816, 16, 4, type="IQ3_S"))
    known, sure, _ = calibration_of().rates_for(calibration.touched_by(Shape(8, 1024, 2816, 16, 4, type="Q4_K")), 1)
    rates, spread, _ = calibration_of().rates_for(model, 1)

    assert rates.types["IQ3_S"].first > 2 * known.types["Q4_K"].first
    assert spread[1] > sure[1]


def test_of_two_visits_the_quicker_counts_and_their_difference_is_the_spread():
    quiet, busy = Run(8, 13, 0.010, 0.01, 0.5), Run(8, 13, 0.015, 0.4, 0.4)
    best = quiet.better(busy)

    assert best == busy.better(quiet)
    assert (best.decode_seconds, best.prefill_seconds) == (0.010, 0.4)
    assert best.decode_spread == pytest.approx(0.5)
    assert best.prefill_spread == pytest.approx(0.25)


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_a_range_holds_what_nine_in_ten_unseen_models_came_to_and_repeats_here_if_they_differ_more(threads):
    model = calibration.touched_by(Shape(8, 1024, 2816, 16, 4, type="Q4_K"))
    found = []
    for spread in (0.0, 0.45, 9.0):
        known = replace(calibration_of(), measured=(Measured(threads, RATES, spread, spread),))
        _, *bounds = known.rates_for(model, threads)
        found.append(bounds)
    (decode, prefill), wider, widest = found

    assert decode[0] < 0.8
    assert decode[1] > 1.25
    assert prefill[1] / prefill[0] > decode[1] / decode[0]
    assert wider[0][0] <= 1 / 1.45
    assert wider[0][1] >= 1.45
    # However a machine was disturbed, a figure that says nothing is no help.
    assert widest[0][1] < 2


def test_what_is_kept_is_found_again(tmp_path):
    here = machines.detect()
    kept = replace(calibration_of(machine=calibration.identity(here)), notes=("busy",))
    calibration.save(tmp_path, kept)

    assert calibration.load(tmp_path, here, "engine 1") == (kept, None)


def test_another_version_of_the_engine_asks_for_a_new_calibration(tmp_path):
    here = machines.detect()
    calibration.save(tmp_path, calibration_of(machine=calibration.identity(here)))
    found, note = calibration.load(tmp_path, here, "engine 2")

    assert found is None
    assert note
    assert "weigh calibrate" in note


def test_another_machines_calibration_is_not_used(tmp_path):
    calibration.save(tmp_path, calibration_of(machine="elsewhere"))

    assert calibration.load(tmp_path, machines.detect()) == (None, None)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"format": 1}', '{"format": 9, "machines": {}}', '{"format": 1, "machines": []}', "[" * 9999],
)
def test_a_bad_file_is_left_aside_with_a_note(tmp_path, text):
    (tmp_path / calibration.FILE).write_text(text)
    found, note = calibration.load(tmp_path, machines.detect())

    assert found is None
    assert note


@pytest.mark.parametrize("wrong", [{"first": -1.0}, {"first": "fast"}, {"first": float("nan")}, {}])
def test_a_damaged_entry_is_left_aside_with_a_note(tmp_path, wrong):
    here = machines.detect()
    path = calibration.save(tmp_path, calibration_of(machine=calibration.identity(here)))
    data = json.loads(path.read_text())
    data["machines"][calibration.identity(here)]["measured"][0]["rates"]["types"]["Q4_K"] = wrong
    path.write_text(json.dumps(data))
    found, note = calibration.load(tmp_path, here)

    assert found is None
    assert note
    assert "damaged" in note


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("threads", 0), ("threads", -2), ("spread", float("nan")), ("spread", -1.0), ("prefill_spread", float("inf"))],
)
def test_numbers_that_would_make_no_range_are_left_aside_with_a_note(tmp_path, name, wrong):
    here = machines.detect()
    path = calibration.save(tmp_path, calibration_of(machine=calibration.identity(here)))
    data = json.loads(path.read_text())
    data["machines"][calibration.identity(here)]["measured"][0][name] = wrong
    path.write_text(json.dumps(data))
    found, note = calibration.load(tmp_path, here)

    assert found is None
    assert note
    assert "damaged" in note


@given(st.floats(0.3, 3), st.floats(0, 0.15), st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_learning_converges_and_bears_outliers(ratio, noise, seed):
    source = random.Random(seed)
    known: dict[str, Learned] = {}
    for number in range(300):
        seconds = 2.0 * ratio * (1 + noise * source.uniform(-1, 1))
        if number % 10 == 7:
            seconds *= 10  # something else had the machine
        known = learn(known, Observation("card", 100, seconds, 2.0))

    assert known["card"].ratio == pytest.approx(ratio, rel=0.12)


def test_learning_follows_a_machine_that_changed():
    known: dict[str, Learned] = {}
    for ratio in [1.0] * 100 + [2.0] * 300:
        known = learn(known, Observation("card", 100, ratio, 1.0))

    assert known["card"].ratio == pytest.approx(2.0, rel=0.1)


def test_learning_changes_nothing_it_was_given_and_passes_over_answers_that_must_be_short():
    known = {"card": Learned(1.5, 0.05, 10)}
    learn(known, Observation("card", 100, 10.0, 1.0))

    assert known == {"card": Learned(1.5, 0.05, 10)}
    assert learn(known, Observation("card", 3, 10.0, 1.0)) == known
    assert learn(known, Observation("card", 100, 1.0, 0.004)) == known, "foretold to be too quick for clocks"


def test_what_was_learnt_of_a_card_changes_its_estimates():
    here = machines.describe("rtx 3090")
    model = calibration.touched_by(Shape(32, 4096, 11008, 32, 8, 128, type="Q4_K"))
    card = (Share(0),)
    plain = estimate(model, here, card).decode
    taught = replace(calibration_of(), learned={here.devices[0].name: Learned(1.25, 0.02, 50)})
    slower = estimate(model, here, card, calibration=taught).decode

    assert plain
    assert slower
    assert slower.high < plain.high
    assert slower.basis == "measured"
    assert slower.high / slower.low < plain.high / plain.low


@pytest.mark.parametrize("kind", sorted(TYPES.keys() - {"F32"}))
def test_a_made_model_has_the_bytes_that_it_says(tmp_path, kind):
    shape = Shape(1, 256, 512, 4, 2, type=kind)
    read = touched(facts.read(write_model(tmp_path / "made.gguf", shape)))
    said = calibration.touched_by(shape)

    assert read is not None
    assert (read.weights, read.output, read.parameters) == (said.weights, said.output, said.parameters)


def test_weigh_calibrate_measures_the_real_engine_and_keeps_it(tmp_path):
    done = run_weigh("calibrate", "--quick", "--threads", "1", "--json", WEIGHBRIDGE_STATE_DIR=str(tmp_path))

    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["measured"][0]["rates"]["types"]["Q4_K"]["first"] > 0
    assert "left" in done.stderr
    found, note = calibration.load(tmp_path, machines.detect(), said["engine"])
    assert found is not None
    assert note is None


def test_weigh_calibrate_leaves_nothing_when_it_is_interrupted(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "weighbridge", "calibrate", "--threads", "1"],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        env={"PATH": "/usr/bin:/bin", "WEIGHBRIDGE_STATE_DIR": str(tmp_path / "state"), "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert process.stderr is not None
    process.stderr.readline()
    process.send_signal(2)

    assert process.wait(60) == 130
    assert not list(Path(tmp_path).glob("weighbridge-*"))
    assert not (tmp_path / "state").exists()
