"""Fetching, with how far it is shown on stderr."""

from __future__ import annotations

from pathlib import Path

from weighbridge import hub
from weighbridge.cli import output
from weighbridge.cli.model_names import PLACES
from weighbridge.cli.progress_line import ProgressLine
from weighbridge.facts import HubAccess
from weighbridge.hub import ModelFiles, Progress
from weighbridge.sizes import show_bytes

_SHORTEST_NAME = 12


def introduce(files: ModelFiles) -> str:
    """How large a model is, and how much of it is here, in a line."""
    count = f"{len(files.files)} file{'s' if len(files.files) != 1 else ''}"
    what = f"{files.name}: {show_bytes(files.size_bytes)} in {count}"
    if files.is_here:
        return f"{what}, all here ({PLACES.get(files.place, files.place)})"
    kept = files.size_bytes - files.missing_bytes
    return f"{what}, {show_bytes(files.missing_bytes)} to fetch" + (f", {show_bytes(kept)} here" if kept else "")


def fetch(files: ModelFiles, access: HubAccess, state: Path, *, verify: bool = False) -> ModelFiles:
    """`hub.fetch`, shown while it goes on; a KeyboardInterrupt says on its way how to go on."""
    shown = ProgressLine(line)
    try:
        return hub.fetch(files, access, shown, state, verify=verify)
    except KeyboardInterrupt:
        shown.end()
        output.tell("stopped; what came is kept: run the same again, and it goes on from there")
        raise
    finally:
        shown.end()


def line(progress: Progress) -> str:
    """Phase, share, bytes, rate and time left: `fetching  45%  2.1 of 4.7 GiB  88 MiB/s  30 s left`; then the name, as
    much of its end as there is room for."""
    share = progress.done_bytes / progress.total_bytes if progress.total_bytes else 1.0
    # What is whole only waits to get its place.
    phase = "fetched" if progress.phase == "waiting" and share >= 1 else progress.phase
    parts = [
        f"{phase} {share:4.0%}",
        f"{show_bytes(progress.done_bytes)} of {show_bytes(progress.total_bytes)}",
    ]
    if progress.bytes_per_second:
        parts.append(f"{show_bytes(progress.bytes_per_second)}/s")
    if progress.seconds_left is not None and progress.phase != "waiting":
        parts.append(f"{output.duration(progress.seconds_left)} left")
    room = output.width() - 1 - len("  ".join(parts)) - 2
    if len(progress.name) <= room:
        parts.append(progress.name)
    elif room >= _SHORTEST_NAME:
        parts.append("…" + progress.name[1 - room :])
    return "  ".join(parts)
