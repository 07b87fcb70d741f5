"""Results of other harnesses get the same statistics."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib

import pytest

from weighbridge.errors import BadTask
from weighbridge.evals import report, table
from weighbridge.evals.imports import read_results


def lm_eval(folder, model, right, filters=("none",)):
    path = folder / model / "samples_gsm8k_2026-11-21T10-00-00.123456.jsonl"
    path.parent.mkdir(parents=True)
    lines = [
        {"doc_id": at, "doc": {}, "target": "4", "arguments": {"gen_args_0": {"arg_0": f"q{at}", "arg_1": {}}},
         "resps": [["4"]], "filtered_resps": ["4"], "filter": name, "metrics": ["exact_match"],
         "exact_match": float(value)}
        for name in filters for at, value in enumerate(right)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_two_lm_eval_results_are_compared_in_pairs(tmp_path):
    right = [at % 10 < 8 for at in range(100)]
    better = [*right[:60], *[True] * 40]
    logs = [
        *read_results(lm_eval(tmp_path, "org__a", right)),
        *read_results(lm_eval(tmp_path, "org__b", better)),
    ]
    [found] = report(logs)

    assert [(result.model, result.estimate.value) for result in found.results] == [("org/b", 0.88), ("org/a", 0.80)]
    assert found.comparisons[0].difference.p_value == pytest.approx(2 * 0.5**8)
    assert found.comparisons[0].better == "org/b"
    assert found.verdict.startswith("org/b is the best of 2")
    assert next(logs[0].rows()).input == "q0"


def test_chance_is_told_of_the_models_that_are_not_told_apart(tmp_path):
    right = [at % 10 < 8 for at in range(100)]
    near = [*right[:97], *(not value for value in right[97:])]
    logs = [
        log
        for name, outcomes in (("a", right), ("b", near), ("none", [False] * 100))
        for log in read_results(lm_eval(tmp_path, name, outcomes))
    ]
    [found] = report(logs)

    assert found.verdict.startswith("the data do not rank ")
    assert found.verdict.endswith("samples")
    assert "worse beyond chance: none" in found.verdict
    assert found.compared == 2
    # Three samples of a hundred apart, and not the eighty that lie between them and the last one.
    assert found.detectable == pytest.approx(2.8 * (0.03 / 100) ** 0.5, rel=0.01)
    assert found.chance_gain == pytest.approx(0.564 * (0.03 / 100 / 2) ** 0.5, rel=0.01)


def test_each_filter_of_lm_eval_is_a_task(tmp_path):
    logs = read_results(lm_eval(tmp_path, "m", [True, False], ("strict-match", "flexible-extract")))

    assert [log.head.task for log in logs] == ["gsm8k (strict-match)", "gsm8k (flexible-extract)"]


def inspect_log(path, samples):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps({"version": 2, "eval": {"task": "sums", "model": "openai/x"}}))
        for at, sample in enumerate(samples):
            archive.writestr(f"samples/{at}_epoch_1.json", json.dumps({"id": at, "epoch": 1, "input": "q", **sample}))
    return path


def scored(value, stop="stop"):
    return {"scores": {"match": {"value": value, "answer": "x"}}, "output": {"choices": [{"stop_reason": stop}]}}


def test_inspects_logs_are_read_and_what_was_cut_off_is_not_scored(tmp_path):
    samples = [scored("C"), scored("I"), scored("C", "max_tokens"), {"error": {"message": "boom"}}, scored(0.5)]
    [log] = read_results(inspect_log(tmp_path / "a.eval", samples))
    [result] = report([log])[0].results

    assert (log.head.model, log.head.task) == ("openai/x", "sums")
    assert (result.estimate.value, result.estimate.n) == (0.5, 3)
    assert (result.counts["truncated"], result.counts["error"]) == (1, 1)
    assert (result.bounds.low, result.bounds.high) == pytest.approx((1.5 / 5, 3.5 / 5))


def pack_by_zstandard(path, entries, damaged=False):
    """A ZIP as Inspect writes it since 2026: method 93, which Python's own zipfile neither writes nor reads."""
    zstandard = pytest.importorskip("zstandard")
    body, central = b"", b""
    for name, content in entries.items():
        raw, packed = content.encode(), zstandard.ZstdCompressor().compress(content.encode())
        checksum = zlib.crc32(raw) ^ damaged
        fields = struct.pack("<HHHHHIIIHH", 63, 0, 93, 0, 0, checksum, len(packed), len(raw), len(name), 0)
        central += b"PK\1\2" + struct.pack("<H", 63) + fields + struct.pack("<HHHII", 0, 0, 0, 0, len(body))
        central += name.encode()
        body += b"PK\3\4" + fields + name.encode() + packed
    end = struct.pack("<HHHHIIH", 0, 0, len(entries), len(entries), len(central), len(body), 0)
    path.write_bytes(body + central + b"PK\5\6" + end)
    return path


