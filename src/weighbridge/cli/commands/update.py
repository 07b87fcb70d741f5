"""Read the catalogue's models anew from the hub: configs and headers, never weights.

What was read is kept as it comes, so a stopped run goes on where it ended; the newer catalogue lies in the state folder
and is used from then on. A repository that refuses is told and left as it was. Exit code 1 if none could be read.

example:
  weigh update --most 50
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from weighbridge import catalogue
from weighbridge.cli import output
from weighbridge.errors import BadSetting
from weighbridge.facts import HubAccess
from weighbridge.settings import load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("--most", type=int, metavar="N", help="read at most so many repositories now")
    parser.add_argument("--json", action="store_true", help="print what came of it as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Read, keep, and say what changed."""
    if arguments.most is not None and arguments.most < 1:
        raise BadSetting(f"--most is {arguments.most}", hint="1 or more")
    folder = load().state_path
    total = min(len(catalogue.load(folder)), arguments.most or sys.maxsize)
    started, count = time.monotonic(), 0

    def told(repository: str, refusal: catalogue.Refusal | None) -> None:
        nonlocal count
        count += 1
        seconds = time.monotonic() - started
        left = seconds / count * (total - count)
        output.tell(f"{count}/{total}  {left:4.0f} s left  {repository}{f': {refusal.message}' if refusal else ''}")

    access = HubAccess.from_environment(os.environ)
    try:
        done = catalogue.refresh(access, folder, most=arguments.most, told=told)
    except OSError as error:
        raise BadSetting(
            f"{folder}: cannot be written: {error.strerror}", hint="choose another folder: WEIGHBRIDGE_STATE_DIR"
        ) from error
    if arguments.json:
        print(output.to_json(done))
    else:
        changed = len(done.changed)
        refused = len(done.refused)
        print(f"{done.read} read, {changed} of them changed, {refused} refused, {done.left} left: {done.path}")
    return 0 if done.read else 1
