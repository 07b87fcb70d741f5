"""What is said of each GPU, beside what the engine reserves on devices that it takes for GPUs and that hold nothing.

Every prediction of a case is made before the engine is asked about it.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import pytest

from tests.facts.gguf_families import FAMILIES
from tests.fit.asking import Died, Engine
from tests.fit.engine import Settings
from tests.fit.pretend_devices import Offload, Pretended
from tests.fit.record_graph import lengthened
from tests.fit.shapes import vary
from weighbridge import facts
from weighbridge.errors import BadModelFile
from weighbridge.fit import LlamaCpp, MemoryNeed, Placement, Workload
from weighbridge.fit.forms import form_of
from weighbridge.fit.recordings import find
from weighbridge.fit.steps import Step
from weighbridge.machine import Machine, Memory, Processor, describe

MEBIBYTE = 1 << 20
_ATTENTION = {"attention.head_count": 32, "attention.head_count_kv": 8, "attention.key_length": 128,
              "attention.value_length": 128}  # fmt: skip
SHAPES: dict[str, tuple[str, dict[str, Any], dict[str, list[int]]]] = {
    "llama": ("llama", {**_ATTENTION, "embedding_length": 4096, "block_count": 32, "feed_forward_length": 14336},
              {"output.weight": [1]}),
    "qwen3, tied": (
        "qwen3", {**_ATTENTION, "embedding_length": 2560, "block_count": 36, "feed_forward_length": 9728}, {},
    ),
    "gemma3, windows": (
        "gemma3",
        {"embedding_length": 2560, "block_count": 34, "feed_forward_length": 10240, "attention.head_count": 8,
         "attention.head_count_kv": 4, "attention.key_length": 256, "attention.value_length": 256,
         "attention.sliding_window": 1024},
        {},
    ),
    "qwen3moe": (
        "qwen3moe",
        {**_ATTENTION, "embedding_length": 2048, "block_count": 24, "feed_forward_length": 6144, "expert_count": 32,
         "expert_used_count": 8, "expert_feed_forward_length": 768, "attention.head_count_kv": 4},
        {"output.weight": [1]},
    ),
    "deepseek2, latent": (
        "deepseek2",
        {"embedding_length": 2048, "block_count": 30, "feed_forward_length": 10944, "expert_count": 16,
         "expert_used_count": 6, "expert_feed_forward_length": 1408, "expert_shared_count": 2,
          "attention.head_count": 16,
         "attention.head_count_kv": 1, "attention.q_lora_rank": 1536, "attention.kv_lora_rank": 512,
         "attention.key_length": 576, "attention.value_length": 512, "attention.key_length_mla": 192,
         "attention.value_length_mla": 128, "rope.dimension_count": 64},
        {},
    ),
    "mamba2": (
        "mamba2",
        {"embedding_length": 2560, "block_count": 48, "ssm.inner_size": 5120, "ssm.state_size": 128,
         "ssm.time_step_rank": 80, "ssm.group_count": 8, "ssm.conv_kernel": 4},
        {},
    ),
}  # fmt: skip
WORKLOADS = (
    Workload(4096, 1),
    Workload(32768, 1, ubatch_tokens=2048),
    Workload(4096, 2, flash_attention=False),
    Workload(8192, 1, cache_type_k="q8_0", cache_type_v="q8_0"),
)
# How far above what the engine reserves a device's compute buffer is said to be, at most, in MiB.
# It depends on how many layers went before where blocks lie, and a recording has few.
ABOVE = {"deepseek2, latent": 16.5, "mamba2": 8.0}


class Case(NamedTuple):
    """One placement and workload: what is said, and what the engine reserves, by device."""

    title: str
    said: dict[int | None, MemoryNeed]
    reserved: dict[int | None, dict[str, int]]
    layers: tuple[int | None, ...]
    placement: Placement


def placements(count: int, *, routed: bool) -> dict[str, Placement]:
    """All on one device, some, on two and three, and experts in main memory."""
    half, third = count // 2, count // 3
    found = {
        "one": Placement((0,) * count, 0),
        "half": Placement((None,) * half + (0,) * (count - half), 0),
        "few": Placement((None,) * (count - 2) + (0, 0), 0),
        "two": Placement((0,) * half + (1,) * (count - half), 1),
        "three": Placement((0,) * third + (1,) * third + (2,) * (count - 2 * third), 2),
        "some on two": Placement((None,) * third + (0,) * third + (1,) * (count - 2 * third), 1),
    }
    if routed:
        found["experts in main memory"] = Placement((0,) * count, 0, count)
        found["some experts in main memory"] = Placement((0,) * half + (1,) * (count - half), 1, third)
    return found


def a_machine() -> Machine:
    """One with GPUs, of which only their number matters here."""
    device = describe("4x a100-80gb").devices
    return Machine(Processor("test", 4, 4, ("AVX2",)), Memory(1 << 40, 1 << 40, None), device)


@pytest.fixture(scope="module")
def processes():
    engine, pretended = Engine(), Pretended()
    yield engine, pretended
    engine.close()
    pretended.close()


@pytest.fixture(scope="module", params=SHAPES)
def cases(request, processes, tmp_path_factory):
    """The name of a shape, and its cases."""
    engine, pretended = processes
    name, keys, also = SHAPES[request.param]
    family = FAMILIES[name]
    path = tmp_path_factory.mktemp("devices") / "model.gguf"
    engine.make(path, family.architecture, {**family.keys, **keys}, {**family.also, **also})
    model = LlamaCpp(facts.read(str(path)))
    (recording,) = find(model.form, Step(4096, 1, 512, 1))
    if recording is None or recording.graph is None:
        pytest.skip("what is computed from what was not recorded")
    machine = a_machine()
    told = [
        (title, placement, [model.on_devices(machine, each, each.context_tokens, placement) for each in WORKLOADS])
        for title, placement in placements(len(model.facts.layers), routed=any(model.weights.expert_bytes)).items()
    ]
    found = []
    for title, placement, needs in told:
        stay = "|".join(map(str, range(placement.experts_on_host)))
        offload = Offload(
            placement.gpu_layers, tuple(map(float, placement.tensor_split)),
            rf"blk\.({stay})\.ffn_(up|down|gate|gate_up)_(ch|)exps" if stay else "",
        )  # fmt: skip
        answers = pretended.buffers(path, offload, [settings(model, each) for each in WORKLOADS])
        for workload, need, answer in zip(WORKLOADS, needs, answers, strict=True):
            layers = tuple(None if layer == "CPU" else int(layer.removeprefix("Pretend")) for layer in answer["layers"])
            found.append(Case(f"{title}, {workload}", need, by_device(answer["buffers"]), layers, placement))
    return request.param, found


def settings(model: LlamaCpp, workload: Workload) -> Settings:
    every = model.gives_embeddings(workload)
    return Settings(
        workload.context_tokens or 0, workload.parallel, workload.ubatch_tokens, workload.flash_attention,
        type_k=workload.cache_type_k or "f16", type_v=workload.cache_type_v or "f16",
        outputs=workload.ubatch_tokens if every else None, embeddings=every,
    )  # fmt: skip


def by_device(buffers: dict[str, dict[str, int]]) -> dict[int | None, dict[str, int]]:
    """Both of main memory's buffers together."""
    found: dict[int | None, dict[str, int]] = {}
    for name, sizes in buffers.items():
        index = int(name.removeprefix("Pretend")) if name.removeprefix("Pretend").isdigit() else None
        into = found.setdefault(index, dict.fromkeys(sizes, 0))
        for kind, size in sizes.items():
            into[kind] += size
    return found


