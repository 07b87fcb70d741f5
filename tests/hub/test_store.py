"""The file of state."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import threading

import pytest

from tests.conftest import run_weigh
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


DAMAGED = [b"this is no database" * 100, b"SQLite format 3\0" + b"\xff" * 5000]


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_is_set_aside_and_told_once(content, tmp_path, caplog):
    (tmp_path / FILE_NAME).write_bytes(content)
    with Store(tmp_path) as store:
        assert store.rows("SELECT * FROM models_used") == []
    with Store(tmp_path):
        pass

    (aside,) = tmp_path.glob("*.damaged-*")
    assert aside.read_bytes() == content
    (told,) = [record.getMessage() for record in caplog.records]
    assert FILE_NAME in told
    assert str(aside) in told


def test_a_page_that_is_damaged_in_the_middle_is_found_when_it_is_read(tmp_path, caplog):
    with Store(tmp_path) as store, store.transaction():
        for number in range(2000):
            store.write("INSERT INTO models_used VALUES (?, ?)", (f"acme/model-{number}", 1.0))
    with sqlite3.connect(tmp_path / FILE_NAME) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    content = bytearray((tmp_path / FILE_NAME).read_bytes())
    # The table with all the rows lies at the end.
    content[-40960:-8192] = b"\xff" * 32768
    (tmp_path / FILE_NAME).write_bytes(content)

    assert hub.last_used(tmp_path) == {}
    hub.touch("acme/model", tmp_path)
    assert list(hub.last_used(tmp_path)) == ["acme/model"]
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1


def test_of_many_that_find_it_damaged_one_sets_it_aside(tmp_path):
    (tmp_path / FILE_NAME).write_bytes(DAMAGED[0])
    code = f"from pathlib import Path; from weighbridge import hub; hub.touch('a', Path({str(tmp_path)!r}))"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]

    assert [process.wait(60) for process in processes] == [0, 0, 0, 0]
    assert list(hub.last_used(tmp_path)) == ["a"]
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1


def test_a_damaged_file_stops_no_command(tmp_path):
    (tmp_path / FILE_NAME).write_bytes(DAMAGED[0])
    first = run_weigh("ls", WEIGHBRIDGE_STATE_DIR=str(tmp_path), HF_HOME=str(tmp_path / "hf"))
    second = run_weigh("ls", WEIGHBRIDGE_STATE_DIR=str(tmp_path), HF_HOME=str(tmp_path / "hf"))

    assert (first.returncode, second.returncode) == (0, 0)
    assert "was damaged and lies at" in first.stderr
    assert "was damaged" not in second.stderr


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

    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert len(hub.last_used(tmp_path)) == 120
