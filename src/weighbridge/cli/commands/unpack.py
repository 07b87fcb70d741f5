"""Put the models of an archive that weigh pack made into the Hugging Face cache, where all programs find them.

Every sum is checked before anything gets its place; an archive that is damaged, or that holds anything but what its
manifest names, is refused whole. Nothing is asked of a network.

example:
  weigh unpack /media/stick/qwen3.tar
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from weighbridge import hub
from weighbridge.cli import output
from weighbridge.cli.main import INTERRUPTED
from weighbridge.cli.progress import line
from weighbridge.cli.progress_line import ProgressLine
from weighbridge.facts import HubAccess
from weighbridge.settings import load
from weighbridge.sizes import show_bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help="an archive that weigh pack made")
    parser.add_argument("--json", action="store_true", help="print what was unpacked as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Check, place, and say what is here now."""
    access = HubAccess.from_environment(os.environ)
    shown = ProgressLine(line)
    try:
        unpacked = hub.unpack(arguments.file, access.cache, load().state_path, shown)
    except KeyboardInterrupt:
        shown.end()
        output.tell("stopped; nothing was put in place")
        return INTERRUPTED
    finally:
        shown.end()
    if arguments.json:
        data = [{"source": files.source, "revision": files.revision, "path": files.first} for files in unpacked.models]
        print(output.to_json(data))
    else:
        for files in unpacked.models:
            output.tell(f"{files.source}: {show_bytes(files.size_bytes)}, every file has its sum")
            print(files.first)
    return 0
