"""Twenty-nine files that are no whole model, each damaged in one place, with what a user must be told of it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from tests.gguf_files import header, write_model


def _number(raw: bytes, key: str, value: int) -> bytes:
    """The file with another value of a 32-bit key."""
    at = raw.index(key.encode() + b"\x04\x00\x00\x00") + len(key) + 4
    return raw[:at] + struct.pack("<I", value) + raw[at + 4 :]


def _tensor(raw: bytes, name: str, at: int, kind: str, value: int) -> bytes:
    """The file with another field of a two-dimensional tensor's entry, `at` bytes behind its name."""
    start = raw.index(name.encode()) + len(name) + at
    return raw[:start] + struct.pack(kind, value) + raw[start + struct.calcsize(kind) :]


def damaged(folder: Path) -> Iterator[tuple[str, Path, str]]:
    """Name of the damage, the file, and a piece of what the engine says of it."""
    raw = write_model(folder / "whole.gguf").read_bytes()
    query = "blk.0.attn_q.weight"
    bad: dict[str, tuple[bytes, str]] = {
        "empty": (b"", "failed to read magic"),
        "text": (b"hello world" * 100, "invalid magic characters: 'hell'"),
        "a web page": (b"<!DOCTYPE html><html>" + b" " * 1000, "invalid magic characters: '<!DO'"),
        "magic alone": (b"GGUF", "failed to read header"),
        "version 99": (raw[:4] + struct.pack("<I", 99) + raw[8:], "version 99"),
        "version 1": (raw[:4] + struct.pack("<I", 1) + raw[8:], "GGUFv1 is no longer supported"),
        "bytes swapped": (header(0, 0, order=">"), "endianness"),
        "too many tensors": (raw[:8] + struct.pack("<Q", 1 << 60) + raw[16:], "number of tensors is"),
        "too many keys": (raw[:16] + struct.pack("<Q", 1 << 60) + raw[24:], "number of key value pairs is"),
        "a flipped byte": (raw[:30] + bytes([raw[30] ^ 0xFF]) + raw[31:], "string length"),
        "half a header": (raw[:2000], "failed to read key-value pairs"),
        "half a file": (raw[: len(raw) // 2], "not within the file bounds"),
        "one byte short": (raw[:-1], "not within the file bounds"),
        "a layer too many": (_number(raw, "llama.block_count", 3), "'blk.2.attn_norm.weight' not found"),
        "another width": (_number(raw, "llama.embedding_length", 128), "invalid n_rot"),
        "another head count": (_number(raw, "llama.attention.head_count", 3), "invalid n_rot"),
        "no heads": (_number(raw, "llama.attention.head_count", 0), "has wrong shape"),
        "heads that do not divide": (_number(raw, "llama.attention.head_count_kv", 3), "has wrong shape"),
        "unknown architecture": (
            raw.replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0zzzzz", 1).replace(b"llama.", b"zzzzz."),
            "unknown model architecture: 'zzzzz'",
        ),
        "no architecture": (
            raw.replace(b"general.architecture", b"general.architecturx"),
            "unknown model architecture: ''",
        ),
        "a missing tensor": (raw.replace(query.encode(), b"blk.0.attn_z.weight"), "'blk.0.attn_q.weight' not found"),
        "a tensor twice": (
            raw.replace(b"blk.0.attn_k.weight", b"blk.0.attn_v.weight"),
            "duplicate tensor name 'blk.0.attn_v.weight'",
        ),
        "a tensor of no type": (_tensor(raw, query, 20, "<I", 999), "invalid ggml type 999"),
        "a tensor beyond the end": (_tensor(raw, query, 24, "<Q", 1 << 40), "has offset 1099511627776"),
        "a tensor at an odd place": (_tensor(raw, query, 24, "<Q", 33), "has offset 33"),
        "no tokenizer": (
            raw.replace(b"tokenizer.ggml.model", b"tokenizer.ggml.mode1"),
            "key not found in model: tokenizer.ggml.model",
        ),
        "an unknown tokenizer": (
            raw.replace(b"\x04\0\0\0\0\0\0\0gpt2", b"\x04\0\0\0\0\0\0\0gptz"),
            "unknown tokenizer: 'gptz'",
        ),
        "no vocabulary": (
            raw.replace(b"tokenizer.ggml.tokens", b"tokenizer.ggml.tokenz"),
            "cannot find tokenizer vocab",
        ),
    }
    for name, (content, cause) in bad.items():
        path = folder / f"{name.replace(' ', '-')}.gguf"
        path.write_bytes(content)
        yield name, path, cause
    yield "no file", folder / "nowhere.gguf", "nowhere.gguf"


NAMES = tuple(
    "empty,text,a web page,magic alone,version 99,version 1,bytes swapped,too many tensors,too many keys,"
    "a flipped byte,"
    "half a header,half a file,one byte short,a layer too many,another width,another head count,no heads,"
    "heads that do not divide,unknown architecture,no architecture,a missing tensor,a tensor twice,a tensor of no type,"
    "a tensor beyond the end,a tensor at an odd place,no tokenizer,an unknown tokenizer,no vocabulary,no file".split(
        ","
    )
)
