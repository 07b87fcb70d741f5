"""`quantize()`: a GGUF file in another of llama.cpp's plain types, whose loss `compare()` then tells."""

from __future__ import annotations

import contextlib
import os
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from weighbridge.disk import disk_errors, free_bytes
from weighbridge.errors import BadModelFile, BadSetting, NotEnoughDisk
from weighbridge.facts.gguf import Header, read_header
from weighbridge.facts.model_facts import Tensor
from weighbridge.sizes import show_bytes

from .blocks import FORMS, Form

_KEPT = re.compile(
    # llama.cpp's llama-quant.cpp, tensor_allows_quantization: norms, routers, small tables, and what is convolved.
    r"_norm\.weight$|ffn_gate_inp\.weight|altup|laurel|per_layer_model_proj|pos_embd\.weight|token_types\.weight"
    r"|ssm_conv1d|shortconv\.conv\.weight|time_mix_(first|[wvag][12]|decay_w[12]|lerp_fused)\.weight|attn_rel_b\.weight"
)
_WRITTEN_KEYS = ("general.file_type", "general.quantization_version")
_QUANTIZATION_VERSION = 2
"""ggml.h, GGML_QNT_VERSION."""
_CHUNK_WEIGHTS = 4 << 20
_UINT32 = 4


@dataclass(frozen=True, slots=True)
class Quantized:
    """What was made."""

    path: Path
    source: Path
    quantization: str
    source_bytes: int
    file_bytes: int
    tensors: int
    """That are of this type now."""
    kept: int
    """That are as they were: norms, biases, and what is too small or not to be cut."""
    halved: int
    """Matrices whose rows are no whole blocks, and which became F16."""


