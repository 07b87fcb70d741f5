"""Every family's counts are exact: from a config alone, and from headers of checkpoints and GGUF files of true shapes.

The truth in `truth/` was made by instantiating each model (see `truth/make.py`); our own code took no part in it.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import pytest

from tests.conftest import SHARED
from tests.safetensors_files import write_folder
from weighbridge import facts

TRUTH = Path(__file__).parent / "truth"
NAMES = sorted(path.stem for path in TRUTH.glob("*.json"))
CONFIGS = SHARED / "data" / "configs"


def truth_of(name: str) -> dict[str, Any]:
    return json.loads((TRUTH / f"{name}.json").read_text())


def routed(truth: dict[str, Any]) -> int:
    return sum(
        math.prod(shape) * copies
        for name, shape, copies in truth["parameters"]
        if ".experts." in name and "shared_expert" not in name
    )


def block_count(config: dict[str, Any]) -> int:
    text = next((config[key] for key in ("text_config", "llm_config") if key in config), config)
    for key in ("num_hidden_layers", "n_layers", "n_layer", "num_layers"):
        if isinstance(text.get(key), int):
            return text[key]
    return len(text.get("layer_types") or text.get("layers_block_type") or [1])


# Where checkpoints keep a parameter under another name than transformers does.
RENAMED = {"laguna": ("mlp.gate.e_score_correction_bias", "mlp.experts.e_score_correction_bias")}


def published(truth: dict[str, Any], name: str) -> str:
    ours, theirs = RENAMED.get(truth["config"].get("model_type", ""), ("", ""))
    return name.replace(ours, theirs) if ours else name


def named(truth: dict[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Each tensor by itself: the star in its name numbered; of two stars the first is a layer."""
    layers, used = block_count(truth["config"]), Counter[str]()
    for name, shape, copies in truth["parameters"]:
        first, star, rest = published(truth, name).partition("*")
        for _ in range(copies):
            number = used[name]
            used[name] += 1
            if "*" in rest:
                yield f"{first}{number % layers}{rest.replace('*', str(number // layers))}", tuple(shape)
            else:
                yield f"{first}{number}{rest}" if star else first, tuple(shape)


@pytest.mark.parametrize("name", NAMES)
def test_a_config_alone_gives_the_count_of_the_model_itself(tmp_path, name):
    truth = truth_of(name)
    (tmp_path / "config.json").write_text(json.dumps(truth["config"]))
    found = facts.read(tmp_path)

    assert found.parameters.total == truth["total"]
    assert found.parameters.basis == "computed"
    assert found.notes == ()


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_of_these_shapes_gives_the_same_count(tmp_path, name):
    truth = truth_of(name)
    tensors = {tensor: ("BF16", shape) for tensor, shape in named(truth)}
    alone = {key: value for key, value in truth["config"].items() if key != "quantization_config"}
    found = facts.read(write_folder(tmp_path, alone, tensors))

    assert found.parameters.basis == "read"
    assert found.parameters.total == truth["total"]
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "config.json").write_text(json.dumps(alone))
    computed = facts.read(tmp_path / "alone").parameters
    for part in ("active", "embedding", "output", "routed_experts", "vision", "audio"):
        assert getattr(found.parameters, part) == getattr(computed, part), part


ARCHITECTURES = {"llama": "LLAMA", "qwen3": "QWEN3", "mixtral": "LLAMA", "olmo2": "OLMO2", "starcoder2": "STARCODER2",
                 "glm4_moe": "GLM4_MOE", "gpt_oss": "GPT_OSS", "smollm3": "SMOLLM3"}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name in NAMES])
