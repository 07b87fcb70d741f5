"""What is fuzzed: bytes become a model's files, which `facts.read` reads or refuses, and nothing else happens."""

from __future__ import annotations

import os
from pathlib import Path

from weighbridge import facts
from weighbridge.errors import WeighbridgeError

TARGETS = ("gguf", "safetensors", "config")
CORPUS = Path(__file__).parent / "corpus"
# Between the config and the header in one input of the target `safetensors`.
BORDER = b"\n====\n"


def lay_out(target: str, data: bytes, folder: Path) -> Path:
    """Write the input as a model's files into the folder; returns what to read."""
    folder.mkdir(exist_ok=True)
    if target == "gguf":
        path = folder / "model.gguf"
        path.write_bytes(data)
        return path
    if target == "config":
        path = folder / "config.json"
        path.write_bytes(data)
        return path
    config, _, header = data.partition(BORDER)
    (folder / "config.json").write_bytes(config)
    # The length is set right unless an input asks for its own: the JSON behind it is what is worth exploring.
    header = header[1:] if header.startswith(b"\xff") else len(header).to_bytes(8, "little") + header
    (folder / "model.safetensors").write_bytes(header)
    return folder


def run(target: str, data: bytes, folder: Path) -> bool:
    """Whether the input was read; False where it was refused with an error that has a hint. All else is a finding."""
    source = lay_out(target, data, folder)
    try:
        found = facts.read(source)
    except WeighbridgeError as error:
        assert error.hint, error
        assert os.fspath(folder) in str(error) or folder.name in str(error), error
        return False
    assert found.cache_bytes(1 << 20) >= 0
    return True