@pytest.mark.parametrize("damaged", [False, True])
def test_inspects_logs_are_read_as_it_packs_them_now(tmp_path, damaged):
    head = {"version": 2, "eval": {"task": "sums", "model": "openai/x"}}
    entries = {"header.json": json.dumps(head)} | {
        f"samples/{at}_epoch_1.json": json.dumps({"id": at, "epoch": 1, "input": "q", **scored("CCI"[at])})
        for at in range(3)
    }
    path = pack_by_zstandard(tmp_path / "a.eval", entries, damaged)
    if damaged:
        with pytest.raises(BadTask, match="damaged"):
            read_results(path)
        return
    [log] = read_results(path)

    assert list(log.outcomes.scores) == [1, 1, 0]


def test_inspects_epochs_are_clusters(tmp_path):
    path = tmp_path / "a.eval"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", json.dumps({"eval": {"task": "t", "model": "m"}}))
        for at in range(6):
            sample = {"id": at // 2, "epoch": at % 2 + 1, **scored("C" if at < 3 else "I")}
            archive.writestr(f"samples/{at}.json", json.dumps(sample))
    [log] = read_results(path)

    assert report([log])[0].results[0].estimate.clusters == 3


def test_promptfoos_errors_do_not_count_as_wrong(tmp_path):
    results = [
        {"promptIdx": 0, "testIdx": at, "vars": {"q": at}, "provider": {"id": "openai:x", "label": "x"},
         "response": {"output": "o", "tokenUsage": {"completion": 3}}, "success": at < 2, "score": float(at < 2),
         "failureReason": (0, 0, 1, 2)[at], "latencyMs": 100}
        for at in range(4)
    ]  # fmt: skip
    path = tmp_path / "out.json"
    path.write_text(json.dumps({"evalId": "e", "results": {"version": 3, "results": results}, "config": {}}))
    [log] = read_results(path)
    [result] = report([log])[0].results

    assert (log.head.model, result.estimate.n, result.counts["error"]) == ("x", 3, 1)
    assert result.estimate.value == pytest.approx(2 / 3)
    assert result.cost.seconds_median == pytest.approx(0.1)


def test_evalplus_has_a_task_for_its_base_and_one_for_its_plus_tests(tmp_path):
    path = tmp_path / "model-a_eval_results.json"
    solutions = {
        f"HumanEval/{at}": [{"solution": "s", "base_status": "pass", "plus_status": "pass" if at % 2 else "fail"}]
        for at in range(10)
    }
    path.write_text(json.dumps({"date": "d", "hash": "h", "eval": solutions}))
    base, plus = read_results(path)

    assert [(row.task, row.score) for row in table([base, plus])] == [("HumanEval base", 1.0), ("HumanEval plus", 0.5)]
    assert base.head.model == "model-a"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x_eval_results.json", '{"eval": {"a": [{}]}}'),
        ("x.json", '{"evalId": 1}'),
        ("x.jsonl", '{"doc_id": 0, "resps": []}\n'),
        ("x.jsonl", '{"other": 1}\n'),
        ("x.eval", "no zip"),
        ("x.json", ""),
    ],
)
def test_what_is_no_result_is_said_with_its_file(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(BadTask, match=name):
        read_results(tmp_path / name)
