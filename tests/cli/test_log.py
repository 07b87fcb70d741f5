"""`weigh log`: the last requests, and the proof that none was changed."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path

import pytest

from tests.ledger.test_ledger import served
from weighbridge.cli import main
from weighbridge.ledger import Ledger, folder_of


@pytest.fixture
def state(tmp_path, monkeypatch) -> Path:
    """A state folder with a ledger of five requests."""
    monkeypatch.setenv("WEIGHBRIDGE_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "100")
    writer = Ledger.open(tmp_path)
    writer.served(served(0))
    writer.served(served(1, model="large", key="alice", layer="rule"))
    writer.served(served(2, status=None, outcome="gone"))
    writer.served(served(3, status=503, outcome="error", error="engine_died"))
    writer.served(served(4, model=None, asked='=cmd|"/C calc"\x1b[31m', status=404, outcome="error"))
    writer.close()
    return tmp_path


def test_the_last_requests_are_a_table(state, capsys):
    assert main(["log"]) == 0
    lines = capsys.readouterr().out.splitlines()

    assert lines[0].split()[:3] == ["time", "model", "route"]
    assert len(lines) == 6
    assert "large" in lines[2]
    assert "client left" in lines[3]
    assert "engine_died" in lines[4]
    assert "\x1b" not in lines[5], "what strangers named it steers no terminal"


@pytest.mark.parametrize(
    ("flags", "ids"),
    [
        (["--model", "large"], ["req_1"]),
        (["--key", "alice"], ["req_1"]),
        (["--errors"], ["req_2", "req_3", "req_4"]),
        (["--since", "1h", "-n", "2"], ["req_3", "req_4"]),
        (["--since", "2030-01-01"], []),
    ],
)
def test_rows_are_chosen(state, capsys, flags, ids):
    assert main(["log", "--json", *flags]) == 0

    assert [row["id"] for row in json.loads(capsys.readouterr().out)] == ids


@pytest.mark.parametrize(("since", "ids"), [("1h", ["req_1"]), ("60m", ["req_1"]), ("3h", ["req_0", "req_1"])])
def test_an_age_is_counted_back_over_midnight_too(tmp_path, monkeypatch, capsys, since, ids):
    monkeypatch.setenv("WEIGHBRIDGE_STATE_DIR", str(tmp_path))
    writer = Ledger.open(tmp_path)
    writer.served(served(0, at=time.time() - 7200))
    writer.served(served(1, at=time.time()))
    writer.close()

    assert main(["log", "--json", "--since", since]) == 0
    assert [row["id"] for row in json.loads(capsys.readouterr().out)] == ids


def test_verify_says_that_nothing_was_changed_and_then_what_was(state, capsys):
    assert main(["log", "head"]) == 0
    head = capsys.readouterr().out.strip()
    assert main(["log", "verify", "--head", head]) == 0
    assert f"head of chain 0: {head}" in capsys.readouterr().out

    (file,) = folder_of(state).glob("0/*.jsonl")
    file.write_bytes(file.read_bytes().replace(b"alice", b"bobby"))
    assert main(["log", "verify"]) == 1
    said = capsys.readouterr().out
    assert said.startswith(f"changed: chain 0, {file.name}, line 3: row 3 no longer says what it said\n")
    assert main(["log", "verify", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["untouched"], found["problems"][0]["line"]) == (False, 3)


def test_a_copy_is_verified_and_a_noted_hash_missed(state, capsys):
    assert main(["log", "verify", "--ledger", str(folder_of(state)), "--head", "ab" * 32]) == 1
    assert "rewritten" in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong",
    [["verify", "--head", "x"], ["--since", "soon"], ["verify", "--ledger", "/nowhere"], ["--ledger", "/nowhere"],
     ["verify", "--format", "csv"], ["--head", "ab" * 32], ["export", "--json"]],
)  # fmt: skip
def test_what_cannot_be_is_told(state, capsys, wrong):
    assert main(["log", *wrong]) == 1
    assert capsys.readouterr().err.startswith("weigh: ")


def test_rows_are_exported_for_other_programs(state, capsys):
    assert main(["log", "export"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["kind"] for row in rows] == ["opened"] + ["request"] * 5
    assert main(["log", "export", "--format", "csv"]) == 0
    table = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["id"] for row in table] == [row["id"] for row in rows[1:]]
    assert table[0]["completion_tokens"] == "34"
    assert table[4]["asked"].startswith("'="), "no spreadsheet takes it for a formula"
