"""Files with an entry for each machine: written in one step, together with others, and never over what is newer."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from weighbridge.by_machine import MachineFile
from weighbridge.locks import locked

FILE = MachineFile("figures.json", format=2, most_machines=3)


def test_entries_that_are_written_at_once_are_all_kept(tmp_path):
    wide = MachineFile("figures.json", format=2, most_machines=64)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: wide.keep(tmp_path, f"machine {number}", {"rate": number}), range(40)))

    assert wide.read(tmp_path) == ({f"machine {number}": {"rate": number} for number in range(40)}, None)
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]


def test_of_many_machines_the_last_written_are_kept(tmp_path):
    for name in ("one", "two", "three", "one", "four"):
        FILE.keep(tmp_path, name, {})

    assert list(FILE.read(tmp_path)[0]) == ["three", "one", "four"]


def test_a_file_of_a_later_release_is_neither_read_nor_written_over(tmp_path):
    text = json.dumps({"format": 3, "machines": {"here": {}}})
    (tmp_path / FILE.name).write_text(text)
    entries, trouble = FILE.read(tmp_path)
    with pytest.raises(OSError, match="format 3, expected 2"):
        FILE.keep(tmp_path, "here", {})

    assert not entries
    assert "format 3" in trouble
    assert (tmp_path / FILE.name).read_text() == text


@pytest.mark.parametrize("text", ["", "[]", '{"format": 2}', "[" * 100_000, '{"format": 1, "machines": {}}'])
def test_a_file_that_is_none_is_left_aside_with_a_word_and_then_written_anew(tmp_path, text):
    (tmp_path / FILE.name).write_text(text)
    entries, trouble = FILE.read(tmp_path)
    FILE.keep(tmp_path, "here", {"rate": 1})

    assert not entries
    assert "left aside" in trouble
    assert FILE.read(tmp_path) == ({"here": {"rate": 1}}, None)


def test_a_file_larger_than_any_that_we_wrote_is_not_read(tmp_path):
    with (tmp_path / FILE.name).open("wb") as file:
        file.write(b'{"format": 2, "machines": {"here": {}}}')
        file.truncate(8 << 20)

    assert "larger" in FILE.read(tmp_path)[1]


def test_who_does_not_wait_is_told_that_another_writes(tmp_path):
    with locked(tmp_path), pytest.raises(BlockingIOError):
        FILE.keep(tmp_path, "here", {}, waits=False)

    assert FILE.read(tmp_path) == ({}, None)
