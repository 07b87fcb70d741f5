"""What users say of answers: joined to the request, kept without the prompt's text, and learnt from."""

from __future__ import annotations

import asyncio
import itertools
import json

import httpx2 as httpx
import pytest

from tests.gateway.test_choosing import answered
from tests.gateway.test_lifecycle import Served, fake, play
from weighbridge.gateway.feedback import Feedback
from weighbridge.gateway.guard import ANYONE
from weighbridge.gateway.recent import Asked, Recent
from weighbridge.gateway.wire import Body
from weighbridge.openai_api import ApiError
from weighbridge.routing import Evidence, Outcome, keep_thumb, learn, read_thumbs
from weighbridge.routing.features import look
from weighbridge.routing.thumbs import Thumb
from weighbridge.store import Store

SECRET = "Add 31 to the number of Petronella's cats."


async def told(served: Served, **said: object):
    return await served.http.post("/v1/feedback", json=said)


def test_a_thumb_is_joined_to_its_request_and_kept_without_the_prompts_text(tmp_path):
    async def story(served: Served) -> None:
        first = await answered(served, SECRET)
        name = first.headers["x-request-id"]
        found = await told(served, request_id=name, thumb="down", correct_model="two", comment="wrong sum")
        assert found.json() == {"object": "feedback", "request_id": name, "model": "one", "score": 0.0}
        # Said anew, it takes the place of what was said.
        assert (await told(served, request_id=name, score=0.25, correct_model="two")).status_code == 200
        second = await answered(served, "x" * 5000, "two")
        assert (await told(served, request_id=second.headers["x-request-id"], thumb="up")).status_code == 200

    play(tmp_path, [fake("one"), fake("two")], story)
    kept = list(read_thumbs(tmp_path))
    assert [(each.model, each.score, each.source) for each in kept] == [
        ("one", 0.25, "feedback"), ("two", 1.0, "feedback"), ("two", 1.0, "feedback"),
    ]  # fmt: skip
    assert kept[0].prompt is kept[1].prompt, "one prompt, two outcomes"
    alike = learn(Evidence.of([Outcome("one", SECRET, 1.0)])).predict_all([SECRET, kept[0].prompt])
    assert alike[1][0] == alike[1][1]
    assert list(kept[0].prompt.signs) == list(look(SECRET).signs)
    assert list(kept[2].prompt.signs) == list(look("x" * 5000).signs)
    for file in tmp_path.glob("weighbridge.sqlite3*"):
        assert b"Petronella" not in file.read_bytes()


@pytest.mark.parametrize(
    ("said", "status", "what"),
    [
        ({"request_id": "req_nobody", "thumb": "up"}, 404, "No request 'req_nobody' is remembered"),
        ({"thumb": "up"}, 400, "request_id is missing"),
        ({"request_id": "x"}, 400, "nothing is said"),
        ({"request_id": "x", "thumb": "sideways"}, 400, "expected"),
        ({"request_id": "x", "thumb": {}}, 400, "expected"),
        ({"request_id": "x", "score": 2}, 400, "score is 2"),
        ({"request_id": "x", "score": True}, 400, "score is true"),
        ({"request_id": "x", "scor": 1}, 400, "'scor' is no part of feedback"),
        ({"request_id": 7, "score": 1}, 400, "request_id is 7, expected a text"),
        ({"request_id": "x", "comment": "y" * 70_000}, 413, "at most"),
        ([], 400, "expected an object"),
    ],
)
def test_what_cannot_be_taken_is_refused(fake_gateway, said, status, what):
    answer = httpx.post(f"{fake_gateway.url}/v1/feedback", json=said)

    assert answer.status_code == status
    assert what in answer.json()["error"]["message"]


def test_only_whoever_asked_may_say_it():
    feedback = Feedback(None, 10)
    feedback.remember("req_1", b"/v1/completions", Body(b'{"prompt": "hi"}'), "one", None, ANYONE)

    async def ask() -> None:
        class Other:
            name, is_admin = "other", False

        await feedback.take(b'{"request_id": "req_1", "thumb": "up"}', Other(), frozenset())

    with pytest.raises(ApiError, match="No request 'req_1'"):
        asyncio.run(ask())


@pytest.mark.parametrize("words", [100, 1000])
def test_what_is_remembered_is_bounded(words):
    feedback = Feedback(None, 100)
    for at in range(5000):
        raw = json.dumps({"prompt": "word " * words}).encode()
        feedback.remember(f"req_{at}", b"/v1/completions", Body(raw), "one", None, ANYONE)
    feedback.remember("req_x", b"/v1/embeddings", Body(b'{"input": "hi"}'), "one", None, ANYONE)

    assert [feedback.remembered(f"req_{at}") is not None for at in (0, 4899, 4900, 4999)] == [False, False, True, True]
    assert feedback.remembered("req_x") is None
    found = feedback.remembered("req_4950")
    assert found.letters == 5 * words
    assert len(found.prompt) == min(5 * words, 2401)


def test_however_many_are_remembered_they_take_some_megabytes():
    feedback = Feedback(None, 1_000_000)
    for at in range(10_000):
        raw = json.dumps({"prompt": "word " * (at % 1600)}).encode()
        feedback.remember(f"req_{at}", b"/v1/completions", Body(raw), "one", None, ANYONE)

    assert feedback._recent.size_bytes < 2_000_001
    assert feedback.remembered("req_9500") is not None


def test_what_is_packed_is_found_as_it_came():
    moment = itertools.count()
    recent = Recent(1000, clock=lambda: float(next(moment)))
    for at in range(5000):
        recent.add(Asked(f"req_{at}", f"{at} ".encode() * 50, at or None, "one", None, "anna"))

    assert recent.size_bytes < 5000 * 250 / 4
    assert recent.find("req_3999") is None
    for at in (*range(4000, 5000, 37), 4999):
        assert recent.find(f"req_{at}") == Asked(f"req_{at}", f"{at} ".encode() * 50, at, "one", None, "anna")


def test_only_the_newest_thumbs_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("weighbridge.routing.thumbs.MOST_KEPT", 3)
    for at in range(5):
        keep_thumb(tmp_path, Thumb(f"req_{at}", f"m{at}", 1.0), "hi", 2)

    assert [each.model for each in read_thumbs(tmp_path)] == ["m2", "m3", "m4"]


def test_fifty_thumbs_teach_and_weigh_less_than_what_was_measured(tmp_path):
    with Store(tmp_path):
        pass
    for at in range(25):
        keep_thumb(tmp_path, Thumb(f"a{at}", "counter", 1.0, "sums", None), f"Add {at} to {at + 7}.", 13)
        keep_thumb(tmp_path, Thumb(f"b{at}", "counter", 0.0, "tales", "writer"), f"Tell a tale of {at} foxes.", 25)
    said = list(read_thumbs(tmp_path))
    known = learn(Evidence.of(said))
    against = [Outcome("counter", f"Tell a tale of {at} foxes.", 1.0, "tales") for at in range(25)]
    against += [Outcome("writer", f"Tell a tale of {at} foxes.", 0.0, "tales") for at in range(25)]
    both = learn(Evidence.of([*said, *against]))

    def best(predictor, prompt: str) -> str:
        return predictor.models[int(predictor.predict(prompt).quality.argmax())]

    assert best(known, "Tell a tale of 99 foxes.") == "writer"
    assert best(both, "Tell a tale of 99 foxes.") == "counter", "what was measured here counts more than thumbs"
