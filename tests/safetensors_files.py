"""safetensors files for tests: true headers, bodies that are holes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BITS = {"F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "F8_E8M0": 8, "U8": 8, "I8": 8, "I32": 32, "U32": 32, "I64": 64,
        "F4": 4}  # fmt: skip

Shapes = Mapping[str, tuple[str, tuple[int, ...]]]


def header(tensors: Shapes, metadata: dict[str, str] | None = None) -> tuple[bytes, int]:
    """The bytes before the weights, and how many bytes of weights follow."""
    listed: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    at = 0
    for name, (kind, shape) in tensors.items():
        end = at + math.prod(shape) * BITS[kind] // 8
        listed[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [at, end]}
        at = end
    raw = json.dumps(listed, separators=(",", ":")).encode()
    return len(raw).to_bytes(8, "little") + raw, at


def write(path: Path, tensors: Shapes, metadata: dict[str, str] | None = None, *, body: bool = True) -> Path:
    """One file; its weights take no room on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    first, size = header(tensors, metadata)
    with path.open("wb") as file:
        file.write(first)
        if body:
            file.truncate(len(first) + size)
    return path


def write_folder(folder: Path, config: dict[str, Any] | None, tensors: Shapes, shards: int = 1) -> Path:
    """A checkpoint as the hub has it: config, and one file or several with an index."""
    folder.mkdir(parents=True, exist_ok=True)
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    if shards == 1:
        write(folder / "model.safetensors", tensors)
        return folder
    names = list(tensors)
    places = {name: f"model-{1 + index * shards // len(names):05d}-of-{shards:05d}.safetensors"
              for index, name in enumerate(names)}  # fmt: skip
    for file in sorted(set(places.values())):
        write(folder / file, {name: tensors[name] for name in names if places[name] == file})
    total = sum(math.prod(shape) * BITS[kind] // 8 for kind, shape in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder
