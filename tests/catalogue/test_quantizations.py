"""Bytes at each recipe, held against llama.cpp's own choice of types and against sizes that it published."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import gguf
import pytest

from tests.catalogue.networks import NETWORKS, by_kind, config_of_truth, tensors_of_truth
from tests.catalogue.networks import TRUTH as FACTS_TRUTH
from tests.conftest import SHARED
from weighbridge.catalogue.gguf_tensors import ARCHITECTURES, Stored, tensors_of
from weighbridge.catalogue.quantizations import (
    BLOCKS,
    NEEDS_MATRIX,
    RECIPES,
    GGUFTensor,
    Network,
    choose_types,
    quantize,
)
from weighbridge.catalogue.shaping import facts_of_config, parts_of_config

TRUTH = Path(__file__).parent / "truth"


def read_truth(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(gzip.decompress((TRUTH / name).read_bytes()))
    return content


TYPES = read_truth("types.json.gz")
SNAPSHOTS = read_truth("snapshots.json.gz")


def is_changed(tensor: GGUFTensor, kind: str) -> bool:
    """Whether llama.cpp's answer speaks of this tensor: it leaves out what keeps the type of the source."""
    kept = ("altup", "laurel", "per_layer_model_proj")
    return kind != "F32" and not any(part in tensor.name for part in kept)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_tensor_gets_the_type_that_llama_cpp_gives_it(name: str) -> None:
    tensors, network = tensors_of_truth(name)
    assert len(TYPES[name]) == 2 * len(RECIPES)
    for key, expected in TYPES[name].items():
        recipe, _, matrix = key.partition("+")
        chosen = choose_types(tensors, network, recipe, matrix=bool(matrix))
        ours = {each.name: chosen[each.name] for each in tensors if is_changed(each, chosen[each.name])}

        assert by_kind(ours) == expected, key


# Files that were published, as llama.cpp's tests record them, and configs of the same networks.
PUBLISHED = {
    "deepseek-v3.1": "deepseek_v3", "gemma-3-4b-it": "gemma3", "glm-4.6v": "glm4v_moe",
    "nvidia-nemotron-3-nano-30b-a3b": "nemotron_h", "qwen3-coder-next": "qwen3_next", "qwen3.6-27b": "qwen3_5",
}  # fmt: skip


@pytest.mark.parametrize("published", PUBLISHED)
def test_published_files_have_these_tensors_and_these_types(published: str) -> None:
    tensors, network = tensors_of_truth(PUBLISHED[published])
    for recipe, section in SNAPSHOTS[published].items():
        chosen = choose_types(tensors, network, recipe)
        others = {
            each.name: chosen[each.name]
            for each in tensors
            if is_changed(each, chosen[each.name]) and chosen[each.name] != section["usual"]
        }

        assert by_kind(others) == section["others"], recipe


# Bits a weight of Llama 3.1 8B: https://github.com/ggml-org/llama.cpp/blob/master/tools/quantize/README.md
PUBLISHED_BITS = {
    "IQ1_S": 2.0042, "IQ1_M": 2.1460, "IQ2_XXS": 2.3824, "IQ2_XS": 2.5882, "IQ2_S": 2.7403, "IQ2_M": 2.9294,
    "IQ3_XXS": 3.2548, "IQ3_XS": 3.4977, "IQ3_S": 3.6606, "IQ3_M": 3.7628, "IQ4_XS": 4.4597, "IQ4_NL": 4.6818,
    "Q2_K_S": 2.9697, "Q2_K": 3.1593, "Q3_K_S": 3.6429, "Q3_K_M": 3.9960, "Q3_K_L": 4.2979, "Q4_K_S": 4.6672,
    "Q4_K_M": 4.8944, "Q5_K_S": 5.5704, "Q5_K_M": 5.7036, "Q6_K": 6.5633, "Q8_0": 8.5008, "F16": 16.0005,
}  # fmt: skip


@pytest.mark.parametrize("recipe", PUBLISHED_BITS)
def test_sizes_of_llama_3_1_8b_are_the_published_ones(recipe: str) -> None:
    tensors, network = tensors_of_truth("llama")

    bits = quantize(tensors, network, recipe).weights_bytes * 8 / 8_030_261_248

    assert bits == pytest.approx(PUBLISHED_BITS[recipe], abs=0.00006)


def test_blocks_are_those_of_ggml() -> None:
    sizes = {kind.name: size for kind, size in gguf.GGML_QUANT_SIZES.items()}

    assert {name: sizes[name] for name in BLOCKS} == BLOCKS
    assert set(RECIPES.values()) <= set(BLOCKS)
    assert set(RECIPES) > NEEDS_MATRIX


