"""Plans: the sum, the verdict, the largest context, and the engine's real memory beside them."""

from __future__ import annotations

import dataclasses
import json

import pytest

from tests.conftest import run_weigh
from weighbridge import facts, fit, machine
from weighbridge.errors import DoesNotFit
from weighbridge.fit import Verdict, Workload
from weighbridge.machine import Machine, Memory, Processor


def a_machine(available: int, sets: tuple[str, ...] = ("AVX2",)) -> Machine:
    return Machine(Processor("test", 4, 4, sets), Memory(available, available, None), ())


@pytest.fixture
def model(tiny_gguf):
    return facts.read(tiny_gguf(context=65536, width=256, heads=16, kv_heads=16, layers=4))


def test_the_total_is_the_sum_of_its_parts(model):
    need = fit.make_plan(model, machine.detect(), Workload(4096)).memory
    parts = [getattr(need, field.name) for field in dataclasses.fields(need)]

    assert need.total == sum(parts)
    assert need.weights == model.weights_bytes


def test_the_cache_is_padded_and_held_for_each_request(model):
    one, three = (fit.make_plan(model, a_machine(1 << 34), Workload(1000, parallel)).memory for parallel in (1, 3))

    assert one.kv_cache == 1024 * sum(layer.kv_bytes_per_token for layer in model.layers)
    assert three.kv_cache == 3 * one.kv_cache


def test_the_verdict_follows_what_is_available(model):
    total = fit.make_plan(model, a_machine(1 << 34), Workload(4096)).memory.total
    verdicts = [
        fit.make_plan(model, a_machine(available), Workload(4096)).verdict
        for available in (total - 1, total, int(total / 0.9) - 2, int(total / 0.9) + 2)
    ]

    assert verdicts == [Verdict.NO, Verdict.TIGHT, Verdict.TIGHT, Verdict.FITS]


@pytest.mark.parametrize("mebibytes", [64, 100, 200, 333])
def test_the_largest_context_fits_and_the_next_does_not(model, mebibytes):
    here = a_machine(mebibytes << 20)
    largest = fit.make_plan(model, here, Workload(512)).largest_context

    assert largest is not None
    assert fit.make_plan(model, here, Workload(largest)).verdict is not Verdict.NO
    if largest < model.context_length:
        assert fit.make_plan(model, here, Workload(largest + 256)).verdict is Verdict.NO


def test_what_others_have_been_promised_counts_as_gone(model):
    alone = fit.make_plan(model, a_machine(1 << 30), Workload(4096))
    beside = fit.make_plan(model, a_machine(1 << 30), Workload(4096), reserved_bytes=alone.available_bytes - 1000)

    assert alone.verdict is Verdict.FITS
    assert beside.verdict is Verdict.NO


def test_a_refusal_shows_the_sum_and_a_way_out(model):
    plan = fit.make_plan(model, a_machine(100 << 20), Workload(65536))

    with pytest.raises(
        DoesNotFit, match=r"tiny needs [\d.]+ MiB at 65,536 tokens x 2 \(weights .* \+ cache .*\)"
    ) as caught:
        plan.ensure_fits()
    assert caught.value.hint.startswith("it fits at ")


def test_repacked_types_are_counted_twice_where_the_processor_interleaves_them(model):
    packed = tuple(tensor._replace(type="Q4_0") for tensor in model.tensors)
    packed_model = dataclasses.replace(model, tensors=packed)
    with_avx2 = fit.make_plan(packed_model, a_machine(1 << 34), Workload(512)).memory
    without = fit.make_plan(packed_model, a_machine(1 << 34, ()), Workload(512)).memory

    assert with_avx2.repack > 0
    assert without.repack == 0


def test_the_engine_takes_what_was_planned(gateway, tiny_gguf):
    path = str(tiny_gguf(context=65536, width=256, heads=16, kv_heads=16, layers=4, inner=512))
    plan = json.loads(run_weigh("fit", path, "--context", "32768", "--parallel", "2", "--json").stdout)
    running = gateway(path, flags=("--context", "32768", "--parallel", "2"))
    running.client().completions.create(model="tiny", prompt="a" * 600, max_tokens=2)
    measured = running.ps()["tiny"]["memory_measured_bytes"]
    planned = plan["memory"]["total"]

    assert planned > 300 << 20
    # What is allocated and never touched is not resident: most of the mask of a context that is nearly empty.
    assert 0.8 < measured / planned <= 1.0
