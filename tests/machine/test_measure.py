"""What is measured here is plausible, kept, and read again."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import time

import pytest

from weighbridge import machine
from weighbridge.figures import Basis


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A folder in which one measurement is kept."""
    folder = tmp_path_factory.mktemp("state") / "made when needed"
    machine.measure(folder)
    return folder


def test_memory_is_faster_than_a_disk_and_slower_than_light(cache):
    found = machine.measure(cache).memory

    for figure in (found.bandwidth, found.thread_bandwidth, found.triad_bandwidth):
        assert 5e8 < figure.value < 1e14
        assert figure.basis is Basis.MEASURED
    # One thread is no faster than all, but for the noise of a machine that is shared: a busy one says nothing of that.
    if os.getloadavg()[0] < (os.cpu_count() or 1):
        assert found.thread_bandwidth.value < 1.5 * found.bandwidth.value


def test_the_processor_computes(cache):
    assert 1e8 < machine.measure(cache).processor.flops.value < 1e16


def test_a_second_call_reads_what_the_first_one_kept(cache):
    kept = (cache / "machine.json").stat()
    second = machine.measure(cache)

    assert (cache / "machine.json").stat().st_mtime_ns == kept.st_mtime_ns, "nothing was measured"
    assert machine.detect(cache).memory.bandwidth == second.memory.bandwidth
    assert machine.detect().memory.bandwidth is None


def test_a_kept_figure_tells_its_day(cache):
    kept = json.loads((cache / "machine.json").read_text())["machines"]

    (entry,) = kept.values()
    assert entry["day"] in machine.detect(cache).memory.bandwidth.source


def kept_as(folder, cache, **changes):
    """A folder with what the fixture measured, so changed."""
    kept = json.loads((cache / "machine.json").read_text())
    (name,) = kept["machines"]
    kept["machines"][name] |= changes
    folder.mkdir(exist_ok=True)
    (folder / "machine.json").write_text(json.dumps(kept))
    return folder


def entry_of(folder):
    (entry,) = json.loads((folder / "machine.json").read_text())["machines"].values()
    return entry


def ago(**time):
    return (datetime.datetime.now(datetime.UTC) - datetime.timedelta(**time)).isoformat(timespec="seconds")


def test_a_measurement_says_what_other_programs_did_meanwhile(cache):
    others = entry_of(cache)["others"]

    assert 0 <= others <= 1
    assert f"other programs on {others:.0%}" in machine.detect(cache).memory.bandwidth.source


def test_a_program_beside_is_seen(tmp_path):
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        time.sleep(0.3)
        found = machine.measure(tmp_path)
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()

    assert entry_of(tmp_path)["others"] > 0.15
    assert any("other programs had" in note for note in found.notes)


def test_a_disturbed_measurement_is_due_after_an_hour_and_a_good_one_after_ninety_days(tmp_path, cache):
    here = machine.detect()

    def due(**changes):
        return machine.is_due(kept_as(tmp_path, cache, **changes), here)

    assert not due(others=0.0, tried=ago(days=89), day=ago(days=89)[:10])
    assert due(others=0.0, tried=ago(days=91), day=ago(days=91)[:10])
    assert not due(others=0.6, tried=ago(minutes=59))
    assert due(others=0.6, tried=ago(minutes=61))
    assert due(others=None, tried="", day=ago(days=2)[:10])  # as files of earlier releases
    assert not machine.is_due(tmp_path / "nothing", here)


def test_the_better_of_two_measurements_is_kept(tmp_path, cache):
    """A slower one that was disturbed is not believed, and not tried again at once; a faster one always is."""
    folder = kept_as(tmp_path, cache, read=1e17, thread_read=1e17, others=0.9, tried=ago(days=2))
    machine.measure(folder, again=True)
    entry = entry_of(folder)
    if entry["others"] == 0.9:
        assert entry["read"] == 1e17
        assert not machine.is_due(folder, machine.detect())
    else:
        assert entry["others"] <= 0.15  # a quiet machine: what it says now counts
        assert entry["read"] < 1e17

    folder = kept_as(tmp_path, cache, read=1e3, others=0.9, tried=ago(days=2))
    machine.measure(folder, again=True)
    assert entry_of(folder)["read"] > 1e8


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 1, "machines": 3}', '{"format": 9, "machines": {}}', "[" * 100_000, "\x00"]
)
def test_a_damaged_file_is_as_good_as_none(tmp_path, text):
    (tmp_path / "machine.json").write_text(text)

    assert machine.detect(tmp_path).memory.bandwidth is None


@pytest.mark.parametrize("value", [0, -1, True, "fast", None, 1e300, [1]])
def test_a_rate_that_cannot_be_is_not_believed(tmp_path, cache, value):
    kept = json.loads((cache / "machine.json").read_text())
    for entry in kept["machines"].values():
        entry["read"] = value
    (tmp_path / "machine.json").write_text(json.dumps(kept))

    assert machine.detect(tmp_path).memory.bandwidth is None


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path, cache):
    (tmp_path / "file").write_text("")
    kept = (cache / "machine.json").read_text()
    (tmp_path / "machine.json").write_text(kept)

    assert machine.measure(tmp_path).memory.bandwidth
    assert machine.detect(tmp_path / "file").memory.bandwidth is None


def test_the_disk_is_read_when_asked_and_remembered(tmp_path, cache):
    (tmp_path / "model.gguf").write_bytes(bytes(64 << 20))
    first = machine.measure(cache, models=tmp_path).disk
    second = machine.measure(cache, models=tmp_path).disk

    assert 1e6 < first.read_bandwidth.value < 1e12
    assert second.read_bandwidth == first.read_bandwidth
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]


def test_a_disk_that_cannot_be_read_is_said_so(tmp_path, cache):
    found = machine.measure(cache, models=tmp_path / "nothing here")

    assert found.disk.read_bandwidth is None
    assert "could not be measured" in found.notes[-1]
