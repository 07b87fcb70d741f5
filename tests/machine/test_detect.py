"""`machine.detect()` against what the system's own tools say, and against cgroups made of files."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from tests.growth import costs_at_most
from weighbridge import machine
from weighbridge.machine import memory


def test_the_processor_is_the_one_that_the_system_names():
    processor = machine.detect().processor

    assert processor.usable_threads == len(os.sched_getaffinity(0))
    if "model name" in (text := Path("/proc/cpuinfo").read_text()):
        assert processor.model in text
    if " avx2 " in text:
        assert "AVX2" in processor.instruction_sets


def test_memory_is_within_the_system_and_its_limit():
    found = machine.detect().memory

    assert found.total_bytes == psutil.virtual_memory().total
    assert 0 < found.available_bytes <= found.total_bytes
    if found.cgroup_limit_bytes is not None:
        assert found.available_bytes <= found.cgroup_limit_bytes


@pytest.mark.parametrize("version", [1, 2])
def test_the_tightest_group_above_us_limits_us(tmp_path, monkeypatch, version):
    root = tmp_path / "cgroup"
    limit, usage, base = (
        ("memory.max", "memory.current", root)
        if version == 2
        else ("memory.limit_in_bytes", "memory.usage_in_bytes", root / "memory")
    )
    (base / "outer" / "inner").mkdir(parents=True)
    (base / "outer" / limit).write_text(f"{1 << 30}\n")
    (base / "outer" / usage).write_text(f"{700 << 20}\n")
    (base / "outer" / "memory.stat").write_text(f"anon 1\ninactive_file {200 << 20}\n")
    (base / "outer" / "inner" / limit).write_text("max\n" if version == 2 else f"{2**63 - 4096}\n")
    own = tmp_path / "self"
    own.write_text("0::/outer/inner\n" if version == 2 else "3:cpu,memory:/outer/inner\n1:pids:/other\n")
    monkeypatch.setattr(memory, "_CGROUPS", root)

    groups = memory._groups(own)
    monkeypatch.setattr(memory, "_groups", lambda: groups)
    found = memory.detect_memory()

    assert found.cgroup_limit_bytes == 1 << 30
    assert found.available_bytes == min(psutil.virtual_memory().available, (1 << 30) - (500 << 20))


def test_a_machine_without_a_driver_has_no_devices_and_no_complaint():
    found = machine.detect()
    if not Path("/proc/driver/nvidia").exists() and not Path("/sys/class/drm").exists():
        assert found.devices == ()
        assert found.notes == ()


def test_looking_again_takes_less_than_a_blink():
    machine.detect()

    # 2 ms on two cores; a machine with GPUs asks their drivers.
    costs_at_most(0.05 if not machine.detect().devices else 1, machine.detect)


def test_looking_measures_nothing():
    found = machine.detect()

    assert found.memory.bandwidth is None
    assert found.processor.flops is None


def test_a_disk_is_told_for_a_folder_that_is_yet_to_be_made(tmp_path):
    found = machine.detect(models=tmp_path / "not" / "there").disk

    assert found.path == tmp_path / "not" / "there"
    assert found.free_bytes > 0
    assert found.read_bandwidth is None
