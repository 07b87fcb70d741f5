"""Plans: the sum, the verdict, the largest context, and the engine's real memory beside them."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.conftest import run_weigh
from tests.facts.gguf_families import FAMILIES
from tests.fit.asking import Engine
from tests.published_shapes import chosen, write
from weighbridge import catalogue, facts, fit, machine
from weighbridge.cli.candidates import candidates
from weighbridge.errors import BadModelFile, DoesNotFit
from weighbridge.figures import Basis, Figure
from weighbridge.fit import Verdict, Workload, speed
from weighbridge.fit.halving import first_enough, last_enough
from weighbridge.fit.ranking import Candidate, Quantized, rank
from weighbridge.machine import Device, Machine, Memory, Processor


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


def a_gpu(free: int, *, unified: bool = False) -> Device:
    bandwidth = Figure(300e9, Basis.STATED, "test")
    return Device("test GPU", "apple" if unified else "nvidia", free, free, bandwidth=bandwidth, unified=unified)


def with_gpus(host: int | None, *free: int) -> Machine:
    memory = None if host is None else Memory(host, host, Figure(40e9, Basis.STATED, "test"))
    return Machine(Processor("test", 4, 4, ("AVX2",)), memory, tuple(a_gpu(each) for each in free))


def test_what_lies_in_memory_that_nobody_described_never_fits(model):
    needed = fit.make_plan(model, with_gpus(1 << 34, 1 << 34), Workload(8192)).devices[1].memory.total
    whole = fit.make_plan(model, with_gpus(None, 2 * needed), Workload(8192))
    in_parts = fit.make_plan(model, with_gpus(None, needed - 1), Workload(8192))

    assert whole.verdict is Verdict.FITS
    assert in_parts.verdict is Verdict.NO
    assert any("ram=" in remedy for remedy in in_parts.remedies)


def test_what_is_left_to_the_processor_leaves_room_to_spare_on_the_gpu(model):
    needed = fit.make_plan(model, with_gpus(1 << 34, 1 << 34), Workload(32768)).devices[1].memory.total
    plan = fit.make_plan(model, with_gpus(1 << 34, needed - 1), Workload(32768))

    assert None in plan.placement.layers
    assert plan.placement.devices
    assert plan.verdict is Verdict.FITS


def test_a_second_gpu_is_taken_where_one_has_no_room_to_spare(model):
    needed = fit.make_plan(model, with_gpus(1 << 34, 1 << 34), Workload(65536, 8)).devices[1].memory.total
    alone = fit.make_plan(model, with_gpus(1 << 34, needed), Workload(65536, 8))
    both = fit.make_plan(model, with_gpus(1 << 34, needed, needed), Workload(65536, 8))

    assert (alone.verdict, alone.placement.devices) == (Verdict.TIGHT, (0,))
    assert (both.verdict, both.placement.devices) == (Verdict.FITS, (0, 1))


def test_memory_that_a_gpu_shares_with_the_processor_is_counted_once(model):
    processor = Processor("test", 4, 4, ())
    here = Machine(processor, Memory(1 << 34, 1 << 34, None), (a_gpu(1 << 33, unified=True),))

    assert fit.make_plan(model, here, Workload(4096)).available_bytes == 1 << 34


def test_a_set_on_shared_memory_takes_no_more_than_there_is(model):
    need = fit.make_plan(model, with_gpus(1 << 34, 1 << 34), Workload(65536, 8)).memory.total
    memory = Memory(2 * need, int(1.7 * need), None)
    device = a_gpu(int(1.6 * need), unified=True)
    plans = fit.plan_set([(model, Workload(65536, 8))] * 2, Machine(Processor("test", 4, 4, ()), memory, (device,)))

    held = sum(plan.memory.total for plan in plans if plan.verdict is not Verdict.NO)
    assert 0 < held <= memory.available_bytes


def test_a_context_past_the_models_own_is_noted(model):
    assert any(
        "made for 65,536 tokens" in note for note in fit.make_plan(model, a_machine(1 << 35), Workload(100000)).notes
    )


def test_a_tight_plan_is_told_what_would_leave_room(model):
    total = fit.make_plan(model, a_machine(1 << 34), Workload(32768)).memory.total
    plan = fit.make_plan(model, a_machine(total), Workload(32768))

    assert plan.verdict is Verdict.TIGHT
    assert plan.remedies
    assert all("room to spare" in remedy for remedy in plan.remedies)


@pytest.mark.parametrize("flash_attention", [True, False])
@pytest.mark.parametrize(
    ("parallel", "unified_cache", "ubatch"), [(1, False, 512), (4, False, 512), (4, True, 512), (2, False, 2048)]
)
def test_a_ranking_never_needs_less_than_the_plan_of_a_file(model, parallel, unified_cache, ubatch, flash_attention):
    workload = Workload(None, parallel, ubatch, flash_attention=flash_attention, unified_cache=unified_cache)
    contexts = (256, 512, 1024, 4096, 32768, 65536)
    here = a_machine(1 << 36)
    # With as few words as a tiny model has, the engine gives scores for every token.
    model = dataclasses.replace(model, vocabulary_size=20000)
    ranked = rank([candidate_of(model)], here, contexts, workload)

    for column, context in enumerate(contexts):
        need = fit.make_plan(model, here, dataclasses.replace(workload, context_tokens=context)).memory
        assert ranked.need_bytes[0, column] >= need.total


def candidate_of(model: facts.ModelFacts) -> Candidate:
    """The model as a catalogue would have it."""
    weights = model.weights_bytes
    sizes = {
        name: sum(tensor.bytes for tensor in model.tensors if tensor.name == f"{name}.weight")
        for name in ("token_embd", "output")
    }
    return Candidate(
        model.name, model.architecture, tuple((1, layer) for layer in model.layers), model.dimensions,
        model.embedding_length, model.vocabulary_size, model.context_length, model.experts,
        not model.parameters.output, speed.touched(model),
        (Quantized("F32", weights, weights, sizes["token_embd"], sizes["output"]),),
    )  # fmt: skip


def test_no_catalogue_model_fits_in_memory_that_nobody_described(model):
    ranked = rank([candidate_of(model)], with_gpus(None, 64 << 20), (4096,))

    assert ranked.verdict(0, 0) == "no"
    assert rank([candidate_of(model)], with_gpus(None, 1 << 34), (4096,)).verdict(0, 0) == "fits"


# A mixture, one with windows in most layers, and one with latents and a first layer without experts.
PUBLISHED = ("Qwen3-30B-A3B", "Gemma-3-12B", "DeepSeek-V2-Lite")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Published models: the facts of a file beside the catalogue's entry."""
    folder, found = tmp_path_factory.mktemp("published"), []
    for name in PUBLISHED:
        (shape,) = chosen([name])
        model = facts.read(str(write(folder / f"{name}.gguf", shape, "Q4_K_M")))
        ((_, candidate),) = candidates([catalogue.load().resolve(name)], ("Q4_K_M",))
        assert candidate.quantizations[0].weights_bytes == model.weights_bytes
        found.append((fit.LlamaCpp(model), candidate))
    return found


