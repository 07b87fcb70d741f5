"""Model files of known bytes, with random weights: what a machine's speed is measured with where no model is at hand.

They are of the llama architecture, which every version of llama.cpp runs, and as fast as a trained model of the same
shape and types: the time of a matrix product does not depend on what is in the matrix.
"""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from weighbridge.facts import TENSOR_TYPES

_ALIGNMENT = 32
# The random bytes that a tensor repeats; no processor notices, as addresses differ.
_PATTERN_BYTES = 1 << 20


def _half(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}e", *values)


@dataclass(frozen=True, slots=True)
class BlockType:
    """A type of ggml: its number, weights and bytes of a block, and what its blocks hold at which byte so that their
    weights stay small (ggml-common.h; a scale of random bits could be infinite)."""

    number: int
    weights: int
    block_bytes: int
    scales: tuple[tuple[int, bytes], ...] = ()


# Scales are such that weights of random bits have a mean near 0 and deviate by about 0.02, as trained ones do. With
# larger ones attention would look at one token alone, which took it up to twice as long here.
_SCALES: dict[str, tuple[tuple[int, bytes], ...]] = {
    "F32": (),
    "F16": (),
    "BF16": (),
    "Q4_0": ((0, _half(4e-3)),),
    "Q4_1": ((0, _half(4e-3, -3e-2)),),
    "Q5_0": ((0, _half(2e-3)),),
    "Q5_1": ((0, _half(2e-3, -3.1e-2)),),
    "Q8_0": ((0, _half(2.5e-4)),),
    "Q2_K": ((80, _half(1.5e-3, 2.2e-3)),),
    "Q3_K": ((108, _half(5e-4)),),
    "Q4_K": ((0, _half(1e-4, 7.5e-4)),),
    "Q5_K": ((0, _half(5e-5, 7.75e-4)),),
    "Q6_K": ((208, _half(1.5e-5)),),
    "IQ2_XXS": ((0, _half(5e-4)),),
    "IQ2_XS": ((0, _half(5e-4)),),
    "IQ3_XXS": ((0, _half(5e-4)),),
    "IQ4_NL": ((0, _half(3e-4)),),
    "IQ3_S": ((0, _half(1.5e-4)),),
    "IQ2_S": ((0, _half(5e-4)),),
    "IQ4_XS": ((0, _half(2e-5)),),
    "MXFP4": ((0, b"\x78"),),
}
TYPES = {
    name: BlockType(number, weights, size, _SCALES[name])
    for number, (name, weights, size) in TENSOR_TYPES.items()
    if name in _SCALES
}
"""The types that can be written, by ggml's names."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of a made model, in GGUF's words."""

    layers: int
    width: int
    inner: int
    heads: int
    kv_heads: int
    head_length: int = 64
    vocabulary: int = 512
    type: str = "Q8_0"
    experts: int = 0
    used: int = 0
    context: int = 8192


def _plain(kind: str, size: int, source: random.Random) -> bytes:
    """Random floats of one magnitude and either sign: the exponent's bits are set, the others random."""
    unit, keep, put = {
        "F32": (4, 0x807FFFFF, 0x3C800000),
        "F16": (2, 0x83FF, 0x2400),
        "BF16": (2, 0x807F, 0x3C80),
    }[kind]
    count = size // unit
    noise = int.from_bytes(source.randbytes(count * unit), "little")
    mask = int.from_bytes(keep.to_bytes(unit, "little") * count, "little")
    base = int.from_bytes(put.to_bytes(unit, "little") * count, "little")
    return (noise & mask | base).to_bytes(count * unit, "little")


def _pattern(kind: str) -> bytes:
    source = random.Random(1)
    of = TYPES[kind]
    if of.weights == 1:
        return _plain(kind, _PATTERN_BYTES, source)
    count = _PATTERN_BYTES // of.block_bytes
    blocks = bytearray(source.randbytes(count * of.block_bytes))
    for place, scale in of.scales:
        for index, byte in enumerate(scale):
            blocks[place + index :: of.block_bytes] = bytes([byte]) * count
    return bytes(blocks)


