"""Weights in llama.cpp's plain types: to blocks of 32 and back, bit by bit as ggml's own reference does it.

Layouts and rounding: ggml's ggml-common.h (`block_q4_0` ...) and ggml-quants.c (`quantize_row_q4_0_ref` ...). All is
reckoned in 32 bits, as there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Weights = npt.NDArray[np.float32]
_BLOCK = 32


@dataclass(frozen=True, slots=True)
class Form:
    """A type that weights are kept in."""

    number: int
    """ggml.h, enum ggml_type."""
    file_type: int
    """llama.h, enum llama_ftype, of a file that is of it."""
    block: int
    """Weights that are kept together."""
    block_bytes: int
    encode: Callable[[Weights], Bytes]
    """Rows of weights, whole blocks each, to rows of bytes."""
    decode: Callable[[Bytes], Weights]


def _halves(values: Weights) -> Bytes:
    return values.astype("<f2").view(np.uint8)


def _blocks(rows: Weights) -> Weights:
    return rows.reshape(-1, _BLOCK)


def _inverse(scale: Weights) -> Weights:
    with np.errstate(divide="ignore"):
        return np.where(scale != 0, np.float32(1) / scale, np.float32(0)).astype(np.float32)


def _nibbles(codes: Bytes) -> Bytes:
    """The first half of a block in the low four bits, the second in the high ones."""
    joined: Bytes = (codes[:, :16] & np.uint8(15)) | ((codes[:, 16:] & np.uint8(15)) << np.uint8(4))
    return joined


def _from_nibbles(data: Bytes) -> Bytes:
    return np.concatenate([data & 15, data >> 4], axis=1)


def _fifths(codes: Bytes) -> Bytes:
    """The fifth bits of a block as one number of 32 bits."""
    bits = (codes >> 4).astype(np.uint32) << np.arange(_BLOCK, dtype=np.uint32)
    joined: npt.NDArray[np.uint32] = bits.sum(axis=1, dtype=np.uint32)[:, None]
    return joined.astype("<u4").view(np.uint8)


def _from_fifths(data: Bytes) -> Bytes:
    bits = np.ascontiguousarray(data).view("<u4") >> np.arange(_BLOCK, dtype=np.uint32)
    return ((bits & 1) << 4).astype(np.uint8)


def _farthest(blocks: Weights) -> Weights:
    """Of each block the value farthest from 0, with its sign."""
    found: Weights = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1)[:, None], axis=1)
    return found


def _encode_q8_0(rows: Weights) -> Bytes:
    blocks = _blocks(rows)
    scale = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    scaled = blocks * _inverse(scale)
    # roundf: halves go away from 0.
    codes = np.copysign(np.floor(np.abs(scaled) + np.float32(0.5)), scaled).astype(np.int8)
    return np.concatenate([_halves(scale), codes.view(np.uint8)], axis=1).reshape(len(rows), -1)


def _decode_q8_0(data: Bytes) -> Weights:
    blocks = data.reshape(-1, 34)
    values = blocks[:, 2:].view(np.int8).astype(np.float32) * _scale(blocks, 0)
    return values.reshape(len(data), -1)


def _scale(blocks: Bytes, at: int) -> Weights:
    return np.ascontiguousarray(blocks[:, at : at + 2]).view("<f2").astype(np.float32)


def _symmetric(blocks: Weights, levels: int) -> tuple[Weights, Bytes]:
    """Scale and codes; the value farthest from 0 is one of the codes exactly."""
    scale = _farthest(blocks) / np.float32(-levels)
    codes = np.minimum(2 * levels - 1, (blocks * _inverse(scale) + np.float32(levels + 0.5)).astype(np.int8))
    return scale, codes.astype(np.uint8)


def _from_least(blocks: Weights, most: int) -> tuple[Weights, Weights, Bytes]:
    """Scale, least value, and codes from it on."""
    least = blocks.min(axis=1, keepdims=True)
    scale = (blocks.max(axis=1, keepdims=True) - least) / np.float32(most)
    codes = np.minimum(most, ((blocks - least) * _inverse(scale) + np.float32(0.5)).astype(np.int8))
    return scale, least, codes.astype(np.uint8)


def _encode_q4_0(rows: Weights) -> Bytes:
    scale, codes = _symmetric(_blocks(rows), 8)
    return np.concatenate([_halves(scale), _nibbles(codes)], axis=1).reshape(len(rows), -1)


def _decode_q4_0(data: Bytes) -> Weights:
    blocks = data.reshape(-1, 18)
    return ((_from_nibbles(blocks[:, 2:]).astype(np.float32) - 8) * _scale(blocks, 0)).reshape(len(data), -1)


def _encode_q4_1(rows: Weights) -> Bytes:
    scale, least, codes = _from_least(_blocks(rows), 15)
    return np.concatenate([_halves(scale), _halves(least), _nibbles(codes)], axis=1).reshape(len(rows), -1)


def _decode_q4_1(data: Bytes) -> Weights:
    blocks = data.reshape(-1, 20)
    values = _from_nibbles(blocks[:, 4:]).astype(np.float32) * _scale(blocks, 0) + _scale(blocks, 2)
    return values.reshape(len(data), -1)


def _encode_q5_0(rows: Weights) -> Bytes:
    scale, codes = _symmetric(_blocks(rows), 16)
    return np.concatenate([_halves(scale), _fifths(codes), _nibbles(codes)], axis=1).reshape(len(rows), -1)


def _decode_q5_0(data: Bytes) -> Weights:
    blocks = data.reshape(-1, 22)
    codes = _from_nibbles(blocks[:, 6:]) | _from_fifths(blocks[:, 2:6])
    return ((codes.astype(np.float32) - 16) * _scale(blocks, 0)).reshape(len(data), -1)


def _encode_q5_1(rows: Weights) -> Bytes:
    scale, least, codes = _from_least(_blocks(rows), 31)
    parts = [_halves(scale), _halves(least), _fifths(codes), _nibbles(codes)]
    return np.concatenate(parts, axis=1).reshape(len(rows), -1)


def _decode_q5_1(data: Bytes) -> Weights:
    blocks = data.reshape(-1, 24)
    codes = _from_nibbles(blocks[:, 8:]) | _from_fifths(blocks[:, 4:8])
    return (codes.astype(np.float32) * _scale(blocks, 0) + _scale(blocks, 2)).reshape(len(data), -1)


def _encode_bf16(rows: Weights) -> Bytes:
    """The upper half of 32 bits, rounded to even (ggml-impl.h, ggml_compute_fp32_to_bf16)."""
    bits = np.ascontiguousarray(rows, dtype=np.float32).view(np.uint32)
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16
    is_nan = (bits & 0x7FFFFFFF) > 0x7F800000
    return np.where(is_nan, (bits >> 16) | 64, rounded).astype("<u2").view(np.uint8)


def _decode_bf16(data: Bytes) -> Weights:
    return (np.ascontiguousarray(data).view("<u2").astype(np.uint32) << 16).view(np.float32)


def _plain(kind: str) -> tuple[Callable[[Weights], Bytes], Callable[[Bytes], Weights]]:
    return (
        lambda rows: np.ascontiguousarray(rows).astype(kind).view(np.uint8),
        lambda data: np.ascontiguousarray(data).view(kind).astype(np.float32),
    )


FORMS: Mapping[str, Form] = {
    "F32": Form(0, 0, 1, 4, *_plain("<f4")),
    "F16": Form(1, 1, 1, 2, *_plain("<f2")),
    "BF16": Form(30, 32, 1, 2, _encode_bf16, _decode_bf16),
    "Q8_0": Form(8, 7, _BLOCK, 34, _encode_q8_0, _decode_q8_0),
    "Q5_1": Form(7, 9, _BLOCK, 24, _encode_q5_1, _decode_q5_1),
    "Q5_0": Form(6, 8, _BLOCK, 22, _encode_q5_0, _decode_q5_0),
    "Q4_1": Form(3, 3, _BLOCK, 20, _encode_q4_1, _decode_q4_1),
    "Q4_0": Form(2, 2, _BLOCK, 18, _encode_q4_0, _decode_q4_0),
}
"""The types that are made and read here, the most exact first."""