def gibibytes(least: int, most: int) -> st.SearchStrategy[int]:
    return st.integers(least << 10, most << 10).map(lambda size: size << 20)


# Plans take too long to look for the smallest example.
UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)
MACHINES = st.builds(
    lambda host, gpus: with_gpus(host, *gpus),
    st.none() | gibibytes(8, 64),
    st.lists(gibibytes(2, 40), max_size=3),
)
WORKLOADS = st.builds(
    lambda context, parallel, kind: Workload(context, parallel, cache_type_k=kind, cache_type_v=kind),
    st.sampled_from((4096, 16384, 32768, 131072)),
    st.sampled_from((1, 2, 4)),
    st.sampled_from((None, "q8_0")),
)


@settings(max_examples=30, deadline=None, phases=UNSHRUNK)
@given(st.integers(0, len(PUBLISHED) - 1), MACHINES, WORKLOADS)
def test_a_ranking_never_says_that_fits_which_a_files_plan_refuses(published, number, here, workload):
    model, candidate = published[number]
    plan = fit.make_plan(model, here, workload, brief=True)
    ranked = rank([candidate], here, (workload.context_tokens,), workload)

    if plan.verdict is Verdict.NO:
        assert ranked.verdict(0, 0) == "no"


@settings(max_examples=30, deadline=None, phases=UNSHRUNK)
@given(st.integers(0, len(PUBLISHED) - 1), MACHINES, WORKLOADS)
def test_the_largest_context_is_the_longest_that_fits_in_any_place(published, number, here, workload):
    model, _ = published[number]
    plan = fit.make_plan(model, here, workload)
    largest, asked = plan.largest_context, workload.context_tokens

    def verdict(context: int) -> Verdict:
        return fit.make_plan(model, here, dataclasses.replace(workload, context_tokens=context), brief=True).verdict

    assert (largest or 0) >= (plan.largest_context_as_placed or 0)
    assert (plan.verdict is not Verdict.NO) == (largest is not None and largest >= asked)
    assert largest is None or verdict(largest) is not Verdict.NO
    # Which of several GPUs a layer goes to changes with the context, so that by a hair a longer one may fit too.
    if largest != model.facts.context_length and len(here.devices) < 2:
        assert verdict((largest or 0) + 256) is Verdict.NO


