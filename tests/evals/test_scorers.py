"""Each scorer on answers as models give them."""

from __future__ import annotations

import asyncio
import gzip
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import SHARED
from weighbridge.errors import BadTask
from weighbridge.evals import Answer, Sample
from weighbridge.evals.sandbox import run_locked
from weighbridge.evals.sandbox.seccomp import is_possible, program
from weighbridge.evals.score import make_scorer, scorer_names
from weighbridge.evals.scorers.numeric import number

DATA = SHARED / "data" / "evals"


def scored(name, text, target, sample=None, calls=(), **options):
    sample = sample or Sample("s", "question", target)
    return asyncio.run(make_scorer(name, options).score(sample, Answer(text, calls)))


@pytest.mark.parametrize(
    ("name", "text", "target", "options", "value"),
    [
        ("exact", " Paris\n", "Paris", {}, 1),
        ("exact", "paris", "Paris", {}, 0),
        ("exact", "paris.", "Paris", {"ignore_case": True, "ignore_punctuation": True}, 1),
        ("exact", "Rome", ["Paris", "Rome"], {}, 1),
        ("exact", "1", 1, {}, 1),
        ("includes", "It is PARIS, of course", "paris", {}, 1),
        ("includes", "a b", ["a", "c"], {}, 1),
        ("includes", "a b", ["a", "c"], {"needs_all": True}, 0),
        ("regex", "x = 4, so #### 12", "12", {"pattern": "#### (.+)"}, 1),
        ("regex", "no mark", "12", {"pattern": "#### (.+)"}, 0),
        ("regex", "abc", "^a.c$", {"matches_target": True}, 1),
        ("numeric", "It costs $1,234.50 in all.", "1234.5", {}, 1),
        ("numeric", "3 apples and 4 pears: the answer is 7. Not 8", "7", {}, 1),
        ("numeric", "\\boxed{-3/4}", "-0.75", {}, 1),
        ("numeric", "3.14", "3.14159", {"tolerance": 0.01}, 1),
        ("numeric", "3.14", "3.14159", {}, 0),
        ("numeric", "none", "3", {}, 0),
        ("numeric", "18", "He has 16 - 3 ... #### 18", {}, 1),
        ("json_match", '```json\n{"a": 1.0, "b": " x ", "c": 3}\n```', {"a": 1, "b": "x"}, {}, 1),
        ("json_match", 'Here: {"a": 2, "b": "x"}', {"a": 1, "b": "x"}, {"partial": True}, 0.5),
        ("json_match", '{"a": 1, "c": 3}', {"a": 1}, {"exact_fields": True}, 0),
        ("json_match", '{"a": true}', {"a": 1}, {}, 0),
        ("json_schema", '{"a": 1}', None, {"schema": {"type": "object", "required": ["a"]}}, 1),
        ("json_schema", "[]", None, {"schema": {"type": "object", "required": ["a"]}}, 0),
        ("filtered", "The answer is #### 1,200.", "1200", {
            "filters": {"s": [{"function": "regex", "regex_pattern": r"#### ([\d,.]+)"}, {"function": "take_first"}]},
            "regexes_to_ignore": [",", r"\.$"]}, 1),
    ],
)  # fmt: skip
def test_answers_are_scored(name, text, target, options, value):
    assert scored(name, text, target, **options).value == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("B", "B"), ("(b)", "B"), ("b", "B"), ("The answer is C.", "C"), ("**A**", "A"), ("A) red", "A"),
        ("I think it is green", "C"), ("answer: **D**", "D"), ("red or green", None), ("a dog has a tail", None),
        ("Answer: A is wrong. The answer is B", "B"), ("\\boxed{C}", "C"), ("E", None),
    ],
)  # fmt: skip
def test_the_letter_of_a_choice_is_found(text, said):
    sample = Sample("s", "which?", "B", ("red", "blue", "green", "grey"))
    found = scored("choice", text, None, sample)

    assert found.answer == said
    assert found.value == (said == "B")


