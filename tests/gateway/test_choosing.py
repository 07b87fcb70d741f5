"""Who answers a request that names no model: by the gateway's policies, by its models' state, by what was learnt."""

from __future__ import annotations

import asyncio
import random
import re
import sys

import psutil
import pytest

from tests.gateway.test_lifecycle import Served, fake, play, settings_of, specialist
from tests.gguf_files import TEMPLATE
from weighbridge import facts, fit, machine
from weighbridge.engines import Model
from weighbridge.errors import BadSetting
from weighbridge.gateway.choosing import known_of
from weighbridge.ledger import folder_of, rows
from weighbridge.routing import Evidence, Outcome, learn
from weighbridge.routing.embedding import load_embedding
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


@pytest.mark.parametrize(
    ("engine", "template", "calls"),
    [
        ("llama_cpp", TEMPLATE, False),
        ("llama_cpp", "{{ tools }}" + TEMPLATE, True),
        ("vllm", TEMPLATE, False),
        # Its older builds tell any model of tools, in a format of their own.
        ("llama_server", TEMPLATE, None),
    ],
)
def test_a_template_without_tools_is_a_no_where_the_engine_leaves_them_out(
    tmp_path, tiny_gguf, engine, template, calls
):
    plan = fit.make_plan(facts.read(tiny_gguf(template=template)), machine.detect(), fit.Workload(context_tokens=256))

    assert known_of(Model("tiny", engine, plan=plan), settings_of(tmp_path, "")).tools is calls


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


def test_a_gateway_that_lacks_the_embedding_says_so_and_chooses_by_what_was_learnt_without(tmp_path):
    pytest.importorskip("tokenizers", reason="needs the extra `embedding`")
    from tests.routing.test_embedding import GROUPS, SEEN, of_groups, vectors_of_groups, write_folder

    folder = write_folder(tmp_path / "static", vectors_of_groups())
    learnt = learn(Evidence.of(of_groups(SEEN, 160)), load_embedding(str(folder)))
    learnt.save(tmp_path / "router.npz")

    async def story(served: Served) -> None:
        assert (await chosen(served, GROUPS["birds"][3]))[1] == "evidence"
        lacks = [line for line in served.told if "no embedding is looked at" in line]
        assert bool(lacks) is (served.gateway.chooser.predictor.embedding is None)
        lines = served.gateway.chooser.explain("a bird", "auto", None)["lines"]
        assert lines[-1] == (lacks[0] if lacks else f"the prompt's embedding was looked at too: {folder}")
        told.append(lacks)

    told: list[list[str]] = []
    models = [fake("geologist"), fake("ornithologist")]
    play(tmp_path, models, story, text=f'route_embedding = "{folder}"')
    play(tmp_path, models, story)
    assert told[0] == []
    assert "route_embedding names none" in told[1][0]


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
    assert bundled_gateway.client().chat.completions.create(
        model="auto", messages=[{"role": "user", "content": "What is 37 plus 58?"}], temperature=0
    ).choices[0].message.content == "95"  # fmt: skip
    if sys.platform == "linux":
        mapped = {each.path for each in psutil.Process(bundled_gateway.process.pid).memory_maps()}
        assert not [path for path in mapped if "numpy" in path]


CASCADE = """
[policies.thrift]
cascade = ["small", "big"]
"""


def pair(sure: float, **small: object) -> list[Model]:
    return [fake("small", reply="little words", log_probability=sure, **small), fake("big", reply="great words")]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
@pytest.mark.parametrize(("sure", "model"), [(-0.1, "small"), (-0.9, "big")])
def test_a_cascade_keeps_what_is_sure_and_asks_the_other_model_where_it_is_not(tmp_path, path, sure, model):
    told = {
        "small": "small: its mean log-probability is -0.10, not below -0.35 (assumed)",
        "big": "asked after small, whose answer has mean log-probability -0.90, below -0.35 (assumed)",
    }[model]

    async def story(served: Served) -> None:
        for stream in (False, True):
            body = {"model": "auto:thrift", "messages": [{"role": "user", "content": "x"}], "prompt": "x"}
            answer = await served.http.post(path, json=body | {"stream": stream})
            assert answer.status_code == 200
            assert answer.headers["x-weighbridge-model"] == model
            assert answer.headers["x-weighbridge-layer"] == "cascade"
            assert answer.headers["x-weighbridge-reason"] == f"thrift: {told}"
            assert "logprobs" not in answer.text, "nobody asked for them"
            assert ("little" in answer.text, "great" in answer.text) == (model == "small", model == "big")
            if stream:
                assert answer.headers["content-type"].startswith("text/event-stream")
                assert answer.text.endswith("data: [DONE]\n\n")
        both = await served.http.post(path, json=body | {"logprobs": 1})
        assert ("logprobs" in both.text) == (model == "small"), "the client asked for them"
        text = (await served.http.get("/metrics")).text
        label = f'model="{model}",path="{path}",route="cascade",status="200"'
        assert f"weighbridge_requests_total{{{label}}} 3.0" in text
        assert text.count("weighbridge_requests_total{") == 1, "one request counts once, whoever was asked"

    play(tmp_path, pair(sure), story, text=CASCADE)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("sure", "model"), [(-0.1, "small"), (-0.9, "big")])