def test_layers_go_where_the_flags_of_a_placement_send_them(cases):
    _, found = cases

    for case in found:
        assert case.layers == (*case.placement.layers, case.placement.output), case.title


def test_weights_caches_and_states_of_each_device_are_exact(cases):
    _, found = cases

    for case in found:
        for index, need in case.said.items():
            reserved = case.reserved[index]
            assert need.weights == pytest.approx(reserved["model"], abs=0.1 * MEBIBYTE), (case.title, index)
            cached = need.kv_cache + need.recurrent_state
            assert cached == pytest.approx(reserved["context"], abs=0.1 * MEBIBYTE), (case.title, index)


def test_what_each_device_computes_with_is_never_below_what_is_reserved_and_within_a_mebibyte(cases):
    name, found = cases

    for case in found:
        for index, need in case.said.items():
            over = (need.compute - case.reserved[index]["compute"]) / MEBIBYTE
            assert -0.01 <= over <= ABOVE.get(name, 1.0), (case.title, index, over)


@pytest.mark.parametrize("name", ["glm4", "gptneox", "plamo2", "bert"])
def test_where_no_graph_was_recorded_no_device_computes_with_more_than_is_said(name, processes, tmp_path):
    engine, pretended = processes
    chance, path = random.Random(name), tmp_path / "model.gguf"
    family = FAMILIES[name]
    engine.make(path, family.architecture, family.keys, family.also)
    family = lengthened(family, form_of(facts.read(str(path))).layers)
    while True:
        try:
            varied = vary(family, chance)
            engine.make(path, varied.architecture, varied.keys, {**family.also, **varied.also})
            break
        except (Died, ValueError):  # the engine refuses some shapes
            continue
    model, compared = LlamaCpp(facts.read(str(path))), 0
    for title, placement in placements(len(model.facts.layers), routed=any(model.weights.expert_bytes)).items():
        offload = Offload(placement.gpu_layers, tuple(map(float, placement.tensor_split)), "")
        for workload in WORKLOADS:
            try:
                said = model.on_devices(a_machine(), workload, workload.context_tokens, placement)
                (answer,) = pretended.buffers(path, offload, [settings(model, workload)])
            except (BadModelFile, ValueError):  # not known, or refused by the engine
                continue
            reserved = by_device(answer["buffers"])
            for index, need in said.items():
                compared += 1
                assert need.compute >= reserved[index]["compute"] - 0.01 * MEBIBYTE, (title, workload, index)
    assert compared > 40
