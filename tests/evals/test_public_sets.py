"""Whole runs over public sets, with the answers that real systems or the sets' authors gave.

A server of ours gives the answers that the sets hold, so that each run's score is known. The sets are large and not
ours; where they are not beside this clone, these tests are skipped and say so.
"""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.conftest import SHARED
from weighbridge.evals import Manner, Target, read_task, report, run
from weighbridge.evals.formats import plain
from weighbridge.evals.imports import read_results
from weighbridge.evals.log import EvalLog
from weighbridge.evals.race import race
from weighbridge.evals.sandbox.seccomp import is_possible
from weighbridge.evals.task import Generation, Task

DATA = SHARED / "data" / "evals"
SYSTEMS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")


def needs(name):
    return pytest.mark.skipif(not (DATA / name).exists(), reason=f"{name} is not beside this clone (shared/data/evals)")


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def task_of(tmp_path, rows, scorer, prompt="{input}", **options):
    path = tmp_path / "task.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Task("task", plain.dataset_of(path), scorer, options, Generation(), prompt=prompt)


def answered(server, tmp_path, answers):
    """A server that answers by model and question."""
    path = tmp_path / "answers.json"
    path.write_text(json.dumps(answers))
    return server(answers=path, gap=0)


def asked(task, mock, tmp_path, *models) -> list[EvalLog]:
    return [
        asyncio.run(run(task, Target(mock.url, model), tmp_path / "logs", Manner(16))).log for model in models or ("a",)
    ]


@needs("gsm8k")
def test_four_systems_on_gsm8k_score_what_their_authors_counted_and_are_ranked_as_far_as_told(server, tmp_path):
    rows = lines(DATA / "gsm8k" / "example_model_solutions.jsonl")[:330]
    answers = {
        name: {row["question"]: row[name]["solution"].replace("\nA: ", "\n#### ") for row in rows} for name in SYSTEMS
    }
    truths = [row["ground_truth"].replace("\nA: ", "\n#### ") for row in rows]
    questions = [row["question"] for row in rows]
    pairs = [{"question": question, "answer": truth} for question, truth in zip(questions, truths, strict=True)]
    task = task_of(tmp_path, pairs, "numeric")
    mock = answered(server, tmp_path, answers)
    logs = asked(task, mock, tmp_path, *SYSTEMS)
    for log in logs:
        theirs = [float(row[log.head.model]["is_correct"]) for row in rows]
        # Their authors took some answers otherwise than by the last number: no more than one in a hundred.
        assert sum(mine != their for mine, their in zip(log.outcomes.scores, theirs, strict=True)) <= len(rows) // 100
    [found] = report(logs)

    assert found.advice.use == ("175b_verification",)
    assert found.advice.is_sure
    assert [result.model for result in found.results][-1] == "6b_finetuning"

    targets = [Target(mock.url, name, name=name) for name in SYSTEMS]
    raced = asyncio.run(race(task, targets, tmp_path / "raced", Manner(16)))
    assert raced.beaten["6b_finetuning"].samples < len(rows)
    assert "175b_verification" not in raced.beaten


@needs("mbpp")
@pytest.mark.skipif(not is_possible(), reason="this system has no seccomp to run code in")
def test_mbpps_own_solutions_pass_its_tests_and_the_prompt_shows_them(server, tmp_path):
    rows = [{**row, "input": row.pop("text")} for row in lines(DATA / "mbpp" / "mbpp.jsonl")[10:60:5]]
    prompt = "{input}\nIt must pass:\n{test_list}"
    task = task_of(tmp_path, rows, "unit_tests", prompt, timeout_seconds=20)
    assert plain.suggested_scorer(next(iter(task.dataset))) == "unit_tests"
    sent = [task.messages(sample)[0]["content"] for sample in task.dataset]
    assert sent[0].endswith("\n".join(rows[0]["test_list"]))
    answers = {"a": {question: f"```python\n{row['code']}\n```" for question, row in zip(sent, rows, strict=True)}}
    [log] = asked(task, answered(server, tmp_path, answers), tmp_path)

    assert list(log.outcomes.scores) == [1.0] * len(rows)


@needs("humaneval")
@pytest.mark.skipif(not is_possible(), reason="this system has no seccomp to run code in")
def test_humaneval_is_read_as_it_is_and_scored_by_its_tests(server, tmp_path):
    task = read_task(DATA / "humaneval" / "HumanEval.jsonl.gz")
    samples = list(task.dataset)[:6]
    assert task.scorer == "unit_tests"
    right = {sample.question: sample.metadata["canonical_solution"] for sample in samples[:4]}
    mock = answered(server, tmp_path, {"a": right})
    log = asyncio.run(run(task, Target(mock.url, "a"), tmp_path / "logs", Manner(4, limit=6))).log

    assert list(log.outcomes.scores) == [1.0] * 4 + [0.0] * 2


