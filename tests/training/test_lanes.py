"""The lanes' generators: right answers, working that leads to them, and no held-out content in training."""

from __future__ import annotations

import json
import random

import pytest

from weighbridge.training import lanes
from weighbridge.training.lanes import arithmetic, extract


@pytest.mark.parametrize("lane", lanes.names())
def test_the_same_seed_gives_the_same_items(lane):
    assert list(lanes.held_out_items(lane, 50)) == list(lanes.held_out_items(lane, 50))


@pytest.mark.parametrize("lane", lanes.names())
def test_held_out_items_never_occur_in_training(lane):
    rng = random.Random(1)
    trained = {lanes.get(lane).sample(rng, held_out=False).prompt for _ in range(10_000)}
    held_out = [item.prompt for item in lanes.held_out_items(lane, 1000)]

    assert not trained & set(held_out)


def test_arithmetic_answers_are_right():
    rng = random.Random(2)
    for _ in range(2000):
        item = arithmetic.sample(rng, held_out=False)
        first = item.working.split(";")[0].removesuffix(">0").removesuffix("<0")
        left, sign, right = next(first.partition(sign) for sign in "+-*" if sign in first)
        a, b = int(left), int(right)
        assert int(item.answer) == {"+": a + b, "-": a - b, "*": a * b}[sign]


def test_each_step_of_the_working_is_true_and_the_last_ones_spell_the_answer():
    rng = random.Random(3)
    for _ in range(2000):
        item = arithmetic.sample(rng, held_out=False)
        steps = [step for step in item.working.split(";") if "=" in step]
        for step in steps:
            sum_, result = step.split("=")
            value = eval(sum_)
            assert int(result) == (value if value >= 0 else 10 + value % 10)
        if item.kind != "multiply" or len(steps) == 3:
            spelled = steps[-1][-2] + "".join(step[-1] for step in reversed(steps))
            spelled = spelled if item.kind != "subtract" else spelled[1:]
            assert int(spelled) == abs(int(item.answer))


def test_extract_answers_are_json_whose_values_stand_in_the_sentence():
    rng = random.Random(4)
    for _ in range(2000):
        item = extract.sample(rng, held_out=False)
        fields = json.loads(item.answer)
        assert list(fields) == ["person", "amount", "currency", "date"]
        if fields["person"]:
            assert fields["person"] in item.prompt
        if fields["date"]:
            assert fields["date"][:4] in item.prompt
        if fields["amount"]:
            assert f"{fields['amount']:g}".rstrip("0").split(".")[0][:1] in item.prompt


def test_an_unknown_lane_names_those_that_are():
    with pytest.raises(KeyError, match="there are: arithmetic, extract"):
        lanes.get("poetry")
