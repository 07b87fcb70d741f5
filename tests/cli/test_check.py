"""`weigh check` from outside: a sentence, a page, several pages, and what stands in the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from weighbridge.cli import main


def run_weigh(*arguments, state, stdin=None):
    return subprocess.run(
        [sys.executable, "-m", "weighbridge", "check", *arguments],
        capture_output=True,
        text=True,
        check=False,
        input=stdin,
        env={**os.environ, "WEIGHBRIDGE_STATE_DIR": str(state), "COLUMNS": "80"},
    )


@pytest.fixture
def weigh(tmp_path, monkeypatch, capsys):
    """The command in this process: (exit code, what it printed)."""
    monkeypatch.setenv("WEIGHBRIDGE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments):
        code = main(["check", *arguments])
        return code, capsys.readouterr()

    return run


def test_a_sentence_is_refuted_with_the_file_and_keys_that_prove_it(tmp_path):
    done = run_weigh("DeepSeek V3 has 400B parameters with 50B active", "--json", state=tmp_path)

    assert done.returncode == 0, done.stderr
    by_field = {entry["field"]: entry for entry in json.loads(done.stdout)}
    for field, value in (("parameters_total", 400_000_000_000), ("parameters_active", 50_000_000_000)):
        entry = by_field[field]
        assert (entry["verdict"], entry["value"], entry["subject"]) == ("refuted", value, "DeepSeek V3")
        assert "config.json of deepseek-ai/DeepSeek-V3" in entry["evidence"][0]["source"]
        assert "n_routed_experts=256" in entry["evidence"][0]["key"]


def test_memory_is_refuted_with_the_sum(weigh):
    code, said = weigh("Llama 4 Scout fits a single 48 GB GPU at Q4", "--strict")

    assert code == 1
    assert "weights at 4.5 bits x 108.2e9 / 8 = 60.88 GB" in " ".join(said.out.split())
    assert max(map(len, said.out.splitlines())) <= 80


def test_each_claim_has_the_keys_of_the_contract_and_its_exact_words(weigh, tmp_path):
    text = "# News\n\nGLM-5.1 is under the MIT license. Qwen3-72B was released. Kimi K9 has 5B parameters.\n"
    page = tmp_path / "post.md"
    page.write_text(text)

    code, said = weigh(str(page), "--json", "--published", "2026-05-01")

    entries = json.loads(said.out)
    keys = "subject field value unit qualifier quote start end verdict evidence".split()
    assert code == 0
    assert entries
    assert all(set(keys) <= set(entry) for entry in entries)
    assert {entry["verdict"] for entry in entries} <= {"supported", "refuted", "expired", "prediction", "unverifiable"}
    assert {(e["field"], e["verdict"]) for e in entries} >= {("licence", "supported"), ("exists", "refuted")}
    assert all(entry["published"] == "2026-05-01" for entry in entries)


def test_html_is_read_and_several_pages_are_set_against_each_other(weigh, tmp_path):
    first, second = tmp_path / "one.html", tmp_path / "two.txt"
    first.write_text("<html><body><article><p>DeepSeek V3 has 671B total parameters.</p></article></body></html>")
    second.write_text("DeepSeek V3 has 400B total parameters, says this note.\n")

    _, said = weigh(str(first), str(second))

    assert "contradictions" in said.out
    assert "refuted      DeepSeek V3: 400B parameters" in said.out


def test_a_folder_is_read_as_its_pages(weigh, tmp_path):
    vault = tmp_path / "vault"
    (vault / ".obsidian").mkdir(parents=True)
    (vault / "One.md").write_text("DeepSeek V3 has 400B parameters.", encoding="utf-8")
    (vault / "Two.txt").write_text("DeepSeek V3 has 671B parameters.", encoding="utf-8")
    (vault / "Ours.md").write_text("---\nweighbridge: digest\n---\nQwen3-8B has 9B.", encoding="utf-8")
    (vault / ".obsidian" / "app.md").write_text("Qwen3-8B has 9B.", encoding="utf-8")
    (vault / "Broken.txt").write_bytes(b"\x00\x01" * 50)

    code, printed = weigh(str(vault))

    assert code == 0
    assert "400B" in printed.out
    assert "contradictions" in printed.out
    assert "Qwen3-8B" not in printed.out
    assert "Broken.txt" in printed.err


def test_a_page_comes_over_stdin_and_what_claims_nothing_says_so(tmp_path):
    done = run_weigh("-", state=tmp_path, stdin="Nothing is said here of anything.\n")

    assert done.returncode == 0
    assert "no claim about a model was found" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["not-there.md"], "is no file"),
        ([""], "nothing to check"),  # as of a variable that is not set: no reason to read the folder that we are in
        (["Qwen3 has 8B parameters", "--published", "soon"], "is no day"),
    ],
)
def test_what_cannot_be_checked_says_how_to_mend_it(weigh, arguments, what):
    code, said = weigh(*arguments)

    assert code == 1
    assert what in said.err


def test_a_file_that_was_read_settles_what_is_said_of_it(weigh, tmp_path, tiny_gguf, capsys):
    path = tiny_gguf()
    main(["facts", str(path), "--json"])
    facts = json.loads(capsys.readouterr().out)

    from weighbridge.digest.knowledge import Knowledge
    from weighbridge.digest.knowledge.own import recall
    from weighbridge.digest.record import Record
    from weighbridge.store import Store

    with Store(tmp_path / "state") as store:
        own = recall(Record(store))
    told = {fact.field: fact.value for fact in Knowledge(own=own).reports(Knowledge(own=own).meant(facts["name"]))}
    assert told["parameters_total"] == facts["parameters"]["total"]