def tensors_of(shape: Shape) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """Names, lengths (rows' length first) and types."""
    width, kind = shape.width, shape.type
    yield "token_embd.weight", (width, shape.vocabulary), "F16"
    yield "output.weight", (width, shape.vocabulary), kind
    yield "output_norm.weight", (width,), "F32"
    queries, keys = shape.heads * shape.head_length, shape.kv_heads * shape.head_length
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        yield block + "attn_norm.weight", (width,), "F32"
        yield block + "attn_q.weight", (width, queries), kind
        yield block + "attn_k.weight", (width, keys), kind
        yield block + "attn_v.weight", (width, keys), kind
        yield block + "attn_output.weight", (queries, width), kind
        yield block + "ffn_norm.weight", (width,), "F32"
        if shape.experts:
            yield block + "ffn_gate_inp.weight", (width, shape.experts), "F32"
            yield block + "ffn_gate_exps.weight", (width, shape.inner, shape.experts), kind
            yield block + "ffn_up_exps.weight", (width, shape.inner, shape.experts), kind
            yield block + "ffn_down_exps.weight", (shape.inner, width, shape.experts), kind
        else:
            yield block + "ffn_gate.weight", (width, shape.inner), kind
            yield block + "ffn_up.weight", (width, shape.inner), kind
            yield block + "ffn_down.weight", (shape.inner, width), kind


def _text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value(value: Any) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    if isinstance(value[0], str):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_text, value))
    return struct.pack(f"<IIQ{len(value)}i", 9, 5, len(value), *value)


def _byte_tokens() -> list[str]:
    """The 256 letters by which a byte-level vocabulary writes bytes (GPT-2)."""
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}
    extra = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(extra)) for byte in range(256)]


def _metadata(shape: Shape) -> dict[str, Any]:
    tokens = [*_byte_tokens(), *(f"<{number}>" for number in range(shape.vocabulary - 257)), "<end>"]
    found: dict[str, Any] = {
        "general.architecture": "llama",
        "general.name": "synthetic",
        "llama.context_length": shape.context,
        "llama.embedding_length": shape.width,
        "llama.block_count": shape.layers,
        "llama.feed_forward_length": shape.inner,
        "llama.attention.head_count": shape.heads,
        "llama.attention.head_count_kv": shape.kv_heads,
        "llama.attention.key_length": shape.head_length,
        "llama.attention.value_length": shape.head_length,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": shape.head_length,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [1] * (len(tokens) - 1) + [3],
        "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.bos_token_id": len(tokens) - 1,
        "tokenizer.ggml.eos_token_id": len(tokens) - 1,
        "tokenizer.ggml.add_bos_token": False,
    }
    if shape.experts:
        found |= {
            "llama.expert_count": shape.experts,
            "llama.expert_used_count": shape.used,
            "llama.expert_feed_forward_length": shape.inner,
        }
    return found


def _bytes_of(lengths: tuple[int, ...], kind: str) -> int:
    of = TYPES[kind]
    if lengths[0] % of.weights:
        raise ValueError(f"rows of {lengths[0]} are no whole blocks of {kind}, which have {of.weights}")
    return math.prod(lengths) // of.weights * of.block_bytes


def _fill(stream: BinaryIO, size: int, pattern: bytes) -> None:
    whole, rest = divmod(size, len(pattern))
    for _ in range(whole):
        stream.write(pattern)
    stream.write(pattern[:rest] + bytes(-size % _ALIGNMENT))


def write_model(path: Path, shape: Shape) -> Path:
    """A GGUF file of that shape, which llama.cpp loads and runs; 300 MB are written in a second."""
    tensors = list(tensors_of(shape))
    metadata = _metadata(shape)
    head = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(metadata))]
    head += [_text(key) + _value(value) for key, value in metadata.items()]
    offset = 0
    for name, lengths, kind in tensors:
        entry = struct.pack(f"<I{len(lengths)}QIQ", len(lengths), *lengths, TYPES[kind].number, offset)
        head.append(_text(name) + entry)
        size = _bytes_of(lengths, kind)
        offset += size + -size % _ALIGNMENT
    raw = b"".join(head)
    patterns = {kind: _pattern(kind) for kind in {kind for _, _, kind in tensors}}
    ones = struct.pack("<f", 1.0)
    with path.open("wb") as stream:
        stream.write(raw + bytes(-len(raw) % _ALIGNMENT))
        for name, lengths, kind in tensors:
            size = _bytes_of(lengths, kind)
            _fill(stream, size, ones * lengths[0] if name.endswith("norm.weight") else patterns[kind])
    return path
