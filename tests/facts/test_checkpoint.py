"""`facts.read` on checkpoints: what packed weights stand for, what stands apart, and where each value was found."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.safetensors_files import write, write_folder
from weighbridge import facts
from weighbridge.errors import BadModelFile

CONFIG = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 256, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 512, "vocab_size": 1000,
    "max_position_embeddings": 4096, "tie_word_embeddings": False,
}  # fmt: skip
PLAIN = {"model.embed_tokens.weight": ("BF16", (1000, 256)), "model.norm.weight": ("BF16", (256,))}
NAME = "model.layers.0.mlp.up_proj"
WEIGHTS = 512 * 256

# How each quantization keeps one matrix of 512 x 256 weights, what its config says, and how we call it.
PACKED = {
    "gptq": (
        {"quant_method": "gptq", "bits": 4, "group_size": 128},
        {".qweight": ("I32", (32, 512)), ".qzeros": ("I32", (2, 64)), ".scales": ("F16", (2, 512)),
         ".g_idx": ("I32", (256,))},
        "INT4", "GPTQ INT4",
    ),
    "gptq 8 bit": ({"quant_method": "gptq", "bits": 8}, {".qweight": ("I32", (64, 512))}, "INT8", "GPTQ INT8"),
    "gptq 3 bit": ({"quant_method": "gptq", "bits": 3}, {".qweight": ("I32", (24, 512))}, "INT3", "GPTQ INT3"),
    "awq": (
        {"quant_method": "awq", "bits": 4, "group_size": 128},
        {".qweight": ("I32", (256, 64)), ".qzeros": ("I32", (2, 64)), ".scales": ("F16", (2, 512))},
        "INT4", "AWQ INT4",
    ),
    "fp8 in blocks": (
        {"quant_method": "fp8", "weight_block_size": [128, 128]},
        {".weight": ("F8_E4M3", (512, 256)), ".weight_scale_inv": ("F32", (4, 2))},
        "FP8", "FP8",
    ),
    "nvfp4": (
        {"quant_method": "modelopt", "quant_algo": "NVFP4"},
        {".weight": ("U8", (512, 128)), ".weight_scale": ("F8_E4M3", (512, 16)), ".weight_scale_2": ("F32", ()),
         ".input_scale": ("F32", ())},
        "NVFP4", "NVFP4",
    ),
    "mxfp4 of gpt-oss": (
        {"quant_method": "mxfp4"},
        {"_blocks": ("U8", (512, 8, 16)), "_scales": ("U8", (512, 8))},
        "MXFP4", "MXFP4",
    ),
    "compressed-tensors int4": (
        {"quant_method": "compressed-tensors", "format": "pack-quantized",
         "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int"}}}},
        {".weight_packed": ("I32", (512, 32)), ".weight_scale": ("BF16", (512, 2)), ".weight_shape": ("I64", (2,))},
        "INT4", "INT4",
    ),
    "compressed-tensors nvfp4": (
        {"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"},
        {".weight_packed": ("U8", (512, 128)), ".weight_scale": ("F8_E4M3", (512, 16)),
         ".weight_global_scale": ("F32", (1,))},
        "NVFP4", "NVFP4",
    ),
    "compressed-tensors fp8": (
        {"quant_method": "compressed-tensors", "format": "float-quantized",
         "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "float"}}}},
        {".weight": ("F8_E4M3", (512, 256)), ".weight_scale": ("BF16", (512, 1))},
        "FP8", "FP8",
    ),
    "bitsandbytes nf4": (
        {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
        {".weight": ("U8", (WEIGHTS // 2, 1)), ".weight.absmax": ("U8", (2048,)), ".weight.quant_map": ("F32", (16,)),
         ".weight.nested_absmax": ("F32", (8,)), ".weight.quant_state.bitsandbytes__nf4": ("U8", (200,))},
        "NF4", "NF4",
    ),
    "bitsandbytes int8": (
        {"quant_method": "bitsandbytes", "load_in_8bit": True},
        {".weight": ("I8", (512, 256)), ".SCB": ("F32", (512,))},
        "INT8", "INT8",
    ),
    "bitnet": (
        {"quant_method": "bitnet"},
        {".weight": ("U8", (128, 256)), ".weight_scale": ("BF16", (1,))},
        "TERNARY", "BITNET",
    ),
    "deepseek-v4 fp4": (
        {"quant_method": "fp8"},
        {".weight": ("I8", (512, 128)), ".scale": ("F8_E8M0", (512, 8))},
        "FP4", "FP8",
    ),
    "mlx 4 bit": (
        {"bits": 4, "group_size": 64},
        {".weight": ("U32", (512, 32)), ".scales": ("BF16", (512, 4)), ".biases": ("BF16", (512, 4))},
        "INT4", "MLX INT4",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PACKED)
def test_packed_weights_count_as_what_they_stand_for(tmp_path, name):
    quantization, tensors, kind, called = PACKED[name]
    key = "quantization" if name.startswith("mlx") else "quantization_config"
    stored = PLAIN | {f"{NAME}{suffix}": shape for suffix, shape in tensors.items()}
    found = facts.read(write_folder(tmp_path, CONFIG | {key: quantization}, stored))

    assert found.parameters.total == 1000 * 256 + 256 + WEIGHTS
    assert found.quantization == called
    (row,) = [row for row in found.weights if row.role == "feed_forward" and row.type == kind]
    assert row.parameters == WEIGHTS
    assert sum(row.bytes for row in found.weights) == found.weights_bytes == sum(t.bytes for t in found.tensors)
    assert found.bits_per_weight == round(found.weights_bytes * 8 / found.parameters.total, 4)


def test_weights_packed_in_an_unknown_way_make_the_total_unknown(tmp_path):
    found = facts.read(write_folder(tmp_path, CONFIG, PLAIN | {f"{NAME}.packed": ("I32", (512, 32))}))

    assert found.parameters.total is None
    assert found.weights_bytes == sum(tensor.bytes for tensor in found.tensors)
    assert any("not known here" in note for note in found.notes)


def test_a_tied_matrix_that_is_stored_twice_counts_once(tmp_path):
    stored = PLAIN | {"lm_head.weight": ("BF16", (1000, 256))}
    tied = facts.read(write_folder(tmp_path / "tied", CONFIG | {"tie_word_embeddings": True}, stored)).parameters
    apart = facts.read(write_folder(tmp_path / "apart", CONFIG, stored)).parameters

    assert (tied.total, tied.stored) == (1000 * 256 + 256, 2 * 1000 * 256 + 256)
    assert (apart.total, apart.output) == (2 * 1000 * 256 + 256, 1000 * 256)


def test_layers_that_predict_further_tokens_stand_beside_the_total(tmp_path):
    stored = PLAIN | {
        "model.layers.1.mlp.up_proj.weight": ("BF16", (512, 256)),
        "model.layers.2.mlp.up_proj.weight": ("BF16", (512, 256)),
        "model.layers.2.eh_proj.weight": ("BF16", (256, 512)),
        "mtp.layers.0.mlp.up_proj.weight": ("BF16", (512, 256)),
    }
    found = facts.read(write_folder(tmp_path, CONFIG, stored)).parameters

    assert found.total == 1000 * 256 + 256 + WEIGHTS
    assert found.mtp == 3 * WEIGHTS
    assert found.stored == found.total + found.mtp


def test_active_parameters_count_routed_experts_by_use_and_shared_ones_whole(tmp_path):
    moe = CONFIG | {"num_local_experts": 8, "num_experts_per_tok": 2, "n_shared_experts": 1}
    experts = {f"model.layers.0.mlp.experts.{n}.up_proj.weight": ("BF16", (512, 256)) for n in range(8)}
    rest = {
        "model.layers.0.mlp.shared_experts.up_proj.weight": ("BF16", (512, 256)),
        "model.layers.0.mlp.gate.weight": ("BF16", (8, 256)),
        "model.layers.0.mlp.gate.e_score_correction_bias": ("F32", (8,)),
    }
    found = facts.read(write_folder(tmp_path, moe, PLAIN | experts | rest))

    assert found.parameters.routed_experts == 8 * WEIGHTS
    assert found.parameters.shared_experts == WEIGHTS
    assert found.parameters.active == 1000 * 256 + 256 + 2 * WEIGHTS + WEIGHTS + 8 * 256
    assert found.active_weights_bytes == found.weights_bytes - 6 * WEIGHTS * 2 - 8 * 4
    assert (found.experts.total, found.experts.used, found.experts.shared) == (8, 2, 1)


def test_vision_and_audio_are_told_apart(tmp_path):
    stored = PLAIN | {
        "vision_tower.blocks.0.attn.qkv.weight": ("BF16", (256, 64)),
        "multi_modal_projector.linear.weight": ("BF16", (256, 64)),
        "audio_tower.layers.0.fc1.weight": ("BF16", (256, 32)),
    }
    config = {"model_type": "unheard_of", "text_config": CONFIG, "vision_config": {}, "audio_config": {"a": 1}}
    found = facts.read(write_folder(tmp_path, config, stored))

    assert found.parameters.vision == 2 * 256 * 64
    assert found.parameters.audio == 256 * 32
    assert found.modalities.input == ("text", "image", "audio")


def test_an_unknown_family_with_complete_metadata_needs_no_code(tmp_path):
    config = CONFIG | {"model_type": "unheard_of", "layer_types": ["sliding_attention", "full_attention"],
                       "sliding_window": 512, "head_dim": 32}  # fmt: skip
    found = facts.read(write_folder(tmp_path, config, PLAIN))
    alone = facts.read(tmp_path / "config.json")

    assert found.parameters.total == 1000 * 256 + 256
    assert [(layer.kind, layer.kv_bytes_per_token, layer.window_tokens) for layer in found.layers] == [
        ("sliding_window", 2 * 2 * 32 * 2, 512), ("grouped_query", 2 * 2 * 32 * 2, None),
    ]  # fmt: skip
    assert alone.parameters.total is None
    assert "unheard_of" in alone.notes[0]


def test_every_value_says_where_it_was_found(tmp_path):
    config = {"text_config": {"é": "ö"}, **CONFIG}
    folder = write_folder(tmp_path, config, PLAIN)
    raw = json.dumps(config, ensure_ascii=False).encode()
    (folder / "config.json").write_bytes(raw)
    found = facts.read(folder)

    for fact, key in (("context_length", "max_position_embeddings"), ("head_count", "num_attention_heads")):
        origin = found.origins[fact]
        assert origin.at == key
        assert origin.file.endswith("config.json")
        assert raw[origin.first_byte : origin.end_byte].decode() == f'"{key}": {CONFIG[key]}'
    assert found.origins["parameters"].at == "shapes of 2 tensors"
    assert found.origins["parameters"].file.endswith("model.safetensors")


def test_a_config_alone_says_that_its_counts_are_computed(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | {"torch_dtype": "bfloat16"}))
    found = facts.read(tmp_path / "config.json")

    assert (found.source.kind, found.parameters.basis) == ("config", "computed")
    assert found.weights_bytes == 2 * found.parameters.total
    assert "llama config implies" in found.origins["parameters"].at


def test_a_config_that_lacks_what_is_needed_gives_what_it_has(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama", "max_position_embeddings": 4096}')
    found = facts.read(tmp_path)

    assert (found.context_length, found.parameters.total, found.layers) == (4096, None, ())
    assert any("hidden_size" in note for note in found.notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1"),
        ("[]", "holds a list, expected an object"),
        ('{"hidden_size": "wide"}', "hidden_size is 'wide', expected a whole number"),
        ('{"num_hidden_layers": 1000000000, "hidden_size": 1}', "at most 4,096 layers"),
        ('{"hidden_size": 1, "hidden_size": 2}', "'hidden_size' occurs twice"),
        ("[" * 100_000, "nested too deeply"),
        ('{"text_config": 3}', "text_config is 3, expected an object"),
        ('{"num_hidden_layers": 2, "hidden_size": 8, "layer_types": ["full_attention"]}', "one word for each of 2"),
    ],
)
def test_a_wrong_config_is_named_with_its_place(tmp_path, text, message):
    (tmp_path / "config.json").write_text(text)

    with pytest.raises(BadModelFile, match=message) as caught:
        facts.read(tmp_path)
    assert "config.json" in str(caught.value)


def test_context_and_its_extension_are_told_apart(tmp_path):
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
    (tmp_path / "config.json").write_text(
        json.dumps(CONFIG | {"max_position_embeddings": 131072, "rope_scaling": yarn})
    )
    (tmp_path / "tokenizer_config.json").write_text('{"model_max_length": 65536, "tokenizer_class": "Qwen2Tokenizer"}')
    found = facts.read(tmp_path)
    context = found.context

    assert found.context_length == 131072
    assert (context.native, context.extended, context.served) == (32768, 131072, 65536)
    assert (context.scaling, context.factor) == ("yarn", 4.0)
    assert found.tokenizer == "Qwen2Tokenizer"


def test_licences_are_told_with_their_places(tmp_path):
    write_folder(tmp_path, CONFIG, PLAIN)
    (tmp_path / "README.md").write_text("---\nlicense: other\nlicense_name: kimi-k2\ntags: [chat, code]\n---\n# Model")
    (tmp_path / "LICENSE").write_text("\n\n# Modified MIT License\n\nCopyright ...")
    (tmp_path / "LICENSE-CODE").write_text("Apache License\nVersion 2.0")
    (tmp_path / "USE_POLICY.md").write_text("# Acceptable Use Policy")
    found = facts.read(tmp_path)
    told = {(s.covers, s.text, Path(s.file).name, s.place) for s in found.licences}

    assert found.licence == "kimi-k2"
    assert told == {
        ("weights", "other", "README.md", "license"),
        ("weights", "kimi-k2", "README.md", "license_name"),
        ("weights", "Modified MIT License", "LICENSE", "line 3"),
        ("code", "Apache License", "LICENSE-CODE", "line 1"),
        ("use", "Acceptable Use Policy", "USE_POLICY.md", "line 1"),
    }
    assert found.card.tags == ("chat", "code")


def test_a_pipeline_is_told_component_by_component(tmp_path):
    (tmp_path / "model_index.json").write_text(
        json.dumps({
            "_class_name": "FluxKontextPipeline", "_diffusers_version": "0.30",
            "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"], "image_encoder": [None, None],
            "transformer": ["diffusers", "FluxTransformer2DModel"], "text_encoder": ["transformers", "CLIPTextModel"],
            "vae": ["diffusers", "AutoencoderKL"],
        })
    )  # fmt: skip
    (tmp_path / "scheduler").mkdir()
    (tmp_path / "scheduler" / "scheduler_config.json").write_text("{}")
    for name, count in (("transformer", 3), ("text_encoder", 2), ("vae", 1)):
        write(tmp_path / name / "diffusion_pytorch_model.safetensors", {"blocks.0.w": ("BF16", (count, 1000))})
        (tmp_path / name / "config.json").write_text(json.dumps({"_class_name": f"Own{name.title()}"}))
    found = facts.read(tmp_path)

    assert (found.source.kind, found.architecture) == ("diffusers", "FluxKontextPipeline")
    assert [(part.name, part.parameters.total) for part in found.components] == [
        ("transformer", 3000), ("text_encoder", 2000), ("vae", 1000),
    ]  # fmt: skip
    assert found.parameters.total == 6000
    assert {row.role for row in found.weights} == {"transformer", "text_encoder", "vae"}
    assert (found.modalities.input, found.modalities.output) == (("text", "image"), ("image",))


def test_native_mistral_files_are_read(tmp_path):
    write(tmp_path / "consolidated.safetensors", {"tok_embeddings.weight": ("BF16", (1000, 256)),
                                                  "output.weight": ("BF16", (1000, 256))})  # fmt: skip
    params = {"dim": 256, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "head_dim": 64, "hidden_dim": 512,
              "vocab_size": 1000, "moe": {"num_experts": 8, "num_experts_per_tok": 2}}  # fmt: skip
    (tmp_path / "params.json").write_text(json.dumps(params))
    found = facts.read(tmp_path)

    assert (found.embedding_length, len(found.layers), found.layers[0].kv_bytes_per_token) == (256, 2, 512)
    assert (found.experts.total, found.experts.used) == (8, 2)
    assert found.parameters.embedding == found.parameters.output == 256_000


def test_a_folder_with_several_gguf_models_asks_which(tmp_path, tiny_gguf):
    for name in ("a-Q4_K_M.gguf", "a-Q8_0.gguf"):
        (tmp_path / "both").mkdir(exist_ok=True)
        (tmp_path / "both" / name).write_bytes(tiny_gguf().read_bytes())

    with pytest.raises(BadModelFile, match=r"holds 2 GGUF models \(a-Q4_K_M\.gguf, a-Q8_0\.gguf\), expected one"):
        facts.read(tmp_path / "both")


def test_a_mixture_whose_use_is_not_told_has_no_known_active_parameters(tmp_path):
    experts = {f"model.layers.0.mlp.experts.{n}.up_proj.weight": ("BF16", (512, 256)) for n in range(8)}
    found = facts.read(write_folder(tmp_path, None, PLAIN | experts))

    assert found.parameters.total == 1000 * 256 + 256 + 8 * WEIGHTS
    assert (found.parameters.active, found.active_weights_bytes) == (None, None)
    assert any("active parameters are unknown" in note for note in found.notes)


def test_tables_of_whole_numbers_are_no_weights(tmp_path):
    tables = {"layers.0.ffn.gate.tid2eid": ("I32", (1000, 6)), "embeddings.position_ids": ("I64", (1, 8194))}

    assert facts.read(write_folder(tmp_path, CONFIG, PLAIN | tables)).parameters.total == 1000 * 256 + 256


def test_modules_with_bits_of_their_own_count_by_their_inputs(tmp_path):
    quantization = {"quant_method": "gptq", "bits": 4, "dynamic": {"+:up_proj": {"bits": 8}}}
    packed = {f"{NAME}.qweight": ("I32", (64, 512)), f"{NAME}.g_idx": ("I32", (256,))}
    found = facts.read(write_folder(tmp_path, CONFIG | {"quantization_config": quantization}, PLAIN | packed))

    assert found.parameters.total == 1000 * 256 + 256 + WEIGHTS


@pytest.mark.parametrize("names", [["model.fp16"], ["model", "model.fp16"], ["model", "model.non_ema"]])
def test_of_a_components_variants_the_plain_one_counts(tmp_path, names):
    (tmp_path / "model_index.json").write_text('{"_class_name": "P", "unet": ["diffusers", "U"]}')
    for name in names:
        write(tmp_path / "unet" / f"{name}.safetensors", {"w": ("F16", (len(name), 10))})
    (tmp_path / "unet" / "config.json").write_text('{"_class_name": "U"}')

    assert facts.read(tmp_path).parameters.total == 10 * len(names[0])


@pytest.mark.parametrize("factor", ["NaN", "1e999", "-1", "true", "1" + "0" * 400])
def test_a_rope_factor_that_is_no_number_is_refused(tmp_path, factor):
    text = json.dumps(CONFIG)[:-1] + f', "rope_scaling": {{"rope_type": "yarn", "factor": {factor}}}}}'
    (tmp_path / "config.json").write_text(text)

    with pytest.raises(BadModelFile, match="factor is"):
        facts.read(tmp_path)


def test_hostile_texts_beside_a_model_take_no_time(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    many = ", ".join(f'"k{n}": {n}' for n in range(100_000))
    for name, text in {
        "chat_template.jinja": "{{" * 250_000 + "{#" * 250_000,
        "tokenizer_config.json": f'{{{many}, "k99999": 1, "chat_template": [{{"name": []}}]}}',
        "README.md": "---\nlicense: no\nwhen: !!timestamp 3\n---\n",
    }.items():
        (tmp_path / name).write_text(text)
    begun = time.process_time()
    found = facts.read(tmp_path)

    # A square of any of these lengths would be minutes.
    assert time.process_time() - begun < 30
    assert any("'k99999' occurs twice" in note for note in found.notes)


def test_an_importance_matrix_beside_a_model_is_no_second_one(tmp_path, tiny_gguf):
    folder = tmp_path / "both"
    folder.mkdir()
    for name in ("m-Q4_K_M.gguf", "m.imatrix.gguf"):
        (folder / name).write_bytes(tiny_gguf().read_bytes())

    assert facts.read(folder).source.files[0].endswith("m-Q4_K_M.gguf")


def test_a_file_that_is_no_models_config_is_told(tmp_path):
    (tmp_path / "generation_config.json").write_text('{"temperature": 0.6}')

    with pytest.raises(BadModelFile, match="none of the keys that a model's config has"):
        facts.read(tmp_path / "generation_config.json")


def test_an_adapter_is_told_with_its_base(tmp_path):
    write(tmp_path / "adapter_model.safetensors", {"base.layers.0.q_proj.lora_A.weight": ("F32", (8, 256))})
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "acme/base"}')

    assert any("an adapter for acme/base" in note for note in facts.read(tmp_path).notes)
