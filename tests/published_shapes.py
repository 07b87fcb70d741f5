"""GGUF files with the shapes of published models: every tensor with its type and place, weights left as holes.

Each shape is checked when it is written: its tensors must add up to the parameters that the model is published with.
Vocabularies have the true number of tokens, which are made up; their bytes are no part of what is compared.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import gguf
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from tests.gguf_files import header, tensor_entry

_ALIGNMENT = 32
# The 256 letters of a byte-level vocabulary, or as good as.
_LETTERS = [chr(code) for code in (*range(33, 127), *range(161, 173), *range(174, 324))][:256]


class Matrix(NamedTuple):
    """One tensor: lengths as GGUF has them, rows' length first."""

    name: str
    lengths: tuple[int, ...]
    kind: str = "weight"
    """`weight` is quantized, `plain` is kept in 32 bits."""


@dataclass(frozen=True, slots=True)
class Published:
    """One model as it was published, in GGUF's words."""

    name: str
    architecture: str
    parameters: int
    source: str
    """Where the number of parameters is told; shapes are those of the same repository's config.json."""
    layers: int
    width: int
    inner: int
    heads: int
    kv_heads: int
    head_length: int
    vocabulary: int
    tied: bool = False
    features: frozenset[str] = frozenset()
    keys: dict[str, Any] = field(default_factory=dict)
    """Further keys of the header, without the architecture's prefix."""
    types: str = ""
    """The types of most matrices in its first file; empty: Q4_K_M."""

    @property
    def quantizations(self) -> tuple[str, str]:
        """The kinds of files that are looked at: a mix, and Q8_0 or Q4_0 in turns."""
        number = next(index for index, model in enumerate(MODELS) if model.name == self.name)
        return self.types or "Q4_K_M", ("Q8_0", "Q4_0")[number % 2]

    def tensors(self) -> Iterator[Matrix]:
        """All tensors of the file."""
        yield Matrix("token_embd.weight", (self.width, self.vocabulary))
        yield Matrix(
            "token_embd_norm.weight" if self.architecture == "lfm2" else "output_norm.weight", (self.width,), "plain"
        )
        if not self.tied:
            yield Matrix("output.weight", (self.width, self.vocabulary))
        for layer in range(self.layers):
            for matrix in (*self._mixer(layer), *self._network(layer)):
                yield matrix._replace(name=f"blk.{layer}.{matrix.name}")

    def _mixer(self, layer: int) -> Iterator[Matrix]:
        """What mixes tokens, with the norm before it."""
        yield Matrix("attn_norm.weight", (self.width,), "plain")
        of_layer = self.keys.get("attention.head_count_kv", ())
        if self.architecture == "qwen3next" and (layer + 1) % 4:
            yield from _delta_net(self)
        elif of_layer and not of_layer[layer]:
            yield from _short_convolution(self) if self.architecture == "lfm2" else _mamba2(self)
        elif self.architecture == "deepseek2":
            yield from _latent_attention(self)
        else:
            yield from _attention(self)

    def _network(self, layer: int) -> Iterator[Matrix]:
        """The feed-forward network or the experts, with the norms around them."""
        late_norm = self.architecture in ("gpt-oss", "qwen3next")
        yield Matrix("post_attention_norm.weight" if late_norm else "ffn_norm.weight", (self.width,), "plain")
        if "norms after" in self.features:
            yield Matrix("post_attention_norm.weight", (self.width,), "plain")
            yield Matrix("post_ffw_norm.weight", (self.width,), "plain")
        if "expert_count" in self.keys and layer >= self.keys.get("leading_dense_block_count", 0):
            yield from _experts(self)
        elif "fused" in self.features:
            yield Matrix("ffn_up.weight", (self.width, 2 * self.inner))
            yield Matrix("ffn_down.weight", (self.inner, self.width))
        else:
            yield from _feed_forward("", self.width, self.inner)


def _feed_forward(suffix: str, width: int, inner: int, *experts: int) -> Iterator[Matrix]:
    yield Matrix(f"ffn_gate{suffix}.weight", (width, inner, *experts))
    yield Matrix(f"ffn_up{suffix}.weight", (width, inner, *experts))
    yield Matrix(f"ffn_down{suffix}.weight", (inner, width, *experts))