def test_messages_and_responses_cascade_too(tmp_path, sure, model, stream):
    said = {"role": "user", "content": "x"}

    async def story(served: Served) -> None:
        for path, body, end in (
            ("/v1/messages", {"messages": [said], "max_tokens": 9}, "message_stop"),
            ("/v1/responses", {"input": "x"}, "response.completed"),
        ):
            answer = await served.http.post(path, json=body | {"model": "auto:thrift", "stream": stream})
            assert answer.status_code == 200
            assert answer.headers["x-weighbridge-model"] == model
            assert "log-probability" in answer.headers["x-weighbridge-reason"]
            assert ("little" in answer.text, "great" in answer.text) == (model == "small", model == "big")
            assert (f"event: {end}\n" in answer.text) == stream
            if not stream:
                assert answer.json()["type" if path == "/v1/messages" else "object"] in ("message", "response")
            assert ("request-id" in answer.headers) == (path == "/v1/messages")

    play(tmp_path, pair(sure), story, text=CASCADE)
    found = [row.fields for row in rows(folder_of(tmp_path), wanted=lambda row: row.kind == "request")]
    asked = 1 if model == "small" else 2
    assert [row["path"] for row in found] == ["/v1/messages"] * asked + ["/v1/responses"] * asked


def test_the_ledger_holds_both_answers_of_a_cascade(tmp_path):
    async def story(served: Served) -> None:
        assert (await chosen(served, "x", "auto:thrift"))[0] == "big"

    play(tmp_path, pair(-0.9), story, text=CASCADE)
    found = [row.fields for row in rows(folder_of(tmp_path), wanted=lambda row: row.kind == "request")]
    assert [(row["model"], row["status"], row["layer"]) for row in found] == [
        ("small", None, "cascade"), ("big", 200, "cascade"),
    ]  # fmt: skip
    assert "asked after small" in found[1]["reason"]


@pytest.mark.parametrize("trouble", [{"status": 500}, {"die_after_tokens": 1}, {"fail_start": "no"}, {}])
def test_a_cascade_whose_small_model_fails_is_answered_by_the_other(tmp_path, trouble):
    models = pair(-0.1, **trouble) if trouble else [fake("small"), fake("big", reply="great words")]

    async def story(served: Served) -> None:
        words: list[str] = []
        await served.stream("auto:thrift", words)
        assert "great" in "".join(words)
        assert "little" not in "".join(words)

    play(tmp_path, models, story, text=CASCADE)


def test_a_client_that_leaves_a_cascade_stops_it(tmp_path):
    async def story(served: Served) -> None:
        asked = asyncio.create_task(served.ask("auto:thrift"))
        await served.until("small", lambda model: model["requests_in_flight"] == 1)
        asked.cancel()
        await served.until("small", lambda model: model["requests_in_flight"] == 0)
        assert 'weighbridge_cancelled_total{model="small"} 1.0' in (await served.http.get("/metrics")).text
        assert (await served.model("big"))["requests_in_flight"] == 0

    play(tmp_path, pair(-0.1, tokens_per_second=5, tokens=50), story, text=CASCADE)


def test_the_embedded_engine_tells_how_sure_it_is(tmp_path):
    async def story(served: Served) -> None:
        for stream in (False, True):
            kept = await answered(
                served, "What is 37 plus 58?", "auto:right", max_tokens=200, temperature=0, stream=stream
            )
            assert "95" in kept.text
            assert "logprobs" not in kept.text
            assert re.search(r"mean log-probability is -0\.0\d, not below", kept.headers["x-weighbridge-reason"])

    text = '[policies.right]\ncascade = ["arithmetic", "extract"]'
    play(tmp_path, [specialist(name) for name in bundled()], story, text=text, memory_budget_bytes=1 << 30)


def test_a_cascade_learns_when_to_ask_the_other_model():
    """Right answers are surer than -1.5 nats, wrong ones are not; the big model is always right."""
    rng = random.Random(3)
    rows = []
    for at in range(60):
        is_right = at % 3 > 0
        sure = rng.uniform(-1.2, -0.1) if is_right else rng.uniform(-4, -1.8)
        rows += [Outcome("small", f"question {at}", float(is_right), mean_log_probability=sure),
                 Outcome("big", f"question {at}", 1.0)]  # fmt: skip
    threshold = learn(Evidence.of(rows)).thresholds["small", "big"]
    few = learn(Evidence.of(rows[:40])).thresholds

    assert -1.8 < threshold.value < -1.2
    assert (threshold.basis.value, threshold.source) == ("measured", "60 prompts that both models answered")
    assert few == {}, "too few to learn from: it stays assumed"
