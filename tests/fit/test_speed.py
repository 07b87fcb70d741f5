"""Speed, by the public door: what an estimate promises whatever the model and the machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge import facts
from weighbridge.facts import Layer
from weighbridge.figures import Basis, Figure
from weighbridge.fit.calibration import Calibration, Measured
from weighbridge.fit.costs import Share
from weighbridge.fit.data_sheets import EFFICIENCIES, efficiency_of
from weighbridge.fit.fleet import fleet
from weighbridge.fit.rates import Rates, TypeRate
from weighbridge.fit.speed import estimate
from weighbridge.fit.synthetic import Shape, write_model
from weighbridge.fit.touched import Touched, distinct_share, touched, touched_by_sums
from weighbridge.fit.workload import Workload
from weighbridge.machine import Device, Disk, Machine, Memory, Processor

STATED = Basis.STATED


def device(bandwidth: float | None = 936e9, flops: float | None = 71e12, vendor: str = "nvidia") -> Device:
    return Device(
        "card", vendor, 24 << 30, 24 << 30, "8.6" if vendor == "nvidia" else None,
        bandwidth=Figure(bandwidth, STATED) if bandwidth else None,
        half_flops=Figure(flops, STATED) if flops else None,
        power_watts=Figure(350, STATED),
    )  # fmt: skip


def machine(*devices: Device, bandwidth: float | None = 60e9, flops: float | None = 800e9, cores: int = 8) -> Machine:
    memory = Memory(64 << 30, 60 << 30, None, Figure(bandwidth, STATED) if bandwidth else None)
    processor = Processor("a processor", cores, cores, (), flops=Figure(flops, STATED) if flops else None)
    return Machine(processor, memory, devices, disk=Disk(Path("/models"), 1 << 40, Figure(2e9, STATED)))


def model(
    gigabytes: float = 4.0, layers: int = 32, window: int | None = None, experts: int = 1, used: int = 1
) -> Touched:
    routed = gigabytes * 0.8e9 * experts / used if experts > 1 else 0.0
    return touched_by_sums(
        active_bytes=gigabytes * 1e9,
        output_bytes=gigabytes * 0.1e9,
        expert_bytes=routed,
        layers=[(layers, Layer("grouped_query", 1024, 1024, window_tokens=window))],
        active_parameters=gigabytes * 1.77e9,
        output_parameters=gigabytes * 0.17e9,
        heads=32,
        head_length=128,
        vocabulary=128_000,
        width=4096,
        experts_total=experts,
        experts_used=used,
        stored_bytes=gigabytes * 1e9 + routed,
    )


def calibration(first: float = 5e-11) -> Calibration:
    rates = Rates({"*": TypeRate(first, first / 2, first / 3)}, 1e-10, 1e-10, 4e-11, 2e-5, 3e-9, look=1e-8)
    return Calibration("here", "engine", "2026-11-21", (Measured(1, rates, 0.12),), 1 / first)


machines = st.builds(
    machine,
    st.builds(
        device, st.floats(1e10, 8e12), st.floats(1e12, 2e15), st.sampled_from(["nvidia", "amd", "apple", "intel"])
    ),
    bandwidth=st.floats(5e9, 1e12),
    cores=st.integers(1, 128),
)
models = st.one_of(
    st.builds(model, st.floats(0.05, 400), st.integers(1, 120), st.none() | st.integers(128, 8192)),
    st.builds(model, st.floats(0.05, 40), st.integers(1, 90), st.none(), st.sampled_from([8, 64, 128]), st.just(8)),
)
places = st.sampled_from(
    [
        (Share(None),),
        (Share(0),),
        (Share(0, 0.5, output=False), Share(None, 0.5)),
        (Share(0, 1.0, 0.0), Share(None, 0.0, 1.0, output=False)),
    ]
)


@given(models, machines, places, st.integers(0, 200_000), st.integers(1, 64), st.booleans())
@settings(max_examples=150, deadline=None)
def test_no_speed_is_above_the_roofline(of, on, shares, depth, parallel, calibrated):
    known = calibration() if calibrated else None
    speed = estimate(of, on, shares, Workload(262_144, parallel, depth_tokens=depth), known)

    assert speed.roofline_decode
    assert speed.decode
    assert speed.batch_decode
    assert 0 < speed.decode.low <= speed.decode.high <= speed.roofline_decode * (1 + 1e-9)
    assert speed.batch_decode.high <= parallel * speed.roofline_decode * (1 + 1e-9)


@given(models, machines, places, st.integers(0, 100_000), st.integers(1, 100_000))
@settings(max_examples=100, deadline=None)
def test_decode_falls_with_depth(of, on, shares, depth, more):
    near = estimate(of, on, shares, Workload(262_144, 1, depth_tokens=depth)).decode
    far = estimate(of, on, shares, Workload(262_144, 1, depth_tokens=depth + more)).decode

    assert near
    assert far
    assert far.high <= near.high * (1 + 1e-9)
    assert far.low <= near.low * (1 + 1e-9)


@given(st.floats(0.1, 100), st.floats(1.01, 4), machines, places)
@settings(max_examples=60, deadline=None)
def test_decode_falls_with_bytes(gigabytes, times, on, shares):
    small = estimate(model(gigabytes), on, shares, Workload(4096, 1)).decode
    large = estimate(model(gigabytes * times), on, shares, Workload(4096, 1)).decode

    assert small
    assert large
    assert large.high < small.high
    assert large.low < small.low


@given(models, machines, places, st.integers(1, 63), st.booleans())
@settings(max_examples=100, deadline=None)
def test_throughput_never_falls_with_more_sequences(of, on, shares, parallel, calibrated):
    known = calibration() if calibrated else None
    one, more = (
        estimate(of, on, shares, Workload(8192, n, depth_tokens=1000), known).batch_decode
        for n in (parallel, parallel + 1)
    )

    assert one
    assert more
    assert more.high >= one.high * (1 - 1e-9)
    assert more.low >= one.low * (1 - 1e-9)


def test_unknown_bandwidth_gives_no_speed_but_says_so():
    speed = estimate(model(), machine(device(bandwidth=None), bandwidth=None), (Share(0),))

    assert speed.decode is None
    assert speed.prefill is None
    assert speed.roofline_decode is None
    assert "bandwidth" in speed.notes[0]
    assert estimate(model(), machine(bandwidth=None)).decode is None


def test_unknown_arithmetic_gives_no_prefill():
    speed = estimate(model(), machine(device(flops=None)), (Share(0),))

    assert speed.decode
    assert speed.prefill is None
    assert speed.first_token_seconds is None


def test_energy_is_told_only_where_all_power_is_known():
    here = machine(device())

    on_card = estimate(model(), here, (Share(0),)).tokens_per_joule
    assert on_card
    assert on_card.basis is Basis.ASSUMED
    assert estimate(model(), here, (Share(None),)).tokens_per_joule is None


def test_an_8b_model_on_a_3090_is_as_people_measure():
    """llama-bench on RTX 3090 cards gives 100 to 150 tokens a second for 8B at Q4_K_M."""
    speed = estimate(model(4.67, 36), machine(device()), (Share(0),), Workload(4096, 1, depth_tokens=64))

    assert speed.decode
    assert speed.decode.low < 125 < speed.decode.high
    assert speed.roofline_decode == pytest.approx(936e9 / (4.67e9 + 36 * 4096 * 64), rel=1e-6)


def test_a_smaller_cache_type_is_faster_at_depth():
    whole = estimate(model(), machine(), workload=Workload(65536, 1, depth_tokens=60_000)).decode
    small = estimate(
        model(), machine(), workload=Workload(65536, 1, cache_type_k="q8_0", cache_type_v="q8_0", depth_tokens=60_000)
    ).decode

    assert whole
    assert small
    assert small.low > whole.low


def test_a_mixture_reads_the_distinct_experts_that_are_expected():
    assert distinct_share(128, 8, 1) == pytest.approx(0.0625)
    assert distinct_share(128, 8, 8) * 128 == pytest.approx(51.6, abs=0.1)
    assert distinct_share(8, 8, 1) == 1
    assert model(4.0, experts=64, used=8).active_bytes(1) == pytest.approx(4e9)


def test_more_of_a_model_on_the_faster_device_is_faster():
    here = machine(device())
    speeds = [
        estimate(model(), here, (Share(0, part, output=False), Share(None, 1 - part)), Workload(4096, 1)).decode
        for part in (0.1, 0.5, 0.9)
    ]

    assert [speed.low for speed in speeds if speed] == sorted(speed.low for speed in speeds if speed)


def test_loading_takes_the_bytes_over_the_disks_rate():
    load = estimate(model(4.0), machine()).load_seconds

    assert load
    assert load.low == pytest.approx(2.0)
    assert load.high > load.low


def test_the_vector_form_agrees_with_single_estimates():
    vendors = ["nvidia", "amd", "apple", "intel"]
    cards = [device(rate, vendor=vendor) for rate, vendor in zip((9e11, 4e11, 2e11, 3e11), vendors, strict=True)]
    found, wanted = [], []
    for of in (model(), model(0.5, 16), model(2.0, experts=64, used=8)):
        for card in (*cards, None):
            here = machine(card) if card else machine()
            share = Share(0) if card else Share(None)
            kind = list(EFFICIENCIES).index(efficiency_of(card))
            single = estimate(of, here, (share,), Workload(8192, 1, depth_tokens=1000)).decode
            assert single
            wanted.append((single.low, single.high))
            rate = card.bandwidth.value if card and card.bandwidth else 60e9
            low, high = fleet(
                active_bytes=np.array([of.active_bytes()]),
                is_mixture=np.array([bool(of.experts)]),
                cache_bytes=np.array([of.cache_bytes(1000)]),
                attended=np.array([of.attended(1000)]),
                block_count=np.array([of.block_count]),
                vocabulary=np.array([of.vocabulary]),
                bandwidth=np.array([rate]),
                kind=np.array([kind]),
                cores=np.array([8]),
                thread_seconds=np.array([of.thread_seconds()]),
            )
            found.append((low[0], high[0]))

    assert np.allclose(found, wanted, rtol=1e-9)


def test_the_vector_form_takes_a_hundred_thousand_pairs_and_keeps_unknown_unknown():
    count = 100_000
    bandwidth = np.full(count, 1e12)
    bandwidth[::2] = np.nan
    low, high = fleet(
        active_bytes=np.full(count, 4e9), is_mixture=False, cache_bytes=1e8, attended=0.0, block_count=32,
        vocabulary=32000, bandwidth=bandwidth, kind=np.zeros(count, int),
    )  # fmt: skip

    assert np.isnan(low[::2]).all()
    assert (low[1::2] > 0).all()
    assert (high[1::2] <= 1e12 / 4.1e9).all()


def test_what_a_file_touches_leaves_lookups_out_and_counts_the_output(tmp_path):
    shape = Shape(2, 256, 512, 4, 2, vocabulary=1024, type="Q8_0", experts=4, used=2)
    found = touched(facts.read(write_model(tmp_path / "made.gguf", shape)))

    assert found is not None
    assert found.output == {"Q8_0": 256 * 1024 * 34 / 32}
    assert found.experts == {"Q8_0": 2 * 3 * 4 * 256 * 512 * 34 / 32}
    assert found.parameters == pytest.approx(
        2 * (256 * 256 * 2 + 256 * 128 * 2 + 256 * 4 + 2 * 256 + 3 * 2 * 256 * 512) + 256
    )
    assert "F16" not in found.weights  # the embedding, of which one row is looked up


def test_a_layer_that_shares_keys_reads_them():
    own = Layer("sliding_window", 256, 256, window_tokens=512)
    of = replace(model(), layers=())
    shared = touched_by_sums(
        active_bytes=1e9, output_bytes=0, expert_bytes=0, layers=[(2, own), (2, Layer("shared_kv", window_tokens=512))],
        active_parameters=1e9, output_parameters=0, heads=8, head_length=64, vocabulary=1000, width=512,
    )  # fmt: skip

    assert of.block_count == 0
    assert shared.cache_bytes(10_000) == 4 * own.cache_bytes(10_000)
