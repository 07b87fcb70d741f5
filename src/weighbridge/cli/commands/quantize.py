"""Make a smaller file of a model: every matrix in one of llama.cpp's plain types, as `llama-quantize --pure` does it.

SOURCE is named as for `weigh get`; best is the 16-bit file, for what was rounded before stays rounded. The new file
appears when it is whole. What it lost, `weigh compare` tells, and what that costs on your own task, `weigh eval`.

example:
  weigh quantize arithmetic Q4_0 --out arithmetic-Q4_0.gguf
"""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from weighbridge import facts, hub, settings
from weighbridge.cli import output
from weighbridge.cli.model_names import source_of
from weighbridge.cli.progress import fetch
from weighbridge.cli.progress_line import ProgressLine
from weighbridge.compression import FORMS, Quantized, quantize
from weighbridge.errors import BadModelFile
from weighbridge.facts import HubAccess
from weighbridge.sizes import show_bytes

_TYPE_AT_END = re.compile(r"[-._](I?Q\d\w*|F16|F32|BF16)$", re.IGNORECASE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("source", metavar="SOURCE", help="a path, org/name:QUANTIZATION, a name")
    parser.add_argument("type", metavar="TYPE", type=str.upper, choices=sorted(FORMS), help=", ".join(FORMS))
    parser.add_argument("--out", metavar="FILE", help="where it goes (default: here, by the source's name and TYPE)")
    parser.add_argument("--json", action="store_true", help="print what was made as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Make it, and say what it is."""
    state, access = settings.load().state_path, HubAccess.from_environment(os.environ)
    files = hub.find(source_of(arguments.source, access, state), access, state)
    if not files.is_here:
        files = fetch(files, access, state)
    read = facts.read(files.first)
    if read.source.kind != "gguf" or len(read.source.files) != 1:
        raise BadModelFile(f"{files.name} is not one GGUF file", hint="name a .gguf file that is whole")
    source = Path(read.source.files[0])
    target = Path(arguments.out or f"{_TYPE_AT_END.sub('', source.stem)}-{arguments.type}.gguf").expanduser()
    line = ProgressLine(lambda share: f"{target.name}: {share:.0%}")
    try:
        made = quantize(source, target, arguments.type, lambda done, total: line(done / total if total else 1.0))
    finally:
        line.end()
    if arguments.json:
        print(output.to_json(made))
    else:
        print(_page(made))
    if read.quantization not in ("F32", "F16", "BF16"):
        output.tell(f"{source.name} is {read.quantization}: what it lost already is lost here, too")
    output.tell(f"what that costs: weigh compare {target} {arguments.source}")
    return 0


def _page(made: Quantized) -> str:
    tensors = f"{made.tensors} matrices as {made.quantization}, {made.kept} tensors as they were"
    if made.halved:
        tensors += f", {made.halved} as F16, whose rows are no whole blocks"
    rows = [
        ("file", str(made.path)),
        ("size", f"{show_bytes(made.file_bytes)}, of {show_bytes(made.source_bytes)}"),
        ("tensors", tensors),
    ]
    return output.fields(rows)
