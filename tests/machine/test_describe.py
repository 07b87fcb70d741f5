"""Machines that are not here: by name, by numbers, and by what nobody should have typed."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.examples import examples
from weighbridge import machine
from weighbridge.errors import BadSetting, UnknownMachine, WeighbridgeError
from weighbridge.figures import Basis

GIB = 1 << 30


@pytest.mark.parametrize(
    ("text", "count", "gib", "gb_s"),
    [
        ("rtx 4090", 1, 24, 1008),
        ("RTX4090", 1, 24, 1008),
        ("NVIDIA GeForce RTX 4090", 1, 24, 1008),
        ("4090", 1, 24, 1008),
        ("2x a100-80gb", 2, 80, 1935),
        ("2×a100 sxm 80gb", 2, 80, 2039),
        ("4x h100", 4, 80, 2000),
        ("h100 sxm x 8", 8, 80, 3350),
        ("rx 7900 xtx", 1, 24, 960),
        ("7900 xtx", 1, 24, 960),
        ("2x 7900xtx", 2, 24, 960),
        ("rtx 3060 12gb", 1, 12, 360),
        ("rtx 4060 ti 16gb", 1, 16, 288),
        ("4080 laptop", 1, 12, 432),
        ("geforce rtx 4080 mobile", 1, 12, 432),
        ("dgx spark", 1, 128, 273),
        ("ryzen ai max 395 128gb", 1, 128, 256),
        ("Ryzen AI Max+ 395 64GB", 1, 64, 256),
        ("m4 pro 24gb", 1, 24, 273),
        ("mac studio m3 ultra 512gb", 1, 512, 819),
        ("m3 max 64gb", 1, 64, 400),
        ("m3 max 36gb", 1, 36, 300),
        ("mi250x", 2, 64, 1638.4),
        ("arc b580", 1, 12, 456),
    ],
)
def test_devices_are_known_by_name(text, count, gib, gb_s):
    found = machine.describe(text)

    assert found.name == text
    assert len(found.devices) == count
    assert {device.memory_total_bytes for device in found.devices} == {gib * GIB}
    assert found.devices[0].bandwidth.value == gb_s * 1e9
    assert found.devices[0].bandwidth.basis is Basis.STATED
    assert found.devices[0].bandwidth.source
    assert 0 < found.devices[0].memory_free_bytes < gib * GIB


def test_a_card_says_nothing_of_the_machine_around_it():
    found = machine.describe("rtx 4090")

    assert (found.memory, found.disk, found.processor.model, found.processor.usable_threads) == (None,) * 4
    assert found.devices[0].link.name == "PCIe 4.0 x16"
    assert found.devices[0].half_flops.value == 165.2e12
    assert found.devices[0].compute_capability == "8.9"


@pytest.mark.parametrize("text", ["rtx 3060 12gb + ram=32GiB", "rtx 3060 12gb,ram=32GiB", "ram=32GiB; rtx 3060 12GB"])
def test_names_and_numbers_go_together(text):
    found = machine.describe(text)

    assert found.memory.total_bytes == 32 * GIB
    assert 0 < found.memory.available_bytes < 32 * GIB
    assert found.memory.bandwidth is None
    assert found.devices[0].memory_total_bytes == 12 * GIB


def test_numbers_alone_describe_a_machine():
    found = machine.describe("2x gpu=24GiB@936GB/s@71TFLOPS,ram=128GiB@80GB/s,cores=16,threads=32")

    assert len(found.devices) == 2
    assert found.devices[0].memory_total_bytes == 24 * GIB
    assert found.devices[0].bandwidth.value == 936e9
    assert found.devices[0].half_flops.value == 71e12
    assert (found.memory.total_bytes, found.memory.bandwidth.value) == (128 * GIB, 80e9)
    assert (found.processor.physical_cores, found.processor.usable_threads) == (16, 32)
    assert machine.describe("gpu=24GB").devices[0].memory_total_bytes == 24 * 10**9


def test_several_kinds_of_cards_may_be_in_one_machine():
    found = machine.describe("rtx 4090 + 2x rtx 3090")

    assert [device.name for device in found.devices] == ["GeForce RTX 4090", *["GeForce RTX 3090"] * 2]


def test_a_mac_has_one_memory_for_all():
    found = machine.describe("macbook 16gb")

    (gpu,) = found.devices
    assert gpu.unified
    assert gpu.memory_total_bytes == found.memory.total_bytes == 16 * GIB
    assert gpu.memory_free_bytes == 16 * GIB * 2 // 3
    assert gpu.bandwidth == found.memory.bandwidth
    # It may be any of seven chips: the slowest counts, and that is said.
    assert gpu.name == "Apple M1"
    assert "can be" in found.notes[0]


@pytest.mark.parametrize(
    ("text", "gib", "gb_s"), [("a100", 40, 1555), ("rtx 3060", 8, 240), ("rtx 5060 ti", 8, 448), ("m4 max", 36, 410)]
)
def test_what_is_left_open_is_taken_at_its_worst_and_said(text, gib, gb_s):
    found = machine.describe(text)

    assert found.devices[0].memory_total_bytes == gib * GIB
    assert found.devices[0].bandwidth.value == gb_s * 1e9
    assert any("slowest and smallest" in note for note in found.notes)


def test_a_computer_without_a_gpu_has_its_main_memory():
    found = machine.describe("raspberry pi 5 8gb")

    assert found.devices == ()
    assert (found.memory.total_bytes, found.memory.bandwidth.value) == (8 * GIB, 17.1e9)
    assert found.processor.physical_cores == 4


def test_a_processor_takes_the_memory_that_is_told():
    found = machine.describe("epyc 9004, 2x rtx 4090, ram=768GiB")

    assert (found.memory.total_bytes, found.memory.bandwidth.value) == (768 * GIB, 460.8e9)
    assert machine.describe("epyc 9004").memory is None
    assert machine.describe("ram=64GiB, radeon 780m").devices[0].memory_total_bytes == 64 * GIB


def test_what_is_assumed_is_said():
    notes = machine.describe("rtx 4090, ram=64GiB").notes

    assert [note for note in notes if "assumed" in note] == list(notes)


@pytest.mark.parametrize(("text", "near"), [("rtx 4909", "4090"), ("7900 xtz", "7900 XT"), ("macbok air", "M1")])
def test_an_unknown_name_is_told_its_nearest(text, near):
    with pytest.raises(UnknownMachine) as caught:
        machine.describe(text)

    assert near in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "", " , ", "x" * 501, "0x rtx 4090", "1025x rtx 4090", "600x a16", "1024x t4, t4", "2x dgx spark", "780m",
        "m4 24gb, ram=32GiB", "ram=1GiB,ram=1GiB", "ram=0", "ram=2048TiB", "gpu=1GiB@0", "gpu=1GiB@1GB/s@1TFLOPS@1",
        "gpu=1GiB@1GB/s@fast", "cores=0", "cores=5000", "cores=²", "threads=2,threads=3", "2x ram=4GiB", "rma=4GiB",
        "=", "gpu", "gpu=" + "9" * 400, "epyc 9004, epyc 9005", "m1 8gb, m2 8gb",
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_a_reason(text):
    with pytest.raises((BadSetting, UnknownMachine)) as caught:
        machine.describe(text)

    assert str(caught.value)


def test_a_size_that_nobody_sells_is_refused_with_those_that_are_sold():
    with pytest.raises(UnknownMachine, match="with 24 GiB"):
        machine.describe("rtx 4090 48gb")


ROWS = machine.known()
PIECES = st.sampled_from(
    ["2x ", "x", "rtx 4090", "a100", "m4 pro", "macbook", "24gb", "80 GB", "gpu=", "ram=", "24GiB", "@", "936GB/s", ",",
     " + ", "+", ";", "cores=", "16", "780m", "epyc 9004", "=", " ", "9" * 30, "1e9", "TiB", "dgx spark", "pi 5", "×"]
)  # fmt: skip


@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=9).map("".join)))
@example("gpu=٣GiB")
@example("1024x t4,1024x t4")
@example("ram=1e308GiB")
@settings(max_examples=examples(150), deadline=None)
def test_any_text_is_a_machine_or_a_reason(text):
    try:
        found = machine.describe(text)
    except WeighbridgeError as error:
        assert str(error)
    else:
        assert len(found.devices) <= 1024
        assert all(0 <= device.memory_free_bytes <= device.memory_total_bytes for device in found.devices)
        assert found.devices or found.memory or found.processor.model or found.processor.usable_threads


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.name} {row.memory_gib}")
def test_every_row_is_described_by_its_own_names(row):
    for name in (row.name, *row.aliases):
        sizes = [f" {size:g}gb" for size in row.memory_gib if "gb" not in name.lower().split()[-1]] or [""]
        for size in sizes:
            more = "" if row.memory_gib else ", ram=32GiB"
            found = machine.describe(f"{name}{size}{more}")
            if row.kind == "gpu":
                assert found.devices
                assert found.devices[0].vendor == row.vendor
            else:
                assert found.memory.bandwidth


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.name} {row.memory_gib}")
def test_every_row_is_sane_and_names_its_source(row):
    assert row.source
    assert row.year is None or 2012 <= row.year <= 2026
    assert row.kind in {"gpu", "processor"}
    assert all(1 <= size <= 512 for size in row.memory_gib)
    assert row.memory_gib or row.unified or row.kind == "processor"
    assert row.bandwidth is None or 10e9 <= row.bandwidth.value <= 20e12
    assert row.half_flops is None or (0.5e12 <= row.half_flops.value <= 5e15 and row.half_flops.source)
    assert row.power_watts is None or 5 <= row.power_watts.value <= 2000
    assert 1 <= row.gpus <= 8
    if row.half_flops and row.bandwidth and row.kind == "gpu":
        # Operations for each byte: from 15 (no fast halves) to 700, from which a slip of a digit would stand out.
        assert 8 <= row.half_flops.value / row.bandwidth.value <= 700


def test_the_table_is_wide_and_has_no_row_twice():
    keys = [(row.name, row.memory_gib) for row in ROWS]

    assert len(ROWS) >= 250
    assert len(set(keys)) == len(keys)
    assert {"nvidia", "amd", "intel", "apple"} <= {row.vendor for row in ROWS}
