"""Fetch models, or check those that are here: every file against its sum.

MODEL is a repository on the hub (org/name, org/name:Q4_K_M, org/name@revision), a name of the catalogue (qwen3-8b), the
address of a .gguf file, or what is on this machine already. A fetch that was cut off goes on where it ended. What is
here is read whole, and a file that is damaged is fetched again; HF_ENDPOINT, HF_TOKEN, HF_HUB_CACHE and HF_HUB_OFFLINE
are honoured.

example:
  weigh get Qwen/Qwen3-8B-GGUF:Q4_K_M
"""

from __future__ import annotations

import argparse
import os
import time

from weighbridge import hub
from weighbridge.cli import output
from weighbridge.cli.model_names import source_of
from weighbridge.cli.progress import fetch, introduce
from weighbridge.facts import HubAccess
from weighbridge.hub import ModelFiles
from weighbridge.settings import load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("models", nargs="+", metavar="MODEL", help="org/name[:QUANTIZATION], a catalogue name, a URL")
    parser.add_argument("--newest", action="store_true", help="ask the hub for a newer revision of what is here")
    parser.add_argument("--json", action="store_true", help="print the files as JSON, a list of models")


def run(arguments: argparse.Namespace) -> int:
    """Fetch one after another; the first that fails ends it."""
    access = HubAccess.from_environment(os.environ)
    state = load().state_path
    fetched = []
    for name in arguments.models:
        source = source_of(name, access, state)
        if source != name:
            output.tell(f"{name} is {source}")
        found = hub.find(source, access, state, newest=arguments.newest)
        output.tell(introduce(found))
        started = time.monotonic()
        got = fetch(found, access, state, verify=True)
        fetched.append(got)
        if not arguments.json:
            output.tell(_told(got, time.monotonic() - started))
            print(got.first)
    if arguments.json:
        print(output.to_json([_as_data(files) for files in fetched]))
    return 0


def _told(files: ModelFiles, seconds: float) -> str:
    stated = sum(1 for file in files.files if file.identity)
    if stated == len(files.files):
        checked = "every file has its sum"
    elif stated:
        checked = f"{stated} of {len(files.files)} files have their sum, and nobody states one for the others"
    else:
        checked = "nobody states sums for its files"
    return f"{files.name}: {checked}, after {output.duration(seconds)}"


def _as_data(files: ModelFiles) -> dict[str, object]:
    return {
        "source": files.source, "name": files.name, "place": files.place, "revision": files.revision,
        "path": files.first, "size_bytes": files.size_bytes, "files": files.files,
    }  # fmt: skip
