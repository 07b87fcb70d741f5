"""Copies of a GGUF file in another type, or damaged: what a quantizer would make of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np

FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7}
Change = Callable[[str, np.ndarray], np.ndarray]


def remake(source: Path, target: Path, kind: str, change: Change | None = None, tokens: Change | None = None) -> Path:
    """The file, its matrices as `kind`. `change` is given each tensor's name and values, `tokens` the vocabulary."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name in ("general.architecture", "general.file_type"):
            continue
        value = field.contents()
        if tokens is not None and field.name == "tokenizer.ggml.tokens":
            value = tokens(field.name, value)
        is_list = field.types[0] == gguf.GGUFValueType.ARRAY
        writer.add_key_value(field.name, value, field.types[0], sub_type=field.types[-1] if is_list else None)
    writer.add_file_type(FILE_TYPES[kind])
    wanted = gguf.GGMLQuantizationType[kind]
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        if change is not None:
            values = change(tensor.name, values)
        if len(tensor.shape) == 2:
            writer.add_tensor(tensor.name, gguf.quants.quantize(values, wanted), raw_dtype=wanted)
        else:
            writer.add_tensor(tensor.name, values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def weights(path: Path) -> dict[str, np.ndarray]:
    """Every tensor of a file in 64 bits."""
    tensors = gguf.GGUFReader(path).tensors
    return {each.name: gguf.quants.dequantize(each.data, each.tensor_type).astype(np.float64) for each in tensors}


def forward(path: Path, tokens: list[int], *, heads: int, kv_heads: int, epsilon: float = 1e-5) -> np.ndarray:
    """A llama's log-probabilities after each token, by numpy alone: Touvron et al. (2023), with rotary positions of
    neighbouring pairs as GGUF's llama files have them."""
    w = weights(path)
    state = w["token_embd.weight"][tokens]
    count, width = state.shape
    size = width // heads

    def norm(values: np.ndarray, scale: np.ndarray) -> np.ndarray:
        return values / np.sqrt((values**2).mean(axis=-1, keepdims=True) + epsilon) * scale

    def rotate(values: np.ndarray) -> np.ndarray:
        angles = np.arange(count)[:, None] * 10000.0 ** (-np.arange(0, size, 2) / size)
        cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
        even, odd = values[..., 0::2], values[..., 1::2]
        return np.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1).reshape(values.shape)

    def softmax(values: np.ndarray) -> np.ndarray:
        grown = np.exp(values - values.max(axis=-1, keepdims=True))
        return grown / grown.sum(axis=-1, keepdims=True)

    later = np.triu(np.full((count, count), -np.inf), 1)
    for layer in range(sum(name.endswith("attn_q.weight") for name in w)):
        block = {name: w[f"blk.{layer}.{name}.weight"] for name in (
            "attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down"
        )}  # fmt: skip
        inner = norm(state, block["attn_norm"])
        queries = rotate((inner @ block["attn_q"].T).reshape(count, heads, size))
        keys = rotate((inner @ block["attn_k"].T).reshape(count, kv_heads, size)).repeat(heads // kv_heads, axis=1)
        values = (inner @ block["attn_v"].T).reshape(count, kv_heads, size).repeat(heads // kv_heads, axis=1)
        share = softmax(np.einsum("qhs,khs->hqk", queries, keys) / np.sqrt(size) + later)
        state = state + np.einsum("hqk,khs->qhs", share, values).reshape(count, width) @ block["attn_output"].T
        inner = norm(state, block["ffn_norm"])
        gate = inner @ block["ffn_gate"].T
        state = state + (gate / (1 + np.exp(-gate)) * (inner @ block["ffn_up"].T)) @ block["ffn_down"].T
    scores = norm(state, w["output_norm.weight"]) @ w.get("output.weight", w["token_embd.weight"]).T
    return np.log(softmax(scores))
