"""Tasks as others write them."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import SHARED
from weighbridge.errors import BadTask
from weighbridge.evals import Answer, Manner, Sample, read_task, read_tasks, run
from weighbridge.evals.score import make_scorer
from weighbridge.evals.scorers.choice import target_letter

DATA = SHARED / "data" / "evals"


def write(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if isinstance(text, str) else "".join(json.dumps(line) + "\n" for line in text))
    return folder


@pytest.mark.parametrize(
    ("line", "question", "targets", "scorer"),
    [
        ({"input": "q", "target": "a"}, "q", ("a",), "exact"),
        ({"prompt": "q", "answer": 4}, "q", ("4",), "numeric"),
        ({"question": "q", "ideal": ["a", "b"]}, "q", ("a", "b"), "exact"),
        ({"messages": [{"role": "user", "content": "q"}], "ideal": "7"}, "q", ("7",), "numeric"),
        ({"input": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}], "ideal": "a"}, "q", ("a",),
         "exact"),
        ({"question": "q", "choices": ["x", "y"], "answer": "B"}, "q", ("B",), "choice"),
        ({"input": "q", "target": {"a": 1}}, "q", ('{"a": 1}',), "json_match"),
    ],
)  # fmt: skip
def test_a_line_is_read_whatever_its_fields_are_called(task_file, line, question, targets, scorer):
    task = read_task(task_file([line]))
    [sample] = task.dataset

    assert (sample.question, sample.targets, task.scorer) == (question, targets, scorer)


def test_a_csv_is_read_with_its_clusters_and_choices(tmp_path):
    path = tmp_path / "quiz.csv"
    path.write_text('question,answer,choices,cluster,level\n"Which, of two?",B,red|blue,colours,1\n')
    task = read_task(path)
    [sample] = task.dataset

    assert (task.name, task.scorer, task.dataset.count) == ("quiz", "choice", 1)
    assert (sample.choices, sample.cluster, sample.metadata) == (("red", "blue"), "colours", {"level": "1"})
    assert task.messages(sample)[-1]["content"].splitlines()[1:3] == ["A) red", "B) blue"]


def test_a_conversation_is_sent_as_it_is_and_a_prompt_around_a_question(tmp_path):
    write(
        tmp_path,
        data_DOT_jsonl=[{"Frage": "Was ist 2 + 2?", "Antwort": "4"}],
        t_DOT_toml='[task]\ndata = "data.jsonl"\nscorer = "numeric"\nprompt = "Kurz: {input} {danke}"\nsystem = "S"\n'
        'max_tokens = 9\n[columns]\ninput = "Frage"\ntarget = "Antwort"\n[scorer]\ntolerance = 0.5\n',
    )
    task = read_task(tmp_path / "t.toml")
    [sample] = task.dataset

    assert task.messages(sample) == [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "Kurz: Was ist 2 + 2? {danke}"},
    ]
    assert (task.generation.max_tokens, task.scorer_options) == (9, {"tolerance": 0.5})


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.jsonl", "{broken", "line 1"),
        ("a.jsonl", '{"input": "q"}\n[1]\n', "line 2: is a JSON list"),
        ("a.jsonl", '{"text": "q"}', "has no input, prompt, question or messages; it has: text"),
        ("a.jsonl", "", "holds no sample"),
        ("a.jsonl", '{"input": "q", "choices": ["one"]}', "choices is"),
        ("a.csv", "input,target\nq\n", "line 2: has fewer cells"),
        ("a.csv", "input,target\nq,a,b\n", "line 2: has more cells"),
        ("a.toml", '[task]\nscorre = "x"\n', "has no 'scorre'"),
        ("a.toml", "[task]\n", "names no data"),
        ("a.toml", "[task\n", "a.toml"),
        ("a.txt", "x", "no format that is known"),
        ("a.yaml", "task: [", "a.yaml"),
    ],
)
def test_what_cannot_be_read_names_file_and_line(tmp_path, name, text, says):
    (tmp_path / name).write_text(text)
    with pytest.raises(BadTask) as caught:
        list(read_task(tmp_path / name).dataset)

    assert says in str(caught.value)
    assert caught.value.hint


@given(st.binary(max_size=300), st.sampled_from(["a.jsonl", "a.csv", "a.json", "a.toml", "a.yaml"]))
@settings(max_examples=80, deadline=None)
def test_damaged_files_end_in_a_word_about_them(tmp_path_factory, data, name):
    path = tmp_path_factory.mktemp("damaged") / name
    path.write_bytes(data)
    try:
        for task in read_tasks(path):
            list(task.dataset)
    except BadTask:
        pass


GSM = """
task: sums_cot
dataset_path: json
dataset_kwargs:
  data_files: {test: test.jsonl, train: train.jsonl}
