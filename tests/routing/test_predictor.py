"""The predictor: what it learns from few and many outcomes, what it says of prompts unlike them, what it keeps."""

from __future__ import annotations

import dataclasses
import io
import random
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.growth import costs_at_most
from weighbridge.errors import BadSetting
from weighbridge.figures import Basis
from weighbridge.openai_api import Request
from weighbridge.routing import Candidate, Evidence, Outcome, Predictor, learn, read_evidence, route
from weighbridge.routing.features import look
from weighbridge.routing.guard import LITTLE, Apart, measure
from weighbridge.routing.near import LeftOut

SUMS = ("What is {} plus {}?", "Add {} to {}.", "Calculate {} + {}.", "How much is {} and {} together?")
STORIES = ("Write a poem about the {} and the {}.", "Tell a tale of a {} that met a {}.", "Describe a {} beside a {}.")
CODE = ("Write a python function that sorts a {} by {}.", "def {}(x): return x  # fix {}", "Refactor class {}: uses {}")
THINGS = "river mountain fox lantern king bakery violin storm letter garden ship clock".split()


def prompts(task: str, count: int, seed: int) -> list[str]:
    rng = random.Random(f"{task}{seed}")
    forms = {"sums": SUMS, "stories": STORIES, "code": CODE}[task]
    pick = (lambda: str(rng.randrange(1000))) if task == "sums" else (lambda: rng.choice(THINGS))
    return [rng.choice(forms).format(pick(), pick()) for _ in range(count)]


# Which share of each task a model gets right.
SKILL = {"counter": {"sums": 0.95, "stories": 0.3, "code": 0.5}, "writer": {"sums": 0.4, "stories": 0.9, "code": 0.6}}


