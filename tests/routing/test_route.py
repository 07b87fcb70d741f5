"""Routing: by name, and by what the cards say."""

from __future__ import annotations

import random

import pytest

from weighbridge import facts
from weighbridge.facts import Card
from weighbridge.openai_api import ApiError, Request
from weighbridge.routing import Candidate, route
from weighbridge.specialists import bundled
from weighbridge.training import lanes

SPECIALISTS = tuple(Candidate(name, facts.read(path).card) for name, path in bundled().items())
GENERALIST = Candidate("general", Card())


def asking(prompt: str, model: str = "auto") -> Request:
    return Request("/v1/chat/completions", model, False, prompt, b"")


def test_a_name_is_obeyed():
    chosen = route(asking("What is 1 + 1?", "extract"), SPECIALISTS)

    assert (chosen.model, chosen.reason) == ("extract", "named in the request")


def test_an_unknown_name_is_refused_with_those_that_are():
    with pytest.raises(ApiError, match="There are: auto, arithmetic, extract") as caught:
        route(asking("hello", "nope"), SPECIALISTS)
    assert (caught.value.status, caught.value.source) == (404, "router")


@pytest.mark.parametrize("lane", lanes.names())
def test_held_out_items_go_to_their_own_lane(lane):
    rng = random.Random(7)
    prompts = [lanes.get(lane).sample(rng, held_out=True).prompt for _ in range(500)]
    right = sum(route(asking(prompt), (*SPECIALISTS, GENERALIST)).model == lane for prompt in prompts)

    assert right / len(prompts) >= 0.98


@pytest.mark.parametrize("lane", lanes.names())
def test_unseen_forms_go_to_their_own_lane(lane):
    rng = random.Random(7)
    prompts = [lanes.get(lane).unseen(rng).prompt for _ in range(300)]
    right = sum(route(asking(prompt), (*SPECIALISTS, GENERALIST)).model == lane for prompt in prompts)

    assert right / len(prompts) >= 0.95


@pytest.mark.parametrize(
    "prompt",
    ["Tell me a joke.", "Write a poem about the sea.", "Why is the sky blue?", "Hello", "", "🙂", "Explain recursion."],
)
def test_what_no_card_speaks_of_goes_to_the_model_without_a_lane(prompt):
    chosen = route(asking(prompt), (*SPECIALISTS, GENERALIST))

    assert chosen.model == "general"
    assert "no card speaks of this" in chosen.reason


def test_the_reason_quotes_the_example_and_the_runner_up():
    chosen = route(asking("What is 37 plus 58?"), SPECIALISTS)

    assert chosen.reason.startswith("auto: most like '")
    assert "on the card of arithmetic (0." in chosen.reason


def test_routing_is_a_pure_function():
    assert {route(asking("What is 7 times 8?"), SPECIALISTS) for _ in range(20)} == {
        route(asking("What is 7 times 8?"), SPECIALISTS)
    }