def test_what_fits_on_the_processor_alone_counts_as_the_largest_context(model):
    on_gpu = fit.make_plan(model, with_gpus(1 << 36, 1 << 34), Workload(8192, 8)).devices[1].memory.total
    plan = fit.make_plan(model, with_gpus(1 << 36, int(1.2 * on_gpu)), Workload(8192, 8))

    assert plan.placement.on_devices_alone
    assert plan.largest_context == model.context_length
    assert 8192 <= plan.largest_context_as_placed < model.context_length


@pytest.mark.parametrize("near", [None, 1, 7, 12, 20])
@pytest.mark.parametrize("answer", [1, 2, 7, 12, 19, 20, 21])
def test_the_first_that_is_enough_is_found_from_anywhere(answer, near):
    asked = []

    def is_enough(number: int) -> bool:
        asked.append(number)
        return number >= answer

    assert first_enough(is_enough, 20, near) == (answer if answer <= 20 else None)
    assert all(1 <= number <= 20 for number in asked)
    assert len(asked) == len(set(asked)) <= 10


@pytest.mark.parametrize("answer", [0, 1, 7, 19, 20])
def test_the_last_that_is_enough_is_found(answer):
    assert last_enough(lambda number: number <= answer, 20) == answer


@pytest.fixture(scope="module")
def gemma4(tmp_path_factory):
    """A model of whose step on GPUs little is known: some of its layers use others' caches."""
    path, engine = tmp_path_factory.mktemp("gemma4") / "model.gguf", Engine()
    family = FAMILIES["gemma4"]
    try:
        # Large beside what a driver takes; the weights are holes.
        keys = {**family.keys, "embedding_length": 1536, "feed_forward_length": [81920] * 8}
        engine.make(path, family.architecture, keys, {name: list(shape) for name, shape in family.also.items()})
    finally:
        engine.close()
    return fit.LlamaCpp(facts.read(str(path)))


def test_a_place_of_which_too_little_is_known_is_left_out_and_another_is_found(gemma4):
    alone = fit.make_plan(gemma4, with_gpus(1 << 36), Workload(2048, 1))
    whole = fit.make_plan(gemma4, with_gpus(1 << 36, 1 << 36), Workload(2048, 1)).devices[1].memory.total
    plan = fit.make_plan(gemma4, with_gpus(1 << 36, whole - 1), Workload(2048, 1))

    assert plan.verdict is Verdict.FITS
    assert not plan.placement.devices
    assert plan.memory == alone.memory
    assert any("left out" in note for note in plan.notes)
    assert not any("left out" in note for note in alone.notes)


def test_no_verdict_is_given_where_a_place_of_which_too_little_is_known_might_fit(gemma4):
    whole = fit.make_plan(gemma4, with_gpus(1 << 36, 1 << 36), Workload(2048, 1)).devices[1].memory.total

    with pytest.raises(BadModelFile, match="is not known for gemma4"):
        fit.make_plan(gemma4, with_gpus(1 << 20, whole - 1), Workload(2048, 1))


@pytest.mark.parametrize("name", ["blk.x.attn_q.weight", "blk..y", "blk.", "blk.1", "blk.-1.a", "blk.99999999999.z"])
def test_a_tensor_whose_name_only_looks_like_a_layers_is_an_error_of_the_file(tiny_gguf, name):
    model = facts.read(tiny_gguf())
    odd = dataclasses.replace(model, tensors=(*model.tensors, model.tensors[-1]._replace(name=name)))

    with pytest.raises(BadModelFile, match="not known for this form"):
        fit.make_plan(odd, with_gpus(1 << 36, 1 << 34), Workload())