def test_a_gguf_file_of_these_shapes_gives_the_same_count(tmp_path, name):
    """The names are mapped by the gguf package, as converters do."""
    truth = truth_of(name)
    config, layers = truth["config"], block_count(truth["config"])
    architecture = getattr(gguf.MODEL_ARCH, ARCHITECTURES[name])
    names = gguf.get_tensor_name_map(architecture, layers)
    path = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[architecture])
    writer.add_block_count(layers)
    writer.add_embedding_length(config["hidden_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_vocab_size(config["vocab_size"])
    experts = config.get("num_local_experts") or config.get("n_routed_experts")
    if experts:
        writer.add_expert_count(experts)
        writer.add_expert_used_count(config["num_experts_per_tok"])
    total = 0
    for tensor, shape in named(truth):
        for mapped, split in pieces(tensor, shape):
            target = names.get_name(mapped, try_suffixes=(".weight", ".bias")) or mapped
            size = math.prod(split) * 2
            writer.add_tensor_info(target, split, gguf.np.dtype("float16"), size)
            total += -(-size // 32) * 32
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.fout[0].flush()
    writer.fout[0].truncate(path.stat().st_size + 64 + total)
    writer.close()
    found = facts.read(path)

    assert found.parameters.total == truth["total"]
    assert found.parameters.routed_experts == routed(truth)


def pieces(name: str, shape: tuple[int, ...]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Experts' gate and up lie in one tensor in transformers, in two in GGUF."""
    if "gate_up_proj" in name and ".experts." in name:
        half = (*shape[:-1], shape[-1] // 2) if name.endswith("bias") else (shape[0], shape[1] // 2, *shape[2:])
        suffix = ".bias" if name.endswith("bias") else ".weight"
        for part in ("gate_proj", "up_proj"):
            yield name.split("gate_up_proj")[0] + part + suffix, half
    elif ".experts.down_proj" in name and not name.endswith(".weight"):
        suffix = ".bias" if name.endswith("bias") else ".weight"
        yield name.split("down_proj")[0] + "down_proj" + suffix, shape
    else:
        yield name, shape


# Active parameters as their makers publish them, in billions as printed, and which convention gives that figure.
PUBLISHED = {
    "deepseek-ai--DeepSeek-V3": (37, "active"),
    "deepseek-ai--DeepSeek-V4-Pro": (49, "without embedding"),
    "moonshotai--Kimi-K2-Instruct": (32, "without embedding"),
    "Qwen--Qwen3-235B-A22B": (22, "active"),
    "Qwen--Qwen3-Coder-480B-A35B-Instruct": (35, "active"),
    "Qwen--Qwen3.5-397B-A17B": (17, "without embedding"),
    "openai--gpt-oss-120b": (5.1, "without embedding"),
    "zai-org--GLM-5": (40, "without embedding"),
    "mistralai--Mixtral-8x7B-v0.1": (12.9, "active"),
    "meta-llama--Llama-4-Scout-17B-16E-Instruct": (17, "without embedding"),
    "XiaomiMiMo--MiMo-V2-Flash": (15, "active"),
    "MiniMaxAI--MiniMax-M2.5": (10, "without embedding"),
}


@pytest.mark.skipif(not CONFIGS.is_dir(), reason="the real configs lie in ../shared, which is not here")
@pytest.mark.parametrize("name", PUBLISHED)
def test_active_parameters_are_the_published_ones_under_the_stated_convention(name):
    published, convention = PUBLISHED[name]
    counts = facts.read(CONFIGS / "aiconfigurator" / f"{name}_config.json").parameters
    count = counts.active
    if "embedding" in convention:
        count -= counts.embedding
    digits = 1 if isinstance(published, float) else 0
    # Makers cut off as often as they round.
    assert published in (round(count / 1e9, digits), math.floor(count / 1e9 * 10**digits) / 10**digits)


@pytest.mark.skipif(not CONFIGS.is_dir(), reason="the real configs lie in ../shared, which is not here")
def test_every_real_config_is_counted_exactly():
    counted = json.loads((CONFIGS / "parameter_counts.json").read_text())
    differing = []
    for row in counted:
        if row.get("params") is None:
            continue
        found = facts.read(CONFIGS / "aiconfigurator" / row["file"]).parameters
        if (found.total, found.routed_experts) != (row["params"], row["expert_params"]):
            differing.append((row["file"], found.total, row["params"], found.routed_experts, row["expert_params"]))

    assert differing == []


# Our configs, and the models of vLLM's own table of what its code computes from them.
VLLM = {
    "dbrx-base_": "databricks/dbrx-instruct",
    "glm45__tokenizer_": "zai-org/GLM-4.5",
    "nvidia--DeepSeek-V3.2-NVFP4": "deepseek-ai/DeepSeek-V3.2-Exp",
    "meta-llama--Llama-4-Scout-17B-16E-Instruct": "meta-llama/Llama-4-Scout-17B-16E-Instruct",
    "XiaomiMiMo--MiMo-7B-Base": "XiaomiMiMo/MiMo-7B-RL",
    "nvidia--NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    "openai--gpt-oss-120b": "lmsys/gpt-oss-20b-bf16",
}  # fmt: skip


@pytest.mark.skipif(not CONFIGS.is_dir(), reason="the real configs lie in ../shared, which is not here")
@pytest.mark.parametrize("file", VLLM)
def test_cache_bytes_a_token_are_what_vllm_computes(file):
    """vLLM keeps 2 x heads x head_size values a layer and token, and one latent of head_size where it is MLA
    (v1/kv_cache_interface.py, FullAttentionSpec and MLAAttentionSpec)."""
    truth = json.loads((CONFIGS / "vllm" / "base_model_arch_groundtruth.json").read_text())[VLLM[file]]
    layers = [
        layer
        for layer in facts.read(next(CONFIGS.glob(f"*/{file}_config.json"))).layers
        if layer.kind not in ("recurrent", "none")
    ]
    values = truth["head_size"] * (1 if truth["is_deepseek_mla"] else 2 * truth["total_num_kv_heads"])

    assert layers
    assert {layer.keys + layer.values for layer in layers} == {values}
