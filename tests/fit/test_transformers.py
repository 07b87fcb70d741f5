"""transformers' memory: what was counted over all its tensors beside the formulas, and how the need grows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.facts.test_families import TRUTH, named
from tests.safetensors_files import write_folder
from weighbridge import facts
from weighbridge.errors import BadModelFile, BadSetting
from weighbridge.facts import ModelFacts
from weighbridge.fit import transformers
from weighbridge.fit.memory import MemoryNeed
from weighbridge.fit.workload import Workload
from weighbridge.machine import Device

# Counted by transformers 5.23.0 with torch 2.15.0: every storage that a forward pass made was followed from its making
# to its end, over fake tensors, which have shapes and no numbers (TorchDispatchMode over FakeTensorMode), with
# `DynamicCache(config=...)`. Family (by the shapes in tests/facts/truth, so many first layers), prompts, tokens,
# attention, whether all scores were kept; weights, cache after the prompt, after one token more, and most bytes that
# lived at once beside the weights while the prompt was read.
COUNTED = [
    ("llama", 4, 1, 4096, "sdpa", False, 3846250496, 67108864, 67125248, 555778048),
    ("llama", 4, 1, 8192, "sdpa", False, 3846250496, 134217728, 134234112, 1111556096),
    ("llama", 4, 2, 4096, "sdpa", False, 3846250496, 134217728, 134250496, 1109426176),
    ("llama", 4, 1, 4096, "eager", False, 3846250496, 67108864, 67125248, 5672828928),
    ("llama", 4, 1, 4096, "sdpa", True, 3846250496, 67108864, 67125248, 1151336448),
    ("qwen3", 4, 1, 4096, "sdpa", False, 4032899072, 67108864, 67125248, 505446400),
    ("qwen2", 4, 1, 4096, "sdpa", False, 4044459008, 33554432, 33562624, 618692608),
    ("mistral", 4, 1, 4096, "sdpa", False, 4865484800, 67108864, 67125248, 589332480),
    ("gemma3_text", 6, 1, 8192, "sdpa", False, 926087424, 50331648, 11011072, 549519360),
    ("gemma3_text", 6, 1, 8192, "eager", False, 926087424, 50331648, 11011072, 3093364736),
    ("qwen3_moe", 4, 1, 4096, "sdpa", False, 6229628928, 33554432, 33562624, 642024448),
    ("mixtral", 2, 1, 4096, "sdpa", False, 10821562368, 33554432, 33562624, 1411776576),
    ("gpt_oss", 4, 1, 4096, "eager", False, 8902035328, 33554432, 17305600, 6716686336),
    ("olmo2", 4, 1, 4096, "sdpa", False, 5956052992, 67108864, 67125248, 876642304),
    ("deepseek_v2_lite", 3, 1, 2048, "sdpa", False, 3340270592, 7077888, 7081344, None),
]
# By how much the sum may be more than what was counted: nothing where the formula tells every byte. OLMo-2 normalizes
# after a layer, gpt-oss has a softmax of its own: the formula is an upper estimate for them.
AT_MOST = {"llama": 1.0, "qwen3": 1.0, "qwen2": 1.0, "mistral": 1.0, "olmo2": 1.05, "gpt_oss": 1.65}


@pytest.fixture
def model(tmp_path):
    def build(family: str, layers: int | None = None, *, headers: bool = False, **more: Any) -> ModelFacts:
        truth = json.loads((TRUTH / f"{family}.json").read_text())
        config = {**truth["config"], "torch_dtype": "bfloat16", **more}
        if layers:
            config["num_hidden_layers"] = layers
            if "layer_types" in config:
                config["layer_types"] = config["layer_types"][:layers]
        folder = tmp_path / f"{family}-{layers}-{headers}"
        if headers:
            return facts.read(write_folder(folder, config, {name: ("BF16", shape) for name, shape in named(truth)}))
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config))
        return facts.read(folder)

    return build


def a_gpu(free: int) -> Device:
    return Device("a GPU", "nvidia", free, free)


@pytest.mark.parametrize("row", COUNTED, ids=lambda row: f"{row[0]}-{row[2]}x{row[3]}-{row[4]}{'-all' * row[5]}")
def test_the_sum_is_what_transformers_makes(model, row):
    family, layers, prompts, tokens, attention, all_logits, weights, _, after_one_more, most = row
    found = model(family, layers)

    def ask(context: int) -> MemoryNeed:
        workload = Workload(context, prompts)
        return transformers.plan_memory(found, None, workload, attention=attention, all_logits=all_logits)[0].memory

    memory = ask(tokens)

    assert memory.weights == weights
    assert ask(tokens + 1).kv_cache == after_one_more
    if most is None:
        return
    lived = memory.kv_cache + memory.compute
    assert lived >= most
    assert lived <= most * AT_MOST.get(family, 1.02)


def test_a_window_holds_the_whole_prompt_until_the_next_token(model):
    """50.3 MB were counted after a prompt of 8192 tokens, 11.0 MB one token later."""
    found = model("gemma3_text", 6)
    held = transformers._beyond_windows(found, 8192, 2) + transformers._kv_cache(found, 8192, 2)

    assert held == 50331648


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "gpt_oss", "deepseek_v3", "qwen3_5_moe", "mamba2"])
def test_the_need_grows_with_context_and_prompts(model, family):
    found = model(family)
    totals = [
        [transformers.plan_memory(found, None, Workload(context, prompts))[0].memory.total for context in (512, 4096)]
        for prompts in (1, 3)
    ]

    assert totals[0][0] < totals[0][1] < totals[1][1]
    assert totals[0][0] < totals[1][0]


def test_types_and_bitsandbytes(model):
    """Llama-3.1-8B: 6,979,321,856 weights in linear layers are packed, 1,050,939,392 stay in 16 bits."""
    found = model("llama", headers=True)
    need = {
        dtype: transformers.plan_memory(found, None, Workload(512), dtype)[0].memory.weights
        for dtype in (None, "bfloat16", "float32", "int8", "nf4")
    }

    assert need[None] == need["bfloat16"] == 2 * 8030261248
    assert need["float32"] == 4 * 8030261248
    assert need["int8"] == 6979321856 + 2 * 1050939392
    assert need["nf4"] == 6979321856 * 0.5625 + 2 * 1050939392


def test_experts_are_not_packed(model):
    found = model("qwen3_moe", headers=True)
    need, notes = transformers.plan_memory(found, None, Workload(512), "nf4")

    assert need.memory.weights > 2 * (found.parameters.routed_experts or 0)
    assert any("experts" in note for note in notes)


def test_a_device_is_judged_by_what_is_free(model):
    found = model("llama")
    for free, fits in ((20 << 30, True), (15 << 30, False)):
        need, notes = transformers.plan_memory(found, a_gpu(free), Workload(4096, 1))
        assert (need.fits, need.available_bytes, need.index) == (fits, free, 0)
        assert any("assumed" in note for note in notes)
    assert transformers.plan_memory(found, None, Workload(4096, 1))[0].index is None


def test_what_has_no_rule_is_refused(model, tiny_gguf, tmp_path):
    with pytest.raises(BadModelFile, match="GGUF") as refused:
        transformers.plan_memory(facts.read(tiny_gguf()), None, Workload(512))
    assert "safetensors" in refused.value.hint
    with pytest.raises(BadModelFile, match="compressed"):
        transformers.plan_memory(model("deepseek_v4"), None, Workload(512))
    with pytest.raises(BadSetting, match="int3"):
        transformers.plan_memory(model("llama"), None, Workload(512), "int3")
    with pytest.raises(BadSetting, match="paged"):
        transformers.plan_memory(model("qwen3"), None, Workload(512), attention="paged")
