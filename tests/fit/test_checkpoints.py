"""Plans for checkpoints, by the public door: the engine, its speed, and several that share a machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import run_weigh
from weighbridge import facts, machine
from weighbridge.facts import ModelFacts
from weighbridge.figures import Basis
from weighbridge.fit import Verdict, Workload
from weighbridge.fit.checkpoints import plan_checkpoint, plan_together
from weighbridge.fit.costs import Share
from weighbridge.fit.speed import estimate
from weighbridge.fit.synthetic import Shape, write_model
from weighbridge.fit.touched import Touched, touched

GIB = 1 << 30
LLAMA_8B: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256, "max_position_embeddings": 131072,
    "torch_dtype": "bfloat16",
}  # fmt: skip
LLAMA_70B = LLAMA_8B | {
    "hidden_size": 8192, "num_hidden_layers": 80, "num_attention_heads": 64, "intermediate_size": 28672,
}  # fmt: skip


def read(folder: Path, config: dict[str, Any]) -> ModelFacts:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return facts.read(folder)


def of_70b(folder: Path) -> Touched:
    found = touched(read(folder, LLAMA_70B))
    assert found is not None
    return found


def test_several_gpus_that_work_as_one_have_a_speed_that_says_how_it_was_come_by(tmp_path):
    plan = plan_checkpoint(read(tmp_path, LLAMA_70B), machine.describe("4x a100-80gb"), Workload(8192, 2))

    assert "--tensor-parallel-size" in plan.arguments
    assert plan.speed
    assert plan.speed.decode
    assert plan.speed.prefill
    assert plan.speed.decode.basis is Basis.COMPUTED
    assert plan.speed.roofline_decode
    # 141 GB over 4 x 1,935 GB/s: 55 tokens a second at most.
    assert 40 < plan.speed.roofline_decode < 60
    assert 15 < plan.speed.decode.low < plan.speed.decode.high <= plan.speed.roofline_decode
    assert plan.speed.decode.high > 1.5 * plan.speed.decode.low
    assert any("NVLink 3 or PCIe 4.0 x16 (assumed)" in note for note in plan.speed.notes)


@given(
    st.sampled_from(["a100-80gb", "rtx 4090", "rtx 3090", "h100", "7900 xtx"]),
    st.sampled_from([1, 2, 4, 8]),
    st.integers(1, 64),
    st.integers(0, 100_000),
    st.integers(1, 8),
)
@settings(max_examples=60, deadline=None)
def test_no_number_of_gpus_is_above_its_roofline(tmp_path_factory, name, ways, parallel, depth, cache_ways):
    model = of_70b(tmp_path_factory.getbasetemp() / "70b")
    here = machine.describe(f"{ways}x {name}")
    share = Share(0, ways=ways, cache_ways=min(ways, cache_ways))
    speed = estimate(model, here, (share,), Workload(131072, parallel, depth_tokens=depth), engine="vllm")
    (bandwidth,) = {device.bandwidth.value for device in here.devices if device.bandwidth}

    assert speed.decode
    assert speed.batch_decode
    assert speed.decode.high <= ways * bandwidth / model.active_bytes() * (1 + 1e-9)
    assert speed.decode.low <= speed.decode.high <= (speed.roofline_decode or 0) * (1 + 1e-9)
    assert speed.batch_decode.high <= parallel * (speed.roofline_decode or 0) * (1 + 1e-9)


def test_more_gpus_are_faster_but_never_by_as_many_times(tmp_path):
    model = of_70b(tmp_path)
    speeds = [
        estimate(model, machine.describe(f"{ways}x h200"), (Share(0, ways=ways, cache_ways=ways),), engine="vllm")
        for ways in (1, 2, 4, 8)
    ]
    lows = [speed.decode.low for speed in speeds if speed.decode]

    assert lows == sorted(lows)
    for place, low in enumerate(lows[1:], 1):
        assert low < 2**place * lows[0]


def test_a_slow_link_makes_prompts_slower(tmp_path):
    model = of_70b(tmp_path)
    share = (Share(0, ways=4, cache_ways=4),)
    work = Workload(8192, 1, prompt_tokens=4096)
    one = machine.describe("4x rtx 4090")
    fast, slow = (
        estimate(model, here, share, work, engine="vllm").prefill for here in (machine.describe("4x h100"), one)
    )

    assert fast
    assert slow
    assert slow.low < fast.low / 2


def test_each_engine_says_whose_speeds_its_own_are_drawn_from(tmp_path):
    model = read(tmp_path, LLAMA_8B)
    card, alone = machine.describe("rtx 4090"), machine.describe("ram=64GiB@60GB/s,cores=16")
    vllm, transformers = (plan_checkpoint(model, here, Workload(4096, 1)) for here in (card, alone))
    gguf = facts.read(write_model(tmp_path / "m.gguf", Shape(2, 256, 512, 4, 2, type="Q4_K")))
    known = touched(gguf)
    assert known
    llama_cpp = estimate(known, card, (Share(0),)).decode

    assert vllm.speed
    assert transformers.speed
    for plan, name in ((vllm, "vLLM"), (transformers, "transformers")):
        assert plan.speed
        assert plan.speed.decode
        assert f"carried over to {name}, of which no speed was measured here" in (plan.speed.decode.source or "")
    assert llama_cpp
    assert "carried over" not in (llama_cpp.source or "")
    # And is less sure of it.
    as_vllm = estimate(known, card, (Share(0),), engine="vllm").decode
    assert as_vllm
    assert as_vllm.high / as_vllm.low > llama_cpp.high / llama_cpp.low


def test_two_checkpoints_share_gpus_and_never_more_than_there_is(tmp_path):
    here = machine.describe("4x a100-80gb")
    models = [(read(tmp_path / "a", LLAMA_8B), Workload(8192, 2)), (read(tmp_path / "b", LLAMA_70B), Workload(8192, 2))]
    plans = plan_together(models, here)

    assert [plan.facts.embedding_length for plan in plans] == [4096, 8192]
    assert all(plan.verdict is not Verdict.NO for plan in plans)
    taken: dict[int, float] = {}
    for plan in plans:
        share = float(plan.arguments[plan.arguments.index("--gpu-memory-utilization") + 1])
        for need in plan.devices:
            assert need.index is not None
            assert need.memory.total <= (need.available_bytes or 0)
            taken[need.index] = taken.get(need.index, 0) + share
        assert any("CUDA_VISIBLE_DEVICES" in note for note in plan.notes)
    assert max(taken.values()) <= 1


def test_what_does_not_fit_beside_the_larger_one_is_refused_and_the_larger_one_stays(tmp_path):
    here = machine.describe("2x a100-80gb")
    small, large = read(tmp_path / "a", LLAMA_8B), read(tmp_path / "b", LLAMA_70B)
    alone = plan_checkpoint(small, here, Workload(8192, 2))
    plans = plan_together([(small, Workload(8192, 2)), (large, Workload(8192, 2))], here)

    assert alone.verdict is Verdict.FITS
    assert plans[0].verdict is Verdict.NO
    assert plans[1].verdict is not Verdict.NO


def test_a_checkpoint_and_a_file_share_main_memory(tmp_path):
    here = machine.describe("ram=32GiB@60GB/s,cores=8")
    checkpoint = read(tmp_path / "a", LLAMA_8B)
    file = facts.read(write_model(tmp_path / "m.gguf", Shape(4, 1024, 2816, 16, 4, vocabulary=32000, type="Q4_K")))
    engines = {}
    for models in ([checkpoint, file], [file, checkpoint]):
        plans = plan_together([(model, Workload(4096, 1)) for model in models], here)
        assert sum(plan.memory.total for plan in plans) <= here.memory.available_bytes  # type: ignore[union-attr]
        engines = {plan.facts.source.kind: plan.engine for plan in plans}
    assert engines["gguf"] == "llama_cpp"
    assert "transformers" in engines.values()


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_weigh_fit_plans_checkpoints_together(tmp_path, flags):
    for name in ("a", "b"):
        read(tmp_path / name, LLAMA_8B)
    done = run_weigh("fit", str(tmp_path / "a"), str(tmp_path / "b"), "--machine", "2x a100-80gb", *flags)

    assert done.returncode == 0, done.stderr
    if flags:
        said = json.loads(done.stdout)
        assert [each["engine"] for each in said] == ["vllm", "vllm"]
        assert all(each["speed"]["decode"]["low"] > 0 for each in said)
    else:
        assert done.stdout.count("by vllm") == 2
        assert "CUDA_VISIBLE_DEVICES" in done.stdout
