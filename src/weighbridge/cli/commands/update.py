"""What is new: models here that have a newer revision, and the catalogue's models read anew from the hub.

Of the models here nothing is fetched: weigh get MODEL --newest does that. Of the catalogue's models configs and headers
are read, never weights; what was read is kept as it comes, so a stopped run goes on where it ended, and the newer
catalogue lies in the state folder and is used from then on. A repository that refuses is told and left as it was. Exit
code 1 if none could be read.

example:
  weigh update --models
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from weighbridge import catalogue, hub
from weighbridge.cli import output
from weighbridge.cli.flag_values import positive
from weighbridge.errors import BadSetting
from weighbridge.facts import HubAccess
from weighbridge.hub import Update
from weighbridge.settings import load
from weighbridge.sizes import show_bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("--models", action="store_true", help="look only for newer revisions of the models here")
    parser.add_argument("--catalogue", action="store_true", help="read only the catalogue's models anew")
    parser.add_argument(
        "--most", type=positive, metavar="N", help="read at most so many of the catalogue's repositories"
    )
    parser.add_argument("--json", action="store_true", help="print what came of it as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Ask, keep, and say what changed."""
    both = arguments.models == arguments.catalogue
    folder = load().state_path
    access = HubAccess.from_environment(os.environ)
    data: dict[str, object] = {}
    is_done = True
    if arguments.models or both:
        updates = hub.newer(hub.stored(access, folder), access)
        data["models"] = updates
        is_done = not updates or any(update.newest for update in updates)
        if not arguments.json:
            print(_page(updates))
    if arguments.catalogue or both:
        done = _refresh(access, folder, arguments.most)
        data |= {name: getattr(done, name) for name in ("path", "read", "changed", "refused", "left")}
        is_done = is_done and bool(done.read)
        if not arguments.json:
            changed, refused = len(done.changed), len(done.refused)
            print(f"catalogue: {done.read} read, {changed} changed, {refused} refused, {done.left} left: {done.path}")
    if arguments.json:
        print(output.to_json(data))
    return 0 if is_done else 1


def _page(updates: Sequence[Update]) -> str:
    if not updates:
        return "models: none of those here comes from a branch of the hub"
    lines = []
    for update in updates:
        if update.newest is None:
            lines.append(f"{update.source}: could not be asked: {update.error}")
        elif update.newest != update.have:
            what = (
                f"{len(update.changed)} of its files changed, {show_bytes(update.fetch_bytes)} to fetch"
                if update.changed
                else "its own files did not change"
            )
            lines.append(f"{update.source}: {update.have[:8]} is here, {update.newest[:8]} is newer: {what}")
            lines.append(f"  weigh get {update.source} --newest")
    current = sum(update.newest == update.have for update in updates)
    return "\n".join([*map(output.printable, lines), f"models: {current} of {len(updates)} here are the newest"])


def _refresh(access: HubAccess, folder: Path, most: int | None) -> catalogue.Refreshed:
    total = min(len(catalogue.load(folder)), most or sys.maxsize)
    started, count = time.monotonic(), 0

    def told(repository: str, refusal: catalogue.Refusal | None) -> None:
        nonlocal count
        count += 1
        seconds = time.monotonic() - started
        left = seconds / count * (total - count)
        output.tell(f"{count}/{total}  {left:4.0f} s left  {repository}{f': {refusal.message}' if refusal else ''}")

    try:
        return catalogue.refresh(access, folder, most=most, told=told)
    except OSError as error:
        raise BadSetting(
            f"{folder}: cannot be written: {error.strerror}", hint="choose another folder: WEIGHBRIDGE_STATE_DIR"
        ) from error
