"""The bundled specialists, measured again through the running gateway: good in their lane, lost in the other's."""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest

from weighbridge import facts
from weighbridge.openai_api import Client
from weighbridge.specialists import bundled
from weighbridge.training import lanes
from weighbridge.training.measure import measure

COUNT = 200


def measured(url: str, model: str, items: list[lanes.Item]):
    async def run():
        async with Client(url) as client:
            return await measure(client, model, items)

    return asyncio.run(run())


@pytest.mark.parametrize("lane", lanes.names())
def test_a_specialist_answers_its_own_lane(bundled_gateway, lane):
    found = measured(bundled_gateway.url, lane, list(lanes.held_out_items(lane, COUNT)))

    assert found.share >= 0.95, found.wrong[:5]


@pytest.mark.parametrize("lane", lanes.names())
def test_a_specialist_fails_the_others_lane(bundled_gateway, lane):
    (other,) = set(lanes.names()) - {lane}
    found = measured(bundled_gateway.url, lane, list(lanes.held_out_items(other, COUNT)))

    assert found.share <= 0.05


def test_auto_answers_both_lanes(bundled_gateway):
    items = [item for lane in lanes.names() for item in lanes.held_out_items(lane, 100, seed=7)]
    found = measured(bundled_gateway.url, "auto", items)

    assert found.share >= 0.95, found.wrong[:5]


@pytest.mark.parametrize("lane", lanes.names())
def test_what_is_not_its_lane_is_declined(bundled_gateway, lane):
    rng = random.Random(3)
    items = [lanes.get(lane).foreign(rng) for _ in range(100)]
    found = measured(bundled_gateway.url, lane, items)

    assert found.share >= 0.9, found.wrong[:5]


@pytest.mark.parametrize("lane", lanes.names())
def test_a_later_turn_is_answered_like_the_first(bundled_gateway, lane):
    items = list(lanes.held_out_items(lane, 41, seed=11))
    client = bundled_gateway.client()
    right = 0
    for earlier, item in itertools.pairwise(items):
        messages = [
            {"role": "user", "content": earlier.prompt},
            {"role": "assistant", "content": earlier.answer},
            {"role": "user", "content": item.prompt},
        ]
        answer = client.chat.completions.create(model=lane, messages=messages, temperature=0)
        right += answer.choices[0].message.content == item.answer

    assert right / 40 >= 0.9


def test_the_working_is_shown_apart_as_reasoning(bundled_gateway):
    answer = bundled_gateway.client().chat.completions.create(
        model="arithmetic", messages=[{"role": "user", "content": "What is 37 plus 58?"}], temperature=0
    )

    assert answer.choices[0].message.content == "95"
    assert answer.choices[0].message.reasoning_content == "037+058;7+8+0=15;3+5+1=09;0+0+0=00"


@pytest.mark.parametrize("lane", lanes.names())
def test_the_files_are_small_llama_models_with_card_and_template(lane):
    path = bundled()[lane]
    found = facts.read(path)

    assert path.stat().st_size <= 4_000_000
    assert (found.architecture, found.quantization) == ("llama", "Q8_0")
    assert found.chat.template
    assert found.card.description == lanes.get(lane).TITLE
    assert len(found.card.examples) == 128
    assert path.with_suffix(".md").exists()