@pytest.mark.parametrize("target", ["b", "(B)", "blue", 1, "1"])
def test_the_right_choice_may_be_named_in_any_way(target):
    assert scored("choice", "B", None, Sample("s", "?", target, ("red", "blue"))).value == 1


@given(st.text(max_size=200))
@settings(max_examples=100, deadline=None)
def test_no_answer_breaks_a_scorer(text):
    number(text)
    for name, sample in (
        ("choice", Sample("s", "?", "A", ("x", "y"))),
        ("json_match", Sample("s", "?", {"a": 1})),
        ("includes", Sample("s", "?", "x")),
    ):
        assert 0 <= scored(name, text, None, sample).value <= 1


def call(name, arguments):
    return {"function": {"name": name, "arguments": json.dumps(arguments)}}


@pytest.mark.parametrize(
    ("calls", "target", "options", "value"),
    [
        ([call("f", {"x": 1})], {"name": "f", "arguments": {"x": 1.0}}, {}, 1),
        ([call("f", {"x": 2})], {"name": "f", "arguments": {"x": 1}}, {}, 0),
        ([call("f", {"x": 2})], {"name": "f", "arguments": {"x": 1}}, {"names_only": True}, 1),
        ([call("g", {}), call("f", {})], [{"name": "f"}, {"name": "g"}], {}, 1),
        ([call("g", {}), call("f", {})], [{"name": "f"}, {"name": "g"}], {"in_order": True}, 0),
        ([call("f", {"x": 5})], [{"f": {"x": [5, 6], "unit": ["", "cm"]}}], {}, 1),
        ([call("f", {"x": 5, "z": 1})], [{"f": {"x": [5, 6]}}], {}, 0),
        ([], [], {}, 1),
        ([call("f", {})], [], {}, 0),
        ([{"function": {"name": "f", "arguments": "{broken"}}], {"name": "f", "arguments": {}}, {}, 0),
    ],
)
def test_tool_calls_are_compared_by_name_and_arguments(calls, target, options, value):
    assert scored("tool_call", "", target, None, tuple(calls), **options).value == value


@pytest.mark.skipif(not (DATA / "bfcl").exists(), reason="BFCL is not in this clone")
def test_bfcls_own_possible_answers_are_right():
    answers = (DATA / "bfcl" / "possible_answer" / "BFCL_v4_parallel.json").read_text().splitlines()
    for line in answers[:50]:
        truth = json.loads(line)["ground_truth"]
        calls = tuple(
            call(name, {key: values[0] for key, values in arguments.items() if values[0] != ""})
            for each in truth
            for name, arguments in each.items()
        )
        assert scored("tool_call", "", truth, None, calls).value == 1


@pytest.mark.skipif(not (DATA / "gsm8k").exists(), reason="GSM8K is not in this clone")
def test_numbers_are_taken_from_answers_as_gsm8ks_authors_took_them():
    with (DATA / "gsm8k" / "example_model_solutions.jsonl").open() as file:
        rows = [json.loads(line) for line in file]
    with (DATA / "gsm8k" / "test.jsonl").open() as file:
        samples = [Sample(str(at), "?", json.loads(line)["answer"]) for at, line in enumerate(file)]
    scorer = make_scorer("numeric", {})

    async def differing():
        return [
            row[system]["solution"]
            for row, sample in zip(rows, samples, strict=True)
            for system in ("6b_finetuning", "175b_verification")
            if bool((await scorer.score(sample, Answer(row[system]["solution"]))).value) != row[system]["is_correct"]
        ]

    assert asyncio.run(differing()) == []


SAMPLE = Sample(
    "s", "def double(x):\n", None, metadata={"entry_point": "double", "test": "def check(f):\n    assert f(2) == 4\n"}
)


@pytest.mark.skipif(not is_possible(), reason="this system has no seccomp")
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("```python\ndef double(x):\n    return 2 * x\n```", 1),
        ("    return 2 * x\n", 1),
        ("```python\ndef double(x):\n    return 3 * x\n```", 0),
        ("def double(x):\n    import os\n    os._exit(0)\n", 0),
    ],
)
def test_code_is_right_where_it_passes_the_tests(text, value):
    assert scored("unit_tests", text, None, SAMPLE).value == value