def outcomes(
    count: int, seed: int = 0, tasks: tuple[str, ...] = ("sums", "stories"), told: bool = True
) -> list[Outcome]:
    rng = random.Random(seed)
    return [
        Outcome(model, prompt, float(rng.random() < SKILL[model][task]), task if told else None)
        for task in tasks
        for prompt in prompts(task, count // len(tasks), seed)
        for model in SKILL
    ]


def choose(predictor: Predictor, prompt: str) -> str:
    return predictor.models[int(predictor.predict(prompt).quality.argmax())]


@pytest.fixture(scope="module")
def learnt() -> Predictor:
    return learn(Evidence.of(outcomes(300, tasks=("sums", "stories", "code"))))


@pytest.mark.parametrize("told", [True, False])
def test_fifty_examples_are_enough_for_a_clear_difference(told):
    predictor = learn(Evidence.of(outcomes(50, told=told)))
    right = [choose(predictor, prompt) == "counter" for prompt in prompts("sums", 100, 9)]
    right += [choose(predictor, prompt) == "writer" for prompt in prompts("stories", 100, 9)]

    assert sum(right) / len(right) > 0.9


def test_three_examples_say_next_to_nothing():
    rows = [Outcome("a", f"prompt {at}", 1.0) for at in range(3)] + [
        Outcome("b", f"prompt {at}", 0.0) for at in range(3)
    ]
    said = learn(Evidence.of(rows)).predict("prompt 7")

    assert said.trust == 0
    assert abs(said.quality[0] - said.quality[1]) < 0.6
    assert said.deviation.min() > 0.1


def test_with_nothing_known_rules_decide():
    with pytest.raises(BadSetting, match="no outcomes to learn from"):
        learn(Evidence.of([]))
    chosen = route(Request("/", "auto", False, "hello", b""), [Candidate("a"), Candidate("b")])

    assert (chosen.basis, chosen.layer) == (Basis.ASSUMED, "order")


def test_the_same_evidence_gives_the_same_predictor():
    rows = outcomes(60)
    first, second = learn(Evidence.of(rows)), learn(Evidence.of(rows))

    assert (first.predict("Add 3 to 4.").quality == second.predict("Add 3 to 4.").quality).all()


def test_expected_quality_is_what_is_found(learnt):
    for model, skill in SKILL.items():
        for task, share in skill.items():
            expected = np.mean([learnt.predict(p).quality[learnt.models.index(model)] for p in prompts(task, 40, 5)])
            assert abs(expected - share) < 0.12, (model, task)


def test_the_task_is_recognised_and_may_be_told(learnt):
    assert learnt.predict("Calculate 4 + 9.").task == "sums"
    told = learnt.predict("4 9", "stories")

    assert (told.task, told.task_probability) == ("stories", 1.0)


def test_a_told_task_is_a_lookup_where_prompts_say_nothing_more():
    rng = np.random.default_rng(4)
    tasks = [f"task{at % 6}" for at in range(480)]
    words = [" ".join(rng.choice(THINGS, 6)) for _ in tasks]
    share = rng.uniform(0.2, 0.9, (6, 5))
    scores = (rng.random((480, 5)) < share[[at % 6 for at in range(480)]]).astype(float)
    predictor = learn(Evidence.of_table("abcde", words, scores, tasks))
    for task in range(6):
        said = [predictor.predict(prompt, f"task{task}").quality for prompt in ("fox king", "lantern", words[task])]
        found = scores[task::6].mean(0)

        assert int(said[0].argmax()) == int(found.argmax())
        assert np.ptp(said, axis=0).max() < 1e-6
        assert np.abs(said[0] - found).max() < 0.06


def test_of_many_models_that_differ_by_no_task_the_best_on_all_is_chosen_for_a_told_task():
    rng = np.random.default_rng(5)
    tasks = [f"task{at % 8}" for at in range(320)]
    share = np.full(40, 0.7)
    share[17] = 0.85
    scores = (rng.random((320, 40)) < share).astype(float)
    predictor = learn(
        Evidence.of_table(
            [f"model{at:02}" for at in range(40)], [" ".join(rng.choice(THINGS, 6)) for _ in tasks], scores, tasks
        )
    )

    assert {int(predictor.predict("fox king", f"task{at}").quality.argmax()) for at in range(8)} == {17}
    assert int(scores[0::8].mean(0).argmax()) != 17, "a plain lookup takes another for the first task"


def test_a_prompt_unlike_the_evidence_gets_the_best_single_model():
    rng = random.Random(2)
    # Which model is better differs by task, and says nothing of a task that is not there.
    tasks = {f"task{at}": (" ".join(rng.sample(THINGS, 3)), at % 2) for at in range(8)}
    rows = [
        Outcome(
            model, f"{words} {rng.randrange(999)} {task}", float(rng.random() < (0.9 if which == better else 0.5)), task
        )
        for task, (words, better) in tasks.items()
        for _ in range(30)
        for which, model in enumerate(("a", "b"))
    ] + [Outcome("b", f"lantern bakery {at} task1", 1.0, "task1") for at in range(40)]
    predictor = learn(Evidence.of(rows))
    strange = ["Quelle est la capitale de la Norvège ?", "SELECT * FROM orders WHERE 1=1;", "!!!", "", "žluťoučký kůň"]
    said = [predictor.predict(prompt) for prompt in strange]

    assert all(each.trust < 0.2 for each in said)
    best = [int(each.quality.argmax()) for each in said]
    assert len(set(best)) == 1
    assert predictor.predict(rows[0].prompt).trust > 0.5


def test_where_no_task_is_named_clusters_tell_what_is_unlike_the_evidence():
    predictor = learn(Evidence.of(outcomes(300, tasks=("sums", "stories", "code"), told=False)))
    known = [predictor.predict(prompt).trust for prompt in prompts("sums", 30, 8) + prompts("stories", 30, 8)]
    strange = [
        predictor.predict(prompt).trust
        for prompt in ("Quelle est la capitale de la Norvège ?", "SELECT * FROM orders;", "!!!", "žluťoučký kůň")
    ]

    assert predictor.tasks == ()
    assert min(known) > max(strange)
    assert np.median(known) > 0.8


def test_of_many_models_that_differ_by_nothing_but_chance_the_best_single_is_hardly_left():
    rng = np.random.default_rng(0)
    share = np.full(40, 0.7)
    share[11] = 0.8
    tasks = [("sums", "stories", "code")[at % 3] for at in range(240)]
    words = [prompts(task, 1, at)[0] for at, task in enumerate(tasks)]
    scores = (rng.random((240, 40)) < share).astype(float)
    predictor = learn(Evidence.of_table([f"model{at:02}" for at in range(40)], words, scores, tasks))
    new = [prompt for task in ("sums", "stories", "code") for prompt in prompts(task, 30, 999)]
    chosen = predictor.predict_all(new)[0].argmax(1)

    assert share[chosen].mean() > 0.79
    assert {int(scores[at::3].mean(0).argmax()) for at in range(3)} != {11}, "a lookup takes what chance made the best"


def test_two_tasks_or_twenty_prompts_are_enough_to_measure_what_carries_over():
    for rows in (outcomes(20), outcomes(44), outcomes(44, told=False)):
        said = learn(Evidence.of(rows)).predict("!!! ¿qué?")

        assert 0 < said.trust < 0.8
        assert np.isfinite(said.quality).all()


def test_outcomes_of_some_models_only_are_used():
    rows = [row for at, row in enumerate(outcomes(200)) if at % 3]
    predictor = learn(Evidence.of(rows))

    assert choose(predictor, "Add 3 to 4.") == "counter"
    assert choose(predictor, "Write a poem about the fox and the storm.") == "writer"


def test_thumbs_move_it_less_than_measured_scores():
    base = outcomes(100)
    against = [Outcome("counter", p, 0.0, "sums", source="feedback") for p in prompts("sums", 40, 77)]
    measured = [dataclasses.replace(row, source="eval") for row in against]
    plain, thumbs, evals = (
        learn(Evidence.of([*base, *more])).predict("What is 7 plus 8?").quality[0] for more in ([], against, measured)
    )

    assert plain > thumbs > evals


def test_it_is_kept_in_one_file_and_read_again(learnt, tmp_path):
    path = tmp_path / "router.npz"
    learnt.save(path)
    again = Predictor.load(path)
    for prompt in ("Add 3 to 4.", "", "Tell a tale of a fox that met a king."):
        for task in (None, "code"):
            np.testing.assert_allclose(
                again.predict(prompt, task).quality, learnt.predict(prompt, task).quality, atol=5e-3
            )
    assert path.stat().st_size < 2 << 20
    assert (again.models, again.tasks) == (learnt.models, learnt.tasks)


def test_damaged_and_foreign_files_are_refused(learnt, tmp_path):
    path = tmp_path / "router.npz"
    learnt.save(path)
    whole = path.read_bytes()
    for damaged in (b"", b"no zip", whole[:-200], whole[: len(whole) // 2], whole.replace(b"base", b"bas2")):
        path.write_bytes(damaged)
        with pytest.raises(BadSetting):
            Predictor.load(path)
    packed = io.BytesIO()
    np.savez(packed, about=np.array([{"a": 1}], dtype=object))
    path.write_bytes(packed.getvalue())
    with pytest.raises(BadSetting):
        Predictor.load(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("about.npy", b"\0" * (300 << 20))
    with pytest.raises(BadSetting, match="at most"):
        Predictor.load(path)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=3000))
def test_any_text_has_finite_features(learnt, text):
    assert np.isfinite(look(text).signs).all()
    assert np.isfinite(learnt.predict(text).quality).all()


def test_words_hash_alike_wherever_they_stand():
    first, second = look("fox and king"), look("the old king saw a fox")

    assert len(set(first.words[:3].tolist()) & set(second.words[:6].tolist())) == 2


def test_a_route_by_evidence_says_its_numbers_and_what_they_rest_on(learnt):
    candidates = [Candidate(model) for model in learnt.models]
    chosen = route(Request("/", "auto:best", False, "Calculate 45 + 7.", b""), candidates, learnt)

    assert (chosen.model, chosen.layer, chosen.basis) == ("counter", "evidence", Basis.MEASURED)
    assert "measured on " in chosen.reason
    assert "looks like sums" in chosen.reason
    assert chosen.considered[0].quality.low < 0.95 < chosen.considered[0].quality.high + 0.1
    assert chosen.category == "sums"


def test_a_queue_and_a_warm_cache_decide_where_quality_does_not(learnt):
    twins = [Candidate("left", evidence_name="counter"), Candidate("right", evidence_name="counter")]
    request = Request("/", "auto", False, "Calculate 45 + 7.", b"")

    assert route(request, twins, learnt, warm="right").model == "right"
    assert route(request, [dataclasses.replace(twins[0], waiting=9), twins[1]], learnt).model == "right"


def test_cheap_takes_the_cheaper_where_both_do_and_best_does_not_mind():
    rows = [
        dataclasses.replace(row, cost=9.0 if row.model == "writer" else 1.0)
        for row in outcomes(240, tasks=("code", "stories"))
    ]
    predictor = learn(Evidence.of(rows))
    candidates = [Candidate(model) for model in predictor.models]

    def chosen(mode, prompt):
        return route(Request("/", mode, False, prompt, b""), candidates, predictor).model

    assert chosen("auto:cheap", CODE[0].format("fox", "king")) == "counter"
    assert chosen("auto:best", STORIES[1].format("fox", "king")) == "writer"


def test_a_decision_takes_less_than_a_millisecond(learnt):
    candidates = [Candidate(model) for model in learnt.models]
    requests = [Request("/", "auto", False, prompt, b"") for prompt in prompts("code", 200, 3)]

    # The goal is 0.3 ms each.
    costs_at_most(len(requests) * 1e-3, lambda: [route(request, candidates, learnt) for request in requests])


def test_outcomes_are_read_from_files(tmp_path):
    lines = tmp_path / "outcomes.jsonl"
    lines.write_text(
        '{"model": "a", "prompt": "p", "score": 1}\n\n{"model": "b", "prompt": "p", "score": 0.5, "task": "t"}\n'
    )
    table = tmp_path / "outcomes.csv"
    table.write_text('model,prompt,score,cost\na,"two\nlines",1,0.1\nb,"two\nlines",0,\n')

    assert read_evidence(lines).models == ("a", "b")
    found = read_evidence(table)
    assert found.prompts == ("two\nlines",)
    assert found.costs[0, 0] == 0.1
    assert np.isnan(found.costs[0, 1])


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.jsonl", '{"model": "a", "prompt": "p", "score": 2}', "line 1: score is 2"),
        ("a.jsonl", '{"model": "a", "score": 1}', "line 1: model is 'a' and prompt a NoneType"),
        ("a.jsonl", "[1]", "line 1: a list"),
        ("a.jsonl", "{", "line 1: no JSON"),
        ("a.csv", "model,prompt,score\na,p,x\n", "line 2: score is 'x'"),
        ("a.txt", "", "ends in 'txt'"),
        ("a.csv", "", "there are no outcomes"),
        ("a.jsonl", '{"model": "a", "prompt": "p", "score": 1, "source": "gossip"}', "source is 'gossip'"),
    ],
)
def test_trouble_in_a_file_is_named(tmp_path, name, text, says):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(BadSetting, match=says):
        read_evidence(path)


@pytest.mark.parametrize(("won", "counts"), [(0.3, True), (-0.3, False)])
def test_a_choice_of_which_far_too_much_was_foretold_does_not_hide_that_most_were_right(won, counts):
    count, base = 200, np.array([0.5, 0.01, 0.0, -0.01])
    rng = np.random.default_rng(3)
    outputs = np.tile(base, (count, 1)) + 0.05 * rng.normal(size=(count, 4))
    foretold = np.tile(base, (count, 1))
    foretold[:100, 2] += 0.1  # of half of the prompts, that the second model is better by a tenth
    outputs[:100, 2] += won
    foretold[100, 3] += 4.0  # of one, that the third is better by far
    outputs[100, 3] -= 0.3
    signs = rng.normal(size=(count, 3))
    left_out = LeftOut(outputs=foretold, signs=signs, misses=np.zeros(count))
    group = Apart(outputs[:50], foretold[:50], base, signs[:50])
    inside = measure(outputs, base, left_out, [group], np.full(3, np.nan), 0).inside

    assert (inside > 0.5) is counts
    assert inside >= LITTLE