@needs("bbh")
def test_bbhs_tasks_are_clusters_that_widen_the_interval(server, tmp_path):
    rows, answers = [], {}
    for name, is_right in (("navigate", True), ("web_of_lies", False), ("boolean_expressions", True)):
        for each in json.loads((DATA / "bbh" / "bbh" / f"{name}.json").read_text())["examples"][:40]:
            rows.append({**each, "cluster": name})
            answers[each["input"]] = f"So the answer is {each['target'] if is_right else 'unknown'}."
    task = task_of(tmp_path, rows, "regex", pattern=r"the answer is (.*)\.")
    [found] = report(asked(task, answered(server, tmp_path, {"a": answers}), tmp_path))
    [result] = found.results

    assert result.estimate.value == pytest.approx(2 / 3)
    assert result.estimate.clusters == 3
    assert result.estimate.interval.high - result.estimate.interval.low > 0.9
    assert {row.cluster: row.score for row in found.by_cluster} == {
        "navigate": 1.0, "web_of_lies": 0.0, "boolean_expressions": 1.0
    }  # fmt: skip


@needs("bfcl")
def test_bfcls_tools_are_sent_and_its_allowed_values_are_right(server, tmp_path):
    questions = lines(DATA / "bfcl" / "BFCL_v4_simple_python.json")[:20]
    truths = lines(DATA / "bfcl" / "possible_answer" / "BFCL_v4_simple_python.json")
    rows, answers = [], {}
    for at, (each, truth) in enumerate(zip(questions, truths, strict=False)):
        tools = [{"type": "function", "function": {**function, "parameters": {}}} for function in each["function"]]
        messages = each["question"][0]
        rows.append({"messages": messages, "tools": tools, "target": truth["ground_truth"]})
        [(name, allowed)] = truth["ground_truth"][0].items()
        arguments = {key: values[0] for key, values in allowed.items() if at % 2 == 0 or key != next(iter(allowed))}
        answers[messages[-1]["content"]] = [{"function": {"name": name, "arguments": json.dumps(arguments)}}]
    task = task_of(tmp_path, rows, "tool_call")
    [log] = asked(task, answered(server, tmp_path, {"a": answers}), tmp_path)

    assert list(log.outcomes.scores) == [float(at % 2 == 0) for at in range(20)]


@needs("ifeval")
def test_ifevals_verdicts_get_the_same_statistics_when_they_come_as_results(tmp_path):
    """Its checks are programs of its own; what they found is taken as lm-eval writes it, strict and loose in pairs."""
    logs = []
    for kind in ("strict", "loose"):
        verdicts = lines(DATA / "ifeval" / f"gpt4_expected_{kind}.jsonl")
        rows = [
            {"doc_id": at, "prompt_level_strict_acc": float(each["follow_all_instructions"]), "resps": [["-"]]}
            for at, each in enumerate(verdicts)
        ]
        path = tmp_path / kind / "samples_ifeval_2026-11-21T10-00-00.000000.jsonl"
        path.parent.mkdir()
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        logs += read_results(path)
    [found] = report(logs)
    scores = {result.model: result.estimate.value for result in found.results}

    assert scores["strict"] == pytest.approx(0.772, abs=0.002)
    assert scores["loose"] == pytest.approx(0.796, abs=0.002)
    assert found.comparisons[0].better == "loose"


@needs("mt_bench")
def test_mt_bench_is_judged_in_both_orders(server, tmp_path):
    references = {each["question_id"]: each for each in lines(DATA / "mt_bench" / "reference_answer" / "gpt-4.jsonl")}
    rows = [
        {"input": each["turns"][0], "target": references[each["question_id"]]["choices"][0]["turns"][0],
         "cluster": each["category"]}
        for each in lines(DATA / "mt_bench" / "question.jsonl") if each["question_id"] in references
    ]  # fmt: skip
    # The judge of the mock prefers the longer answer: a very short one loses twice, a very long one wins twice.
    answers = {"a": {row["input"]: "x" if at % 2 else "x" * 50_000 for at, row in enumerate(rows)}}
    judge = server()
    task = task_of(tmp_path, rows, "judge", url=judge.url, model="mock")
    [found] = report(asked(task, answered(server, tmp_path, answers), tmp_path))
    [result] = found.results

    assert result.estimate.n == len(rows) >= 20
    assert result.estimate.value == pytest.approx(len(rows[::2]) / len(rows))
    assert result.agreement == 1.0