output_type: generate_until
training_split: train
fewshot_split: train
test_split: test
num_fewshot: 2
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_target: "{{answer.split('####')[-1].strip() if answer is defined else target}}"
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
    ignore_case: true
    regexes_to_ignore: [",", "\\\\$", "\\\\.$"]
generation_kwargs: {until: ["Question:", "</s>"], do_sample: false, temperature: 0.0}
filter_list:
  - name: strict-match
    filter: [{function: regex, regex_pattern: "#### (\\\\-?[0-9\\\\.\\\\,]+)"}, {function: take_first}]
  - name: flexible-extract
    filter:
      - {function: regex, group_select: -1, regex_pattern: "(-?[$0-9.,]{2,})|(-?[0-9]+)"}
      - {function: take_first}
"""


def test_an_lm_eval_task_is_asked_with_its_shots_and_scored_by_its_filters(tmp_path):
    lines = [{"question": f"{a} + {a}?", "answer": f"so #### {a + a}"} for a in range(1, 5)]
    write(tmp_path, gsm_DOT_yaml=GSM, test_DOT_jsonl=lines[2:], train_DOT_jsonl=lines[:2])
    task = read_task(tmp_path / "gsm.yaml")
    first = next(iter(task.dataset))
    scorer = make_scorer(task.scorer, task.scorer_options)
    flexible = make_scorer(task.scorer, {**task.scorer_options, "filter": "flexible-extract"})

    assert first.question == "Question: 1 + 1?\nAnswer: 2\n\nQuestion: 2 + 2?\nAnswer: 4\n\nQuestion: 3 + 3?\nAnswer:"
    assert first.targets == ("6",)
    assert task.generation.stop == ("Question:", "</s>")
    for said, strict, loose in (("#### 6.", 1, 1), ("it is 6", 0, 1), ("12 #### 7", 0, 0)):
        assert asyncio.run(scorer.score(first, Answer(said))).value == strict
        assert asyncio.run(flexible.score(first, Answer(said))).value == loose


def test_includes_and_groups_are_resolved_and_choices_read(tmp_path):
    write(
        tmp_path,
        _default_yaml="dataset_path: json\ndataset_kwargs: {data_files: {test: d.jsonl}}\n"
        "output_type: multiple_choice\n"
        "test_split: test\ndoc_to_text: '{{q}}'\ndoc_to_choice: '{{opts}}'\n"
        "doc_to_target: gold\n"
        "description: 'About {{q | upper}}: '\nmetric_list: [{metric: acc}]\n",
        one_DOT_yaml="include: _default_yaml\ntask: one\n",
        two_DOT_yaml="include: _default_yaml\ntask: two\ndoc_to_choice: ['yes', 'no']\n",
        group_DOT_yaml="group: both\ntask:\n  - one\n  - task: two\n    description: ''\n",
        d_DOT_jsonl=[{"q": "sky", "opts": ["blue", "red"], "gold": 1}],
    )
    one, two = read_tasks(tmp_path / "group.yaml")
    first, second = next(iter(one.dataset)), next(iter(two.dataset))

    assert (one.name, first.question, first.choices, first.target) == ("one", "About SKY: sky", ("blue", "red"), 1)
    assert (two.name, second.question, second.choices) == ("two", "sky", ("yes", "no"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("task: t\ndoc_to_text: !function utils.f\n", "doc_to_text is the Python function utils.f"),
        ("task: t\nmetric_list: [{metric: !function a.b}]\n", "metric_list.0.metric is the Python function"),
        ("task: t\nclass: !function task.C\n", "Python function"),
        ("task: t\ndataset_path: gsm8k\n", "its data is 'gsm8k', elsewhere"),
        ("task: t\noutput_type: loglikelihood_rolling\n", "needs log-likelihoods"),
        ("group: g\ntask: [nowhere]\n", "names 'nowhere'"),
        ("include: self.yaml\ntask: t\n", "included by itself"),
        ("task: t\ndataset_path: json\ndataset_kwargs: {data_files: d.jsonl}\ndoc_to_text: '{{no.where}}'\n",
         "template"),
        ("task: t\ndataset_path: json\ndataset_kwargs: {data_files: d.jsonl}\n"
         "doc_to_text: \"{{ ''.__class__.__mro__ }}\"\n", "template"),
    ],
)  # fmt: skip
def test_lm_eval_tasks_that_would_run_python_or_need_more_are_refused_by_name(tmp_path, text, says):
    write(tmp_path, self_DOT_yaml=text, d_DOT_jsonl=[{"x": 1}])
    with pytest.raises(BadTask) as caught:
        list(read_task(tmp_path / "self.yaml").dataset)

    assert says in str(caught.value)


def test_the_data_of_a_task_elsewhere_may_be_a_file_here(tmp_path):
    write(
        tmp_path,
        t_DOT_yaml="task: t\ndataset_path: gsm8k\ndoc_to_text: question\ndoc_to_target: answer\n",
        local_DOT_jsonl=[{"question": "q", "answer": "a"}],
    )
    task = read_task(tmp_path / "t.yaml", tmp_path / "local.jsonl")

    assert next(iter(task.dataset)).question == "q"


PROMPTFOO = """
description: capitals
prompts:
  - "What is the capital of {{country}}?"
  - label: terse
    raw: '[{"role": "system", "content": "One word."}, {"role": "user", "content": "Capital of {{country}}?"}]'
