"""Remove models from this machine, and say how much that freed.

MODEL is a name that weigh ls shows, or a repository, of which all models are removed. What two models share stays as
long as one of them does. Models of LM Studio and Ollama are left to those. Asks first, unless --yes is given.

example:
  weigh rm Qwen/Qwen3-8B-GGUF:Q4_K_M --yes
"""

from __future__ import annotations

import argparse
import os
import sys

from weighbridge import hub
from weighbridge.cli import output
from weighbridge.errors import BadSetting
from weighbridge.facts import HubAccess
from weighbridge.settings import load
from weighbridge.sizes import show_bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("models", nargs="+", metavar="MODEL", help="a name that weigh ls shows, or org/name")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="print what was removed as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Say what goes, ask, and remove it. Exit code 1 if the answer is no."""
    access = HubAccess.from_environment(os.environ)
    here = hub.stored(access, load().state_path, every_commit=True)
    chosen = {
        (one.place, one.source): one for name in arguments.models for one in hub.choose_stored(name, here, access)
    }
    removal = hub.plan_removal(list(chosen.values()), access)
    for one in removal.models:
        output.tell(f"{one.name}  {show_bytes(one.size_bytes)}")
    if not arguments.yes and not _agreed(removal.freed_bytes):
        output.tell("nothing was removed")
        return 1
    freed = hub.remove(removal, access)
    if freed < max(one.size_bytes for one in removal.models):
        output.tell("other revisions here use the same files; naming the repository alone removes them all")
    if arguments.json:
        print(output.to_json({"removed": [one.source for one in removal.models], "freed_bytes": freed}))
    else:
        print(f"removed {len(removal.models)}, freed {show_bytes(freed)}")
    return 0


def _agreed(freed_bytes: int) -> bool:
    if not sys.stdin.isatty():
        raise BadSetting("there is no terminal to ask on", hint="give --yes to remove without being asked")
    print(f"remove, and free {show_bytes(freed_bytes)}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
