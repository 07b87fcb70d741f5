"""How far a fetch is, on stderr: one line that is written over on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from weighbridge import hub
from weighbridge.cli import output
from weighbridge.cli.model_names import PLACES
from weighbridge.facts import HubAccess
from weighbridge.hub import ModelFiles, Progress
from weighbridge.sizes import show_bytes

_LINE_SECONDS = 5.0
_SHORTEST_NAME = 12


class ProgressLine:
    """Called with each progress, a fetch's or one that `text` puts into words; `end()` leaves the terminal's line."""

    def __init__(self, text: Callable[[Any], str] | None = None) -> None:
        self._text = text or line
        self._overwrites = sys.stderr.isatty()
        self._shown_at = time.monotonic()
        self._open = False

    def __call__(self, progress: Any) -> None:
        """Show it, if it is time."""
        if self._overwrites:
            text = output.printable(self._text(progress))[: output.width() - 1]
            sys.stderr.write(f"\r{text:<{output.width() - 1}}")
            sys.stderr.flush()
            self._open = True
        elif time.monotonic() - self._shown_at >= _LINE_SECONDS:
            self._shown_at = time.monotonic()
            output.tell(self._text(progress))

    def end(self) -> None:
        """Go to the next line."""
        if self._open:
            sys.stderr.write("\n")
            sys.stderr.flush()
            self._open = False


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
    shown = ProgressLine()
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