def _experts(model: Published) -> Iterator[Matrix]:
    count, inner = model.keys["expert_count"], model.keys.get("expert_feed_forward_length", model.inner)
    yield Matrix("ffn_gate_inp.weight", (model.width, count), "plain")
    yield from _feed_forward("_exps", model.width, inner, count)
    if "biases" in model.features:
        yield Matrix("ffn_gate_inp.bias", (count,), "plain")
        yield Matrix("ffn_gate_exps.bias", (inner, count), "plain")
        yield Matrix("ffn_up_exps.bias", (inner, count), "plain")
        yield Matrix("ffn_down_exps.bias", (model.width, count), "plain")
    shared = model.keys.get("expert_shared_feed_forward_length", inner * model.keys.get("expert_shared_count", 0))
    if shared:
        yield from _feed_forward("_shexp", model.width, shared)
    if model.architecture == "qwen3next":
        yield Matrix("ffn_gate_inp_shexp.weight", (model.width,), "plain")


def _attention(model: Published) -> Iterator[Matrix]:
    queries, keys = model.heads * model.head_length, model.kv_heads * model.head_length
    if "fused" in model.features:
        yield Matrix("attn_qkv.weight", (model.width, queries + 2 * keys))
    else:
        yield Matrix("attn_q.weight", (model.width, queries * (2 if "gated" in model.features else 1)))
        yield Matrix("attn_k.weight", (model.width, keys))
        yield Matrix("attn_v.weight", (model.width, keys))
    yield Matrix("attn_output.weight", (queries, model.width))
    if "norms of heads" in model.features:
        yield Matrix("attn_q_norm.weight", (model.head_length,), "plain")
        yield Matrix("attn_k_norm.weight", (model.head_length,), "plain")
    if "biases" in model.features:
        for name, length in (("q", queries), ("k", keys), ("v", keys), ("output", model.width)):
            yield Matrix(f"attn_{name}.bias", (length,), "plain")
        yield Matrix("attn_sinks.weight", (model.heads,), "plain")


def _latent_attention(model: Published) -> Iterator[Matrix]:
    keys = model.keys
    rank, rotated = keys["attention.kv_lora_rank"], keys["rope.dimension_count"]
    length, values = keys["attention.key_length_mla"], keys["attention.value_length_mla"]
    yield Matrix("attn_q.weight", (model.width, model.heads * length))
    yield Matrix("attn_kv_a_mqa.weight", (model.width, rank + rotated))
    yield Matrix("attn_kv_a_norm.weight", (rank,), "plain")
    yield Matrix("attn_k_b.weight", (length - rotated, rank, model.heads))
    yield Matrix("attn_v_b.weight", (rank, values, model.heads))
    yield Matrix("attn_output.weight", (model.heads * values, model.width))


def _short_convolution(model: Published) -> Iterator[Matrix]:
    yield Matrix("shortconv.conv.weight", (model.keys["shortconv.l_cache"], model.width), "plain")
    yield Matrix("shortconv.in_proj.weight", (model.width, 3 * model.width))
    yield Matrix("shortconv.out_proj.weight", (model.width, model.width))


