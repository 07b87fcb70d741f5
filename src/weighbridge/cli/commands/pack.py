"""Put models into one file for a machine without a network, with their facts, licences and sums.

MODEL is anything that weigh get takes; what is not here is fetched first. FILE is a plain tar archive: weigh unpack
puts its models in place there, and any other tool can open it too (sha256sum --check SHA256SUMS). A stick with FAT32
holds no file of 4 GiB or more: format it with exFAT.

example:
  weigh pack Qwen/Qwen3-8B-GGUF:Q4_K_M /media/stick/qwen3.tar
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from pathlib import Path

from weighbridge import facts, hub
from weighbridge.cli import output
from weighbridge.cli.main import INTERRUPTED
from weighbridge.cli.model_names import source_of
from weighbridge.cli.progress import line
from weighbridge.cli.progress_line import ProgressLine
from weighbridge.facts import HubAccess, ModelFacts
from weighbridge.facts.licences import covered_by
from weighbridge.hub import ModelFiles
from weighbridge.settings import load
from weighbridge.sizes import show_bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("models", nargs="+", metavar="MODEL", help="what weigh get takes")
    parser.add_argument("file", type=Path, metavar="FILE", help="the archive to write; it must not be there yet")
    parser.add_argument("--json", action="store_true", help="print what was packed as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Fetch what is missing, and write the archive."""
    access = HubAccess.from_environment(os.environ)
    state = load().state_path
    shown = ProgressLine(line)
    try:
        models: list[tuple[ModelFiles, str]] = []
        for name in arguments.models:
            files = hub.fetch(source_of(name, access, state), access, shown, state)
            if any(files.source == packed.source for packed, _ in models):
                output.tell(f"{name} is {files.source}, which is among them already")
                continue
            source = files.source if files.place == "ollama" else files.first
            found = facts.read(source, access)
            models.append((files, _facts_text(found, files)))
            shown.end()
            output.tell(f"{files.name}: {show_bytes(files.size_bytes)}, licence: {_licence(files, found)}")
        result = hub.pack(models, arguments.file, shown)
    except KeyboardInterrupt:
        shown.end()
        output.tell("stopped; nothing was packed")
        return INTERRUPTED
    finally:
        shown.end()
    if arguments.json:
        data = {"path": result.path, "size_bytes": result.size_bytes, "models": [each.source for each in result.models]}
        print(output.to_json(data))
    else:
        print(f"{result.path}: {show_bytes(result.size_bytes)}, {len(result.models)} packed")
    return 0


def _facts_text(found: ModelFacts, files: ModelFiles) -> str:
    """The facts as `weigh facts --json` prints them, without tensors, and without the places of this machine."""
    shown = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    del shown["tensors"]
    shown["components"] = [component.name for component in found.components]
    shown["source"] = {"kind": found.source.kind, "files": [Path(file).name for file in found.source.files]}
    here = json.dumps(f"{files.first.parent if files.first.is_file() else files.first}/")[1:-1]
    return output.to_json(shown).replace(here, "") + "\n"


def _licence(files: ModelFiles, found: ModelFacts) -> str:
    texts = [file.name for file in files.files if covered_by(file.name)]
    stated = found.licence or "not stated in its files"
    return f"{stated}, with its text ({', '.join(texts)})" if texts else f"{stated}; its text is not among its files"
