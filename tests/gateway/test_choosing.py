"""Who answers a request that names no model: by the gateway's policies, by its models' state, by what was learnt."""

from __future__ import annotations

import random
import sys

import pytest

from tests.gateway.test_lifecycle import Served, fake, play, settings_of
from weighbridge import facts, fit, machine
from weighbridge.engines import Model
from weighbridge.errors import BadSetting
from weighbridge.gateway.choosing import known_of
from weighbridge.routing import Evidence, Outcome, learn
from weighbridge.specialists import bundled

POLICIES = """
[policies.office]
places = ["here"]
rules = { code = "coder" }
stickiness = 0.5

[models.coder]
price_input = 1.0
price_output = 4.0
place = "France"
licence = "MIT"
"""


async def answered(served: Served, text: str, model: str = "auto", **more: object):
    body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 1, **more}
    return await served.http.post("/v1/chat/completions", json=body)


async def chosen(served: Served, text: str, model: str = "auto", **more: object) -> tuple[str, str, str]:
    answer = await answered(served, text, model, **more)
    assert answer.status_code == 200, answer.text
    return tuple(answer.headers[f"x-weighbridge-{what}"] for what in ("model", "layer", "reason"))


def skilled(count: int, seed: int = 1) -> list[Outcome]:
    """Outcomes of a model that counts and of one that writes."""
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        for task, prompt in (
            ("sums", f"Add {rng.randrange(999)} to {rng.randrange(999)}."),
            (
                "tales",
                f"Tell a tale of a {rng.choice(['fox', 'king', 'storm'])} and a {rng.choice(['ship', 'clock'])}.",
            ),
        ):
            rows += [Outcome(name, prompt, float(name == good), task)
                     for name, good in (("counter", "counter" if task == "sums" else ""),
                                        ("writer", "writer" if task == "tales" else ""))]  # fmt: skip
    return rows


def test_what_is_known_of_a_model_comes_from_its_files_its_plan_and_its_table(tmp_path):
    read = facts.read(bundled()["arithmetic"])
    plan = fit.make_plan(read, machine.detect(), fit.Workload(context_tokens=256, parallel=3))
    settings = settings_of(tmp_path, POLICIES)
    here = known_of(Model("arithmetic", "llama_cpp", read.card, plan), settings)
    there = known_of(Model("coder", "remote", options={"url": "https://api.example.org/v1"}), settings)
    unknown = known_of(Model("other", "remote", options={"url": "https://api.example.org/v1"}), settings)

    assert (here.context_tokens, here.parallel, here.vision, here.tools) == (256, 3, False, read.chat.tools)
    assert (here.licence, here.place, here.json_schema) == (read.licence, "here", True)
    assert here.cost_per_token.value == 0
    assert (there.place, there.licence) == ("France", "MIT")
    assert (there.cost_per_prompt_token.value, there.cost_per_token.value) == (1e-6, 4e-6)
    assert (unknown.place, unknown.licence, unknown.cost_per_token) == ("api.example.org", None, None)


def test_policies_of_the_settings_choose_and_are_listed(tmp_path):
    async def story(served: Served) -> None:
        listed = [model["id"] for model in (await served.http.get("/v1/models")).json()["data"]]
        assert {"auto", "auto:fast", "auto:office", "plain", "coder"} <= set(listed)
        # The coder is in France, and this policy lets no data out.
        name, layer, reason = await chosen(served, "def f(x): return x  # fix this", "auto:office")
        assert (name, layer) == ("plain", "only")
        assert "coder it runs at France" in reason
        assert (await answered(served, "hello", "auto:nobody")).status_code == 404

    play(tmp_path, [fake("plain"), fake("coder")], story, text=POLICIES)


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        (
            '[policies.office]\nplacs = ["here"]',
            "policy office: placs is no part of a policy",
            "did you mean 'places'?",
        ),
        ("[policies]\noffice = 1", "policies.office is 1, expected a table", "write a table a policy"),
        ("[policies.one]\ncascade = true", r"\[policies.one\]: a model is named so", "another name"),
        ('[policies.office]\ncascade = ["one"]', "cascade is", "two models"),
    ],
)
def test_a_typo_in_a_policy_stops_the_program(tmp_path, text, what, hint):
    with pytest.raises(BadSetting, match=what) as caught:
        play(tmp_path, [fake("one")], None, text=text)
    assert hint in caught.value.hint


def test_what_was_learnt_decides_and_is_read_anew_when_it_changes(tmp_path):
    """And without it no array is loaded: that is the gateway's memory."""
    models = [fake("writer", tokens_per_second=2000), fake("counter", tokens_per_second=2000)]

    async def story(served: Served) -> None:
        assert (await chosen(served, "Add 31 to 42."))[:2] == ("writer", "order")
        learn(Evidence.of(skilled(40))).save(tmp_path / "router.npz")
        served.gateway.chooser._look_at = 0.0
        await served.gateway.chooser.begin()
        name, layer, reason = await chosen(served, "Add 31 to 42.")
        assert (name, layer) == ("counter", "evidence")
        assert "measured on" in reason
        assert (await chosen(served, "Tell a tale of a fox and a clock."))[0] == "writer"
        # A rule of hard needs comes before any evidence.
        (tmp_path / "router.npz").write_bytes(b"damaged")
        served.gateway.chooser._look_at = 0.0
        await served.gateway.chooser.begin()
        assert (await chosen(served, "Add 31 to 42."))[1] == "evidence", "what is there stays until better comes"
        assert any("what was learnt is not used" in line for line in served.told)

    play(tmp_path, models, story)


def test_a_conversation_stays_where_its_cache_is(tmp_path):
    first = {"role": "user", "content": "Add 31 to 42."}
    later = [{"role": "assistant", "content": "73"}, {"role": "user", "content": "Tell a tale of a fox and a clock."}]

    async def story(served: Served) -> None:
        assert (await chosen(served, "Add 31 to 42."))[0] == "counter"
        for policy, expected in (("auto:loyal", "counter"), ("auto:best", "writer")):
            body = {"model": policy, "messages": [first, *later], "max_tokens": 1}
            answer = await served.http.post("/v1/chat/completions", json=body)
            assert answer.headers["x-weighbridge-model"] == expected, answer.headers["x-weighbridge-reason"]

    learn(Evidence.of(skilled(40))).save(tmp_path / "router.npz")
    play(tmp_path, [fake("writer"), fake("counter")], story, text="[policies.loyal]\nstickiness = 1.0")


def test_a_model_that_failed_or_can_never_fit_is_not_chosen(tmp_path):
    async def story(served: Served) -> None:
        assert (await answered(served, "hello", "broken")).status_code == 503
        assert (await chosen(served, "hello"))[0] == "good"

    models = [fake("huge", memory_bytes="1GiB"), fake("broken", fail_start="no"), fake("good")]
    play(tmp_path, models, story)


def test_a_gateway_that_learnt_nothing_loads_no_arrays(bundled_gateway):
    import psutil

    assert bundled_gateway.client().chat.completions.create(
        model="auto", messages=[{"role": "user", "content": "What is 37 plus 58?"}], temperature=0
    ).choices[0].message.content == "95"  # fmt: skip
    if sys.platform == "linux":
        mapped = {each.path for each in psutil.Process(bundled_gateway.process.pid).memory_maps()}
        assert not [path for path in mapped if "numpy" in path]