def _mamba2(model: Published) -> Iterator[Matrix]:
    keys = model.keys
    inner, heads = keys["ssm.inner_size"], keys["ssm.time_step_rank"]
    mixed = inner + 2 * keys["ssm.group_count"] * keys["ssm.state_size"]
    yield Matrix("ssm_in.weight", (model.width, inner + mixed + heads))
    yield Matrix("ssm_conv1d.weight", (keys["ssm.conv_kernel"], mixed), "plain")
    yield Matrix("ssm_conv1d.bias", (mixed,), "plain")
    yield Matrix("ssm_dt.bias", (heads,), "plain")
    yield Matrix("ssm_a", (1, heads), "plain")
    yield Matrix("ssm_d", (1, heads), "plain")
    yield Matrix("ssm_norm.weight", (inner // keys["ssm.group_count"], keys["ssm.group_count"]), "plain")
    yield Matrix("ssm_out.weight", (inner, model.width))


def _delta_net(model: Published) -> Iterator[Matrix]:
    keys = model.keys
    inner, heads, length = keys["ssm.inner_size"], keys["ssm.time_step_rank"], keys["ssm.state_size"]
    mixed = inner + 2 * keys["ssm.group_count"] * length
    yield Matrix("attn_qkv.weight", (model.width, mixed))
    yield Matrix("attn_gate.weight", (model.width, inner))
    yield Matrix("ssm_conv1d.weight", (keys["ssm.conv_kernel"], mixed), "plain")
    yield Matrix("ssm_dt.bias", (heads,), "plain")
    yield Matrix("ssm_a", (heads,), "plain")
    yield Matrix("ssm_ba.weight", (model.width, 2 * heads))
    yield Matrix("ssm_norm.weight", (length,), "plain")
    yield Matrix("ssm_out.weight", (inner, model.width))


def _hub(repository: str) -> str:
    return f"safetensors index of {repository}"


_QWEN3 = frozenset({"norms of heads"})
_GEMMA3 = frozenset({"norms of heads", "norms after"})
_HYBRID_KV = [4 if layer in (5, 15, 25, 35) else 0 for layer in range(40)]
_LFM2_KV = [8 if layer in (2, 5, 8, 10, 12, 14) else 0 for layer in range(16)]

MODELS = (
    Published(
        "Qwen3-0.6B", "qwen3", 596_049_920, f"{_hub('Qwen/Qwen3-0.6B')}, its tied output counted once",
        28, 1024, 3072, 16, 8, 128, 151_936, tied=True, features=_QWEN3,
    ),
    Published(
        "Qwen3-8B", "qwen3", 8_190_735_360, _hub("Qwen/Qwen3-8B"), 36, 4096, 12288, 32, 8, 128, 151_936,
        features=_QWEN3,
    ),
    Published(
        "Qwen3-32B", "qwen3", 32_762_123_264, _hub("Qwen/Qwen3-32B"), 64, 5120, 25600, 64, 8, 128, 151_936,
        features=_QWEN3,
    ),
    Published(
        "Qwen3-30B-A3B", "qwen3moe", 30_532_122_624, _hub("Qwen/Qwen3-30B-A3B"), 48, 2048, 6144, 32, 4, 128, 151_936,
        features=_QWEN3,
        keys={"expert_count": 128, "expert_used_count": 8, "expert_feed_forward_length": 768},
    ),
    Published(
        "Qwen3-Next-80B-A3B", "qwen3next", 79_674_391_296,
        f"{_hub('Qwen/Qwen3-Next-80B-A3B-Instruct')}, without the layer that predicts further tokens",
        48, 2048, 5120, 16, 2, 256, 151_936, features=frozenset({"norms of heads", "gated"}),
        keys={
            "expert_count": 512, "expert_used_count": 10, "expert_feed_forward_length": 512,
            "expert_shared_feed_forward_length": 512, "ssm.conv_kernel": 4, "ssm.inner_size": 4096,
            "ssm.state_size": 128, "ssm.time_step_rank": 32, "ssm.group_count": 16, "rope.dimension_count": 64,
        },
    ),
    Published(
        "Llama-3.1-8B", "llama", 8_030_261_248, _hub("meta-llama/Llama-3.1-8B"), 32, 4096, 14336, 32, 8, 128, 128_256,
    ),
    Published(
        "Llama-3.1-70B", "llama", 70_553_706_496, _hub("meta-llama/Llama-3.1-70B"), 80, 8192, 28672, 64, 8, 128,
        128_256,
    ),
    Published(
        "Llama-3.2-3B", "llama", 3_212_749_824, _hub("meta-llama/Llama-3.2-3B"), 28, 3072, 8192, 24, 8, 128, 128_256,
        tied=True,
    ),
    Published(
        "Mistral-7B-v0.3", "llama", 7_248_023_552, _hub("mistralai/Mistral-7B-v0.3"), 32, 4096, 14336, 32, 8, 128,
        32_768,
    ),
    Published(
        "Mistral-Nemo-12B", "llama", 12_247_782_400, _hub("mistralai/Mistral-Nemo-Base-2407"), 40, 5120, 14336, 32, 8,
        128, 131_072,
    ),
    Published(
        "Mixtral-8x7B", "llama", 46_702_792_704, _hub("mistralai/Mixtral-8x7B-v0.1"), 32, 4096, 14336, 32, 8, 128,
        32_000, keys={"expert_count": 8, "expert_used_count": 2},
    ),
    Published(
        "SmolLM3-3B", "smollm3", 3_075_098_624, _hub("HuggingFaceTB/SmolLM3-3B"), 36, 2048, 11008, 16, 4, 128, 128_256,
        tied=True,
    ),
    Published(
        "Gemma-2-9B", "gemma2", 9_241_705_984, _hub("google/gemma-2-9b"), 42, 3584, 14336, 16, 8, 256, 256_000,
        tied=True, features=frozenset({"norms after"}), keys={"attention.sliding_window": 4096},
    ),
    Published(
        "Gemma-3-1B", "gemma3", 999_885_952, _hub("google/gemma-3-1b-pt"), 26, 1152, 6912, 4, 1, 256, 262_144,
        tied=True, features=_GEMMA3, keys={"attention.sliding_window": 512},
    ),
    Published(
        "Gemma-3-12B", "gemma3", 11_766_034_176,
        f"{_hub('google/gemma-3-12b-pt')}: 12,187,325,040 less 416,866,032 of vision and 4,424,832 of its projector",
        48, 3840, 15360, 16, 8, 256, 262_208, tied=True, features=_GEMMA3, keys={"attention.sliding_window": 1024},
    ),
    Published(
        "Gemma-3-27B", "gemma3", 27_009_346_304,
        f"{_hub('google/gemma-3-27b-pt')}: 27,432,406,640 less 416,866,032 of vision and 6,194,304 of its projector",
        62, 5376, 21504, 32, 16, 128, 262_208, tied=True, features=_GEMMA3, keys={"attention.sliding_window": 1024},
    ),
    Published(
        "gpt-oss-20b", "gpt-oss", 20_914_757_184, "20.9B in the model card of openai/gpt-oss-20b; its tensors unpacked",
        24, 2880, 2880, 64, 8, 64, 201_088, features=frozenset({"biases"}),
        keys={
            "attention.sliding_window": 128, "expert_count": 32, "expert_used_count": 4,
            "expert_feed_forward_length": 2880,
        },
        types="MXFP4",
    ),
    Published(
        "DeepSeek-V2-Lite", "deepseek2", 15_706_484_224, _hub("deepseek-ai/DeepSeek-V2-Lite"), 27, 2048, 10944, 16, 1,
        576, 102_400,
        keys={
            "expert_count": 64, "expert_used_count": 6, "expert_feed_forward_length": 1408, "expert_shared_count": 2,
            "leading_dense_block_count": 1, "expert_weights_scale": 1.0, "expert_gating_func": 1,
            "attention.kv_lora_rank": 512, "attention.key_length_mla": 192, "attention.value_length_mla": 128,
            "attention.value_length": 512, "rope.dimension_count": 64,
        },
    ),
    Published(
        "LFM2-1.2B", "lfm2", 1_170_340_608, _hub("LiquidAI/LFM2-1.2B"), 16, 2048, 8192, 32, 8, 64, 65_536, tied=True,
        features=_QWEN3, keys={"attention.head_count_kv": _LFM2_KV, "shortconv.l_cache": 3},
    ),
    Published(
        "Phi-3-mini-4k", "phi3", 3_821_079_552, _hub("microsoft/Phi-3-mini-4k-instruct"), 32, 3072, 8192, 32, 32, 96,
        32_064, features=frozenset({"fused"}), keys={"rope.dimension_count": 96},
    ),
    Published(
        "Granite-4.0-h-tiny", "granitehybrid", 6_939_037_248, _hub("ibm-granite/granite-4.0-h-tiny"), 40, 1536, 512, 12,
        4, 128, 100_352, tied=True,
        keys={
            "attention.head_count_kv": _HYBRID_KV, "expert_count": 64, "expert_used_count": 6,
            "expert_feed_forward_length": 512, "expert_shared_feed_forward_length": 1024, "ssm.conv_kernel": 4,
            "ssm.inner_size": 3072, "ssm.state_size": 128, "ssm.time_step_rank": 48, "ssm.group_count": 1,
            "logit_scale": 6.0, "rope.dimension_count": 128,
        },
    ),
)  # fmt: skip


def parameters(model: Published) -> int:
    """The sum over all tensors."""
    return sum(math.prod(matrix.lengths) for matrix in model.tensors())


def _more_bits(layer: int, layers: int) -> bool:
    """llama-quant.cpp, use_more_bits: the first and the last eighth, and every third between."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def type_of(model: Published, matrix: Matrix, quantization: str) -> GGMLQuantizationType:
    """The type that llama.cpp's quantizer gives this tensor (llama-quant.cpp, 2026-11)."""
    if matrix.kind == "plain":
        return GGMLQuantizationType.F32
    if quantization == "MXFP4":
        chosen = "MXFP4" if "_exps" in matrix.name else "Q8_0"
    elif quantization == "Q4_K_M":
        name, layer = matrix.name, int(matrix.name.split(".")[1]) if matrix.name.startswith("blk.") else 0
        is_output = name == "output.weight" or (model.tied and name == "token_embd.weight")
        widened = any(part in name for part in ("attn_v.", "attn_qkv.", "ffn_down")) and _more_bits(layer, model.layers)
        chosen = "Q6_K" if is_output or widened else "Q4_K"
        if matrix.lengths[0] % 256:
            # Rows that are no whole blocks fall back.
            chosen = {"Q4_K": "Q5_0", "Q6_K": "Q8_0"}[chosen]
    else:
        chosen = "Q6_K" if matrix.name == "output.weight" and quantization == "Q4_0" else quantization
        if matrix.lengths[0] % GGML_QUANT_SIZES[GGMLQuantizationType[chosen]][0]:
            chosen = "Q8_0"
    found = GGMLQuantizationType[chosen]
    return found if matrix.lengths[0] % GGML_QUANT_SIZES[found][0] == 0 else GGMLQuantizationType.F16


def tokens(count: int) -> list[str]:
    """So many tokens, all different."""
    # The engine looks some up by name in models that are called Phi-3.
    named = [*_LETTERS, "ab", "<s>", "</s>", "<unk>", "<|endoftext|>"]
    return [*named, *(f"<t{number}>" for number in range(count - len(named) - 1)), "<end>"]


def _metadata(path: Path, model: Published) -> bytes:
    """The file's keys, as they stand in it."""
    writer = gguf.GGUFWriter(path, model.architecture)
    common: dict[str, Any] = {
        "context_length": 131_072, "embedding_length": model.width, "block_count": model.layers,
        "feed_forward_length": model.inner, "attention.head_count": model.heads,
        "attention.head_count_kv": model.kv_heads, "attention.key_length": model.head_length,
        "attention.value_length": model.head_length, "attention.layer_norm_rms_epsilon": 1e-6,
        "rope.freq_base": 1e6, "rope.dimension_count": model.head_length, "vocab_size": model.vocabulary,
    }  # fmt: skip
    for key, value in (common | model.keys).items():
        name = f"{model.architecture}.{key}"
        if isinstance(value, list):
            writer.add_array(name, value)
        elif isinstance(value, float):
            writer.add_float32(name, value)
        else:
            writer.add_uint32(name, value)
    writer.add_name(model.name)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens(model.vocabulary))
    writer.add_token_types([1] * (model.vocabulary - 1) + [3])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(model.vocabulary - 1)
    writer.add_eos_token_id(model.vocabulary - 1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path.read_bytes()


def write(path: Path, model: Published, quantization: str) -> Path:
    """The file: its header is real, its weights take no room on the disk."""
    counted = parameters(model)
    if counted != model.parameters:
        raise ValueError(f"{model.name}: the shapes have {counted:,} parameters, published are {model.parameters:,}")
    metadata = _metadata(path, model)
    table, size, count = [], 0, 0
    for matrix in model.tensors():
        kind = type_of(model, matrix, quantization)
        block, block_bytes = GGML_QUANT_SIZES[kind]
        table.append(tensor_entry(matrix.name, matrix.lengths, kind.value, size))
        size += _aligned(math.prod(matrix.lengths) // block * block_bytes)
        count += 1
    entries = int.from_bytes(metadata[16:24], "little")
    head = header(count, entries, metadata[24:] + b"".join(table))
    path.write_bytes(head)
    os.truncate(path, _aligned(len(head)) + size)
    return path


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def chosen(names: Iterable[str]) -> list[Published]:
    """The models whose names hold one of these, or all where none is given."""
    wanted = [name.lower() for name in names]
    return [model for model in MODELS if not wanted or any(name in model.name.lower() for name in wanted)]
