"""The file of state."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import threading

import pytest

from weighbridge import hub
from weighbridge.errors import StateDamaged
from weighbridge.store import FILE_NAME, MIGRATIONS, Store


def test_rows_are_there_for_the_next_who_opens(tmp_path):
    hub.touch("acme/model:Q4_0", tmp_path)

    assert list(hub.last_used(tmp_path)) == ["acme/model:Q4_0"]


def test_an_older_file_is_brought_to_the_newest_layout(tmp_path):
    with Store(tmp_path, ("CREATE TABLE a (x)",)) as store:
        store.write("INSERT INTO a VALUES (1)")
    with Store(tmp_path, ("CREATE TABLE a (x)", "CREATE TABLE b (y); INSERT INTO b SELECT x + 1 FROM a")) as store:
        assert store.rows("SELECT y FROM b") == [(2,)]


def test_a_step_that_fails_leaves_the_file_as_it_was(tmp_path):
    with Store(tmp_path, ("CREATE TABLE a (x)",)):
        pass
    with pytest.raises(sqlite3.OperationalError):
        Store(tmp_path, ("CREATE TABLE a (x)", "CREATE TABLE b (y); CREATE TABLE a (z)"))
    with Store(tmp_path, ("CREATE TABLE a (x)",)) as store:
        assert store.rows("SELECT name FROM sqlite_master") == [("a",)]


def test_a_newer_file_is_left_alone(tmp_path):
    with Store(tmp_path, (*MIGRATIONS, "CREATE TABLE later (x)")):
        pass

    with pytest.raises(StateDamaged, match=f"layout {len(MIGRATIONS) + 1}"):
        Store(tmp_path)


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_told_with_the_way_out(content, tmp_path):
    (tmp_path / FILE_NAME).write_bytes(content)

    with pytest.raises(StateDamaged, match=FILE_NAME) as caught:
        Store(tmp_path)
    assert "move the file away" in caught.value.hint


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(StateDamaged) as caught:
        Store(tmp_path / "file" / "state")
    assert "WEIGHBRIDGE_STATE_DIR" in caught.value.hint


def test_a_change_that_fails_in_the_middle_is_undone(tmp_path):
    with Store(tmp_path) as store:
        with contextlib.suppress(ZeroDivisionError), store.transaction():
            store.write("INSERT INTO models_used VALUES ('a', 1)")
            raise ZeroDivisionError
        assert store.rows("SELECT * FROM models_used") == []


def test_many_writers_wait_for_each_other(tmp_path):
    code = (
        "import sys; from pathlib import Path; from weighbridge import hub\n"
        f"for n in range(20): hub.touch(f'{{sys.argv[1]}}-{{n}}', Path({str(tmp_path)!r}))"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(number)]) for number in range(3)]
    threads = [
        threading.Thread(target=lambda n=n: [hub.touch(f"t{n}-{m}", tmp_path) for m in range(20)]) for n in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [process.wait(30) for process in processes] == [0, 0, 0]
    assert len(hub.last_used(tmp_path)) == 120