FAMILIES = [
    path.stem
    for path in sorted(FACTS_TRUTH.glob("*.json"))
    if config_of_truth(path.stem).get("model_type") in ARCHITECTURES
]


@pytest.mark.parametrize("name", FAMILIES)
def test_matrices_bear_names_that_the_architecture_has(name: str) -> None:
    tensors, network = tensors_of_truth(name)
    architecture = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == network.architecture)
    allowed = {gguf.TENSOR_NAMES[tensor] for tensor in gguf.MODEL_TENSORS[architecture]}
    # The converter takes dense layers among sparse ones for these families only in newer versions.
    allowed |= {"blk.{bid}.ffn_gate", "blk.{bid}.ffn_up", "blk.{bid}.ffn_down", "blk.{bid}.ffn_latent_down",
                "blk.{bid}.ffn_latent_up"}  # fmt: skip
    used = {
        re.sub(r"^blk\.\d+\.", "blk.{bid}.", tensor.name).removesuffix(".weight")
        for tensor in tensors
        if len(tensor.shape) > 1 and not tensor.name.endswith(".vector")
    }

    assert used <= allowed


@pytest.mark.parametrize("name", NETWORKS)
def test_no_weight_of_the_language_model_is_lost(name: str) -> None:
    config = config_of_truth(name)
    counted = facts_of_config(config, name).parameters
    tensors, _ = tensors_of_truth(name)
    total = sum(tensor.elements for tensor in tensors)

    assert counted.total is not None
    apart = (counted.vision or 0) + (counted.audio or 0)
    kept = total - (counted.total - apart)
    assert kept in (0, counted.mtp)


def test_recipes_of_fewer_bits_take_fewer_bytes() -> None:
    tensors, network = tensors_of_truth("llama")
    order = ["F16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q4_K_M", "Q4_K_S", "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K"]
    sizes = [quantize(tensors, network, recipe).weights_bytes for recipe in order]

    assert sizes == sorted(sizes, reverse=True)


def test_an_embedding_is_read_whole_only_where_it_makes_the_scores() -> None:
    untied = quantize(*tensors_of_truth("llama"), "Q8_0")
    tied = quantize(*tensors_of_truth("llama_tied"), "Q8_0")

    assert untied.active_bytes == untied.weights_bytes - untied.embedding_bytes
    assert untied.output_bytes == untied.embedding_bytes
    assert tied.active_bytes == tied.weights_bytes
    assert tied.output_bytes == tied.embedding_bytes


def test_layers_that_predict_further_tokens_are_stored_and_not_read() -> None:
    tensors, network = tensors_of_truth("glm4_moe")
    further = {tensor for tensor in tensors if tensor.name.startswith("blk.46.")}
    whole = quantize(tensors, network, "Q8_0")
    without = quantize([tensor for tensor in tensors if tensor not in further], network, "Q8_0")

    assert further
    assert whole.weights_bytes > without.weights_bytes
    assert whole.active_bytes == without.active_bytes


def test_a_family_that_is_not_known_well_enough_has_no_bytes() -> None:
    assert tensors_of("never_heard_of", [], 8, 2, None) is None
    odd = [Stored("model.embed_tokens.weight", (64, 32)), Stored("model.layers.0.self_attn.new_proj.weight", (32, 32))]
    assert tensors_of("llama", odd, 4, 1, None) is None


def test_rows_that_are_no_whole_number_of_blocks_get_another_type() -> None:
    network = Network("llama", 1, 0, 0, 1)
    tensors = [GGUFTensor("blk.0.attn_q.weight", (96, 64)), GGUFTensor("blk.0.attn_k.weight", (100, 64))]

    assert choose_types(tensors, network, "Q4_K_S") == {"blk.0.attn_q.weight": "Q5_0", "blk.0.attn_k.weight": "F16"}


@pytest.mark.skipif(not SHARED.is_dir(), reason="the reference data is not here")
def test_a_real_70b_gets_more_bits_for_its_values() -> None:
    path = SHARED / "data/configs/inference-sim/llama-3.1-70b-instruct__config.json"
    config = json.loads(path.read_text())
    facts = facts_of_config(config, "70b")
    found = tensors_of("llama", parts_of_config(config, "70b"), 64, len(facts.layers), None)
    assert found is not None
    section = SNAPSHOTS["meta-llama-3.1-70b-instruct"]["Q4_K_M"]
    chosen = choose_types(*found, "Q4_K_M")

    assert found[1].is_70b
    assert (
        by_kind({name: kind for name, kind in chosen.items() if kind not in ("F32", section["usual"])})
        == section["others"]
    )