providers: [openai:gpt-4o]
defaultTest:
  assert:
    - {type: not-icontains, value: "as an ai"}
tests:
  - vars: {country: France}
    assert:
      - {type: equals, value: Paris}
  - vars: {country: [Italy, Spain]}
    threshold: 0.5
    assert:
      - {type: contains-any, value: [Rome, Madrid]}
      - {type: regex, value: "^{{country}}", weight: 3}
      - {type: is-json}
"""


def test_promptfoos_tests_are_asked_and_their_assertions_hold_or_not(tmp_path):
    write(tmp_path, promptfooconfig_DOT_yaml=PROMPTFOO)
    plain, terse = read_tasks(tmp_path / "promptfooconfig.yaml")
    samples = list(plain.dataset)
    scorer = make_scorer(plain.scorer, plain.scorer_options)

    def value(sample, text):
        return asyncio.run(scorer.score(sample, Answer(text))).value

    assert [sample.question for sample in samples] == [
        f"What is the capital of {country}?" for country in ("France", "Italy", "Spain")
    ]
    assert terse.name == "capitals (terse)"
    assert next(iter(terse.dataset)).input[0]["content"] == "One word."
    assert [value(samples[0], text) for text in ("Paris", "paris", "As an AI: Paris")] == [1, 0, 0]
    # Of six weights, 1 for the first, 1 for the second, 3 for the pattern.
    assert [value(samples[1], text) for text in ("Italy: Rome", "Rome", "Italy")] == [1, 0, 1]


@pytest.mark.parametrize("kind", ["javascript", "python", "llm-rubric", "cost", "webhook"])
def test_assertions_that_would_run_code_or_ask_others_are_refused_by_name(tmp_path, kind):
    write(tmp_path, c_DOT_yaml=f"prompts: [x]\ntests: [{{assert: [{{type: {kind}, value: y}}]}}]\n")
    with pytest.raises(BadTask, match=kind):
        read_task(tmp_path / "c.yaml")


def test_promptfoos_csv_of_tests_is_read(tmp_path):
    write(
        tmp_path,
        c_DOT_yaml="prompts: ['Say {{word}}']\ntests: file://t.csv\n",
        t_DOT_csv="word,__expected\nhello,hello\nbye,icontains: BYE\n",
    )
    samples = list(read_task(tmp_path / "c.yaml").dataset)

    assert [sample.target[0]["type"] for sample in samples] == ["equals", "icontains"]


@pytest.mark.skipif(not DATA.exists(), reason="public sets are not in this clone")
@pytest.mark.parametrize(
    ("file", "count", "scorer"),
    [("gsm8k/test.jsonl", 1319, "numeric"), ("bbh/bbh/boolean_expressions.json", 250, "exact")],
)
def test_public_sets_are_read_as_they_are(file, count, scorer):
    task = read_task(DATA / file)

    assert sum(1 for _ in task.dataset) == count == task.dataset.count
    assert task.scorer == scorer


def test_a_promptfoo_task_runs_against_a_server(server, tmp_path):
    write(
        tmp_path,
        c_DOT_yaml="prompts: ['What is {{a}} + {{b}}?']\n"
        "tests: [{vars: {a: 1, b: 2}, assert: [{type: contains, value: '#### 3'}]}]\n",
    )
    found = asyncio.run(run(read_task(tmp_path / "c.yaml"), server().target, tmp_path / "logs", Manner(1)))

    assert list(found.log.outcomes.scores) == [1.0]


_TASK = "task: x\ndataset_path: json\ndataset_kwargs: {data_files: t.jsonl}\ndoc_to_target: '{{target}}'\n"
_ASKED = _TASK + "doc_to_text: '{{input}}'\n"
_TEN_TIMES = "".join(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 9))
_WRONG = {
    "holds itself": ("x.yaml", _ASKED + "more: &a [*a]\n"),
    "unfolds to a thousand million values": ("x.yaml", _ASKED + "a0: &a0 [1, 2]\n" + _TEN_TIMES),
    "a template of ten thousand million letters": ("x.yaml", _TASK + "doc_to_text: \"{{ 'a' * 10**10 }}\"\n"),
    "a power of thousands of digits": ("x.yaml", _TASK + "doc_to_text: '{{ 10**10000 }}'\n"),
    "shots that are no number": ("x.yaml", _ASKED + "num_fewshot: many\n"),
    "a filter that is none": ("x.yaml", _ASKED + "filter_list: [3]\n"),
    "generation that is none": ("x.yaml", _ASKED + "generation_kwargs: {until: 3}\n"),
    "variables elsewhere": ("x.yaml", "prompts: ['{{a}}']\ntests: [{vars: 'file://y', assert: [{type: is-json}]}]\n"),
    "a threshold that is no number": (
        "x.yaml", "prompts: ['{{a}}']\ntests: [{vars: {a: b}, assert: [{type: latency, threshold: soon}]}]\n"
    ),
    "a weight that is no number": (
        "x.yaml", "prompts: ['{{a}}']\ntests: [{vars: {a: b}, assert: [{type: is-json, weight: heavy}]}]\n"
    ),
    "tests without an end": (
        "x.yaml", f"prompts: ['p']\ntests: [{{vars: {{a: {[*range(999)]}, b: {[*range(999)]}, c: {[*range(999)]}}}}}]\n"
    ),
    "choices that are half a list": ("x.csv", 'input,target,choices\n1,A,"[a|b"\n'),
}  # fmt: skip


@pytest.mark.parametrize("wrong", _WRONG)
def test_a_task_that_cannot_be_is_an_error_of_the_task(tmp_path, wrong):
    name, text = _WRONG[wrong]
    (tmp_path / "t.jsonl").write_text('{"input": "1", "target": "2"}\n')
    (tmp_path / name).write_text(text)

    with pytest.raises(BadTask):
        [list(task.dataset) for task in read_tasks(tmp_path / name)]


def test_a_place_before_the_first_choice_is_no_choice():
    sample = Sample("0", "1", -1, ("a", "b"))

    with pytest.raises(BadTask, match="none of its 2 choices"):
        target_letter(sample)
