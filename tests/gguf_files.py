"""GGUF files for tests: small, real, and loadable by the engine; headers by hand where they must be wrong."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import gguf
import numpy as np

TEMPLATE = (
    "{%- for m in messages -%}<|user|>{{ m.content }}<|end|>{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
)


def _byte_tokens() -> list[str]:
    """The 256 letters by which a byte-level vocabulary writes bytes (GPT-2)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    extra = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(extra)) for byte in range(256)]


def write_model(
    path: Path,
    *,
    context: int = 512,
    layers: int = 2,
    width: int = 64,
    heads: int = 4,
    kv_heads: int = 2,
    inner: int = 128,
    experts: int = 0,
    experts_used: int = 0,
    name: str = "tiny",
    prefix: str = "",
    seed: int = 0,
    template: str = TEMPLATE,
    metadata: dict[str, Any] | None = None,
) -> Path:
    """A llama-architecture model with random weights, a byte-level tokenizer and a chat template. It never ends a text:
    the scores of its end marker are far below the others."""
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_license("apache-2.0")
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // heads)
    writer.add_file_type(0)
    if experts:
        writer.add_expert_count(experts)
        writer.add_expert_used_count(experts_used)
    tokens = [*_byte_tokens(), "<|end|>", "<|user|>", "<|assistant|>"]
    tokens += [f"<|unused{index}|>" for index in range(-len(tokens) % 32)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * 256 + [3] * 3 + [5] * (len(tokens) - 259))
    writer.add_token_merges(["Ġ Ġ"])
    writer.add_bos_token_id(256)
    writer.add_eos_token_id(256)
    writer.add_add_bos_token(False)
    writer.add_chat_template(template)
    for key, value in (metadata or {}).items():
        if isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, list):
            writer.add_array(key, value)
        else:
            writer.add_uint32(key, value)

    def tensor(tensor_name: str, *shape: int, ones: bool = False) -> None:
        data = np.ones(shape, np.float32) if ones else rng.standard_normal(shape, dtype=np.float32) * 0.1
        if tensor_name == "output.weight":
            data[256:] = 0
        writer.add_tensor(prefix + tensor_name, data)

    kv_width = kv_heads * (width // heads)
    tensor("token_embd.weight", len(tokens), width)
    tensor("output_norm.weight", width, ones=True)
    tensor("output.weight", len(tokens), width)
    for layer in range(layers):
        block = f"blk.{layer}."
        tensor(block + "attn_norm.weight", width, ones=True)
        tensor(block + "attn_q.weight", width, width)
        tensor(block + "attn_k.weight", kv_width, width)
        tensor(block + "attn_v.weight", kv_width, width)
        tensor(block + "attn_output.weight", width, width)
        tensor(block + "ffn_norm.weight", width, ones=True)
        if experts:
            tensor(block + "ffn_gate_inp.weight", experts, width)
            tensor(block + "ffn_gate_exps.weight", experts, inner, width)
            tensor(block + "ffn_up_exps.weight", experts, inner, width)
            tensor(block + "ffn_down_exps.weight", experts, width, inner)
        else:
            tensor(block + "ffn_gate.weight", inner, width)
            tensor(block + "ffn_up.weight", inner, width)
            tensor(block + "ffn_down.weight", width, inner)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def text(value: str) -> bytes:
    """A string as GGUF writes it."""
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def header(tensors: int, entries: int, rest: bytes = b"", *, version: int = 3, order: str = "<") -> bytes:
    """The beginning of a GGUF file, by hand."""
    return b"GGUF" + struct.pack(f"{order}IQQ", version, tensors, entries) + rest


def tensor_entry(name: str, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    """One entry of the list of tensors, by hand."""
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def write_reranker(path: Path, *, width: int = 64, heads: int = 4, layers: int = 2, context: int = 512) -> Path:
    """A model of Qwen3's shape that says how well a document answers a query, as Qwen3-Reranker's files are: pooling by
    rank, a head of two labels, and a template for the pair. Random weights."""
    rng = np.random.default_rng(1)
    writer = gguf.GGUFWriter(path, "qwen3")
    writer.add_name("tiny-reranker")
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(2 * width)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_key_length(width // heads)
    writer.add_value_length(width // heads)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1e6)
    writer.add_file_type(0)
    writer.add_pooling_type(gguf.PoolingType.RANK)
    writer.add_classifier_output_labels(["yes", "no"])
    tokens = [*_byte_tokens(), "<|end|>"]
    tokens += [f"<|unused{index}|>" for index in range(-len(tokens) % 32)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * 256 + [3] + [5] * (len(tokens) - 257))
    writer.add_token_merges(["Ġ Ġ"])
    writer.add_eos_token_id(256)
    writer.add_add_bos_token(False)
    writer.add_chat_template([{"name": "rerank", "template": "query: {query} document: {document} answer:"}])

    def tensor(name: str, *shape: int) -> None:
        data = np.ones(shape, np.float32) if "norm" in name else rng.standard_normal(shape, dtype=np.float32) * 0.2
        writer.add_tensor(name, data)

    tensor("token_embd.weight", len(tokens), width)
    tensor("output_norm.weight", width)
    tensor("cls.output.weight", 2, width)
    for layer in range(layers):
        block = f"blk.{layer}."
        for norm, size in (("attn", width), ("ffn", width), ("attn_q", width // heads), ("attn_k", width // heads)):
            tensor(f"{block}{norm}_norm.weight", size)
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensor(f"{block}{part}.weight", width, width)
        for part, shape in (("gate", (2 * width, width)), ("up", (2 * width, width)), ("down", (width, 2 * width))):
            tensor(f"{block}ffn_{part}.weight", *shape)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