def quantize(
    source: Path, target: Path, kind: str, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> Quantized:
    """Write the model at `source` to `target` with every matrix as `kind`, as `llama-quantize --pure` does it.

    Weights that were rounded before stay as they were rounded: a Q4_0 of a Q8_0 file has both losses. `on_progress` is
    told the bytes of the source that are done, and all. The file appears under its name when it is whole. Raises
    BadModelFile for a source that is damaged or of types that are not read here, BadSetting for a kind that is not
    made here or a target that is there, NotEnoughDisk.
    """
    if kind not in FORMS:
        raise BadSetting(f"no type {kind!r} is made here", hint=f"there are: {', '.join(FORMS)}")
    if target.exists():
        raise BadSetting(
            f"{target}: is {'a folder' if target.is_dir() else 'there already'}",
            hint="name another file" if target.is_dir() else "name another file, or remove it",
        )
    if not target.parent.is_dir():
        raise BadSetting(f"{target.parent}: there is no such folder", hint="make it, or name another place")
    header = read_header(source)
    _check(header, source)
    plan = [(tensor, _form(tensor, kind)) for tensor in header.tensors]
    size = sum(_size(tensor, form) for tensor, form in plan) + header.bytes_read
    if (free := free_bytes(target.absolute().parent)) < size + (1 << 20):
        raise NotEnoughDisk(
            f"{target.parent} has {show_bytes(free)} free, and {target.name} takes {show_bytes(size)}",
            hint="free some, or name another place",
        )
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with disk_errors(target, full="free some, or name another place", choose="name a place that can be written"):
            _write(part, source, header, plan, FORMS[kind], on_progress)
            part.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    changed = [form for tensor, form in plan if form is not None]
    return Quantized(
        target, source, kind, source.stat().st_size, target.stat().st_size,
        tensors=sum(form is FORMS[kind] for form in changed), kept=len(plan) - len(changed),
        halved=sum(form is not FORMS[kind] for form in changed),
    )  # fmt: skip


def _check(header: Header, source: Path) -> None:
    if header.metadata.get("split.count", 1) not in (0, 1):
        raise BadModelFile(f"{source}: is one part of several", hint="join the parts first: llama-gguf-split --merge")
    if header.version != 3:
        raise BadModelFile(f"{source}: is GGUF version {header.version}", hint="convert the model with a current tool")
    for tensor in header.tensors:
        if _is_matrix(tensor) and tensor.type not in FORMS:
            raise BadModelFile(
                f"{source}: {tensor.name} is {tensor.type}, which is not read here",
                hint=f"begin with a file of one of {', '.join(FORMS)}: best the 16-bit one",
            )


def _is_matrix(tensor: Tensor) -> bool:
    return len(tensor.shape) > 1 and tensor.name.endswith("weight") and not _KEPT.search(tensor.name)


def _form(tensor: Tensor, kind: str) -> Form | None:
    """What becomes of a tensor; None: it stays as it is."""
    if not _is_matrix(tensor):
        return None
    return FORMS[kind] if tensor.shape[0] % FORMS[kind].block == 0 else FORMS["F16"]


def _size(tensor: Tensor, form: Form | None) -> int:
    if form is None:
        return tensor.bytes
    return tensor.elements // form.block * form.block_bytes


def _write(
    part: Path,
    source: Path,
    header: Header,
    plan: list[tuple[Tensor, Form | None]],
    wanted: Form,
    on_progress: Callable[[int, int], None],
) -> None:
    alignment = header.metadata.get("general.alignment", 32)
    assert isinstance(alignment, int)
    total, done = sum(tensor.bytes for tensor, _ in plan), 0
    with source.open("rb") as old, part.open("xb") as new:
        new.write(_head(old.read(header.bytes_read), header, plan, wanted, alignment))
        new.write(bytes(-new.tell() % alignment))
        data = np.memmap(source, dtype=np.uint8, mode="r") if total else np.zeros(0, np.uint8)
        for tensor, form in plan:
            raw = data[tensor.offset : tensor.offset + tensor.bytes]
            if form is None:
                new.write(raw.tobytes())
            else:
                before = FORMS[tensor.type]
                rows = raw.reshape(-1, tensor.shape[0] // before.block * before.block_bytes)
                step = max(1, _CHUNK_WEIGHTS // tensor.shape[0])
                for at in range(0, len(rows), step):
                    weights = before.decode(np.ascontiguousarray(rows[at : at + step]))
                    if not np.isfinite(weights).all():
                        raise BadModelFile(f"{source}: {tensor.name} holds what is no number", hint="fetch it again")
                    new.write(form.encode(weights).tobytes())
            new.write(bytes(-new.tell() % alignment))
            done += tensor.bytes
            on_progress(done, total)
        new.flush()
        os.fsync(new.fileno())


def _head(old: bytes, header: Header, plan: list[tuple[Tensor, Form | None]], wanted: Form, alignment: int) -> bytes:
    """The header with the new types and places: all entries are copied as they are, but for two."""
    entries = [old[begin:end] for key, (begin, end) in header.places.items() if key not in _WRITTEN_KEYS] + [
        _entry("general.file_type", wanted.file_type),
        _entry("general.quantization_version", _QUANTIZATION_VERSION),
    ]
    table, offset = [], 0
    begin, end = header.tensor_table
    for (tensor, form), (name_and_shape, number) in zip(plan, _table(old[begin:end]), strict=True):
        table.append(name_and_shape + struct.pack("<IQ", number if form is None else form.number, offset))
        offset += _size(tensor, form)
        offset += -offset % alignment
    return b"".join([struct.pack("<4sIQQ", b"GGUF", 3, len(plan), len(entries)), *entries, *table])


def _entry(key: str, value: int) -> bytes:
    """A key of a number of 32 bits without sign, as GGUF has it: name, type, value."""
    return struct.pack("<Q", len(key)) + key.encode() + struct.pack("<II", _UINT32, value)


def _table(raw: bytes) -> list[tuple[bytes, int]]:
    """For each tensor the bytes of its name and shape, and the number of its type."""
    found, at = [], 0
    while at < len(raw):
        name_bytes = struct.unpack_from("<Q", raw, at)[0]
        dimensions = struct.unpack_from("<I", raw, at + 8 + name_bytes)[0]
        end = at + 8 + name_bytes + 4 + 8 * dimensions
        found.append((raw[at:end], struct.unpack_from("<I", raw, end)[0]))
        at = end + 12
    return found