@pytest.mark.skipif(not is_possible(), reason="this system has no seccomp")
def test_code_cannot_reach_network_files_processes_or_much_memory(tmp_path):
    kept = tmp_path / "kept.txt"
    kept.write_text("mine")
    attempts = {
        "import socket; socket.socket()": "Operation not permitted",
        f"open({str(tmp_path / 'new')!r}, 'w')": "Operation not permitted",
        f"open({str(kept)!r}, 'r+')": "Operation not permitted",
        f"import os; os.unlink({str(kept)!r})": "Operation not permitted",
        f"import os; os.rename({str(kept)!r}, '/tmp/gone')": "Operation not permitted",
        "import os; os.fork()": "Operation not permitted",
        "import subprocess; subprocess.run(['true'])": "Operation not permitted",
        "import os; os.kill(os.getppid(), 9)": "Operation not permitted",
        "bytearray(4 << 30)": "out of memory",
        "raise SystemExit(0)": "SystemExit",
        "while True: pass": "not done within 1 s",
        # Into the pipe by which the child tells how it ended: no word of its own, and nothing that ends the run.
        "import os\nfor fd in range(3, 64):\n  try: os.write(fd, b'[' * 60_000)\n  except OSError: pass\nos._exit(0)": (
            "left early"
        ),
    }

    async def all_at_once():
        return await asyncio.gather(*(run_locked(code, 1 if "while" in code else 20, 1 << 30) for code in attempts))

    begun = time.monotonic()
    for ended, (code, why) in zip(asyncio.run(all_at_once()), attempts.items(), strict=True):
        assert not ended.passed
        assert why in ended.why, (code, ended)
    assert kept.read_text() == "mine"
    assert not (tmp_path / "new").exists()
    assert time.monotonic() - begun < 60


def test_code_that_ends_itself_by_a_signal_without_a_name_is_a_failure_of_its_own():
    ended = asyncio.run(run_locked("import os; os.kill(os.getpid(), 40)", 20, 1 << 30, locked=False))

    assert not ended.passed
    assert ended.why == "ended by signal 40"


def test_the_filter_is_made_for_both_architectures():
    for machine in ("x86_64", "aarch64"):
        assert len(program(machine)) % 8 == 0
        assert len(program(machine)) // 8 < 4096


@pytest.mark.skipif(not (DATA / "humaneval").exists() or not is_possible(), reason="HumanEval is not in this clone")
def test_humanevals_own_solutions_pass_and_their_absence_does_not():
    with gzip.open(DATA / "humaneval" / "HumanEval.jsonl.gz", "rt") as file:
        problems = [json.loads(line) for line in file][::16]

    async def all_scores():
        scorer = make_scorer("unit_tests", {})
        samples = [Sample(each["task_id"], each["prompt"], None, metadata=each) for each in problems]
        solved = [scorer.score(sample, Answer(sample.metadata["canonical_solution"])) for sample in samples]
        empty = [scorer.score(sample, Answer("    pass\n")) for sample in samples]
        return await asyncio.gather(*solved), await asyncio.gather(*empty)

    solved, empty = asyncio.run(all_scores())
    assert [score.value for score in solved] == [1.0] * len(problems)
    assert sum(score.value for score in empty) == 0


def test_a_wrong_scorer_or_option_says_what_there_is():
    with pytest.raises(BadTask, match="no scorer is named 'exakt'") as caught:
        make_scorer("exakt", {})
    assert "numeric" in caught.value.hint
    with pytest.raises(BadTask, match="toleranz"):
        make_scorer("numeric", {"toleranz": 1})
    with pytest.raises(BadTask, match="has no target"):
        scored("exact", "x", None)
    assert {"exact", "choice", "judge", "unit_tests"} <= set(scorer_names())


def test_a_schema_is_never_fetched():
    with pytest.raises(BadTask, match="points elsewhere"):
        scored("json_schema", "{}", None, schema={"$ref": "http://127.0.0.1:9/schema.json"})
