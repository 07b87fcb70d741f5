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


GENERAL = """Explain recursion.|Write a haiku about autumn.|What is the meaning of life?|Why do cats purr?|hello there
What was the population of Paris in 1990?|Fix this bug: def f(x): return x+1|Summarise the plot of Hamlet.||Why?
Give me 5 ideas for dinner|What should I pay attention to when buying a house?|Who was born on 4 July 1776?
Translate to German: I have two dogs|Write a Python function that adds two numbers.|How much does a car cost?|🙂
What is the best way to learn piano?|Can you recommend 3 books on history?|Which is larger, the sun or the moon?
List the first ten presidents of the USA.|Tell me something interesting.|My printer does not work, what can I do?
What is the speed of light?|Rewrite this sentence more politely: send me the file.|Is 17 a prime number?
How do I center a div in CSS?|Who won the world cup in 2014?|When did the Berlin wall fall?
Please proofread my letter to Mr. Smith.|Convert this JSON to YAML: {"a": 1}|How many planets are there?"""


def test_what_no_card_speaks_of_goes_to_the_model_without_a_lane():
    prompts = GENERAL.replace("\n", "|").split("|")
    chosen = {prompt: route(asking(prompt), (*SPECIALISTS, GENERALIST)) for prompt in prompts}
    astray = [prompt for prompt, choice in chosen.items() if choice.model != "general"]

    assert len(astray) <= 0.15 * len(prompts), astray
    assert "no card speaks of this" in chosen["Explain recursion."].reason


def test_without_such_a_model_the_nearest_card_answers():
    chosen = route(asking("Explain recursion."), SPECIALISTS)

    assert chosen.model in ("arithmetic", "extract")
    assert "no card speaks of this; the nearest is" in chosen.reason


def test_the_reason_quotes_the_example_and_the_runner_up():
    chosen = route(asking("What is 37 plus 58?"), SPECIALISTS)

    assert chosen.reason.startswith("auto: in form like '")
    assert "on the card of arithmetic, " in chosen.reason
    assert chosen.reason.endswith(" nats ahead of extract")


def test_routing_is_a_pure_function():
    assert {route(asking("What is 7 times 8?"), SPECIALISTS) for _ in range(20)} == {
        route(asking("What is 7 times 8?"), SPECIALISTS)
    }
