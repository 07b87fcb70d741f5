"""How far a fetch is, on stderr: one line that is written over on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from weighbridge import hub
from weighbridge.cli import output
from weighbridge.facts import HubAccess
from weighbridge.hub import ModelFiles, Progress
from weighbridge.sizes import show_bytes

_LINE_SECONDS = 5.0


class ProgressLine:
    """Called with each `Progress`; `end()` leaves the terminal's line."""

    def __init__(self) -> None:
        self._overwrites = sys.stderr.isatty()
        self._shown_at = time.monotonic()
        self._open = False

    def __call__(self, progress: Progress) -> None:
        """Show it, if it is time."""
        if self._overwrites:
            text = output.printable(line(progress))[: output.width() - 1]
            sys.stderr.write(f"\r{text:<{output.width() - 1}}")
            sys.stderr.flush()
            self._open = True
        elif time.monotonic() - self._shown_at >= _LINE_SECONDS:
            self._shown_at = time.monotonic()
            output.tell(line(progress))

    def end(self) -> None:
        """Go to the next line."""
        if self._open:
            sys.stderr.write("\n")
            sys.stderr.flush()
            self._open = False


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
    """Phase, share, bytes, rate and time left: `fetching  45%  2.1 of 4.7 GiB  88 MiB/s  30 s left`."""
    share = progress.done_bytes / progress.total_bytes if progress.total_bytes else 1.0
    parts = [
        f"{progress.phase} {share:4.0%}",
        f"{show_bytes(progress.done_bytes)} of {show_bytes(progress.total_bytes)}",
    ]
    if progress.bytes_per_second:
        parts.append(f"{show_bytes(progress.bytes_per_second)}/s")
    if progress.seconds_left is not None and progress.phase != "waiting":
        parts.append(f"{duration(progress.seconds_left)} left")
    return "  ".join([*parts, progress.name])


def duration(seconds: float) -> str:
    """A time as people say it: 12 s, 3 min 5 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
