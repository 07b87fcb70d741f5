"""`ProgressLine`: how far long work is, on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from weighbridge.cli import output

_LINE_SECONDS = 5.0


class ProgressLine:
    """Called with each progress, which `text` puts into words; `end()` leaves the terminal's line.

    On a terminal it is written over, at most every `over_seconds`; elsewhere there is a line every few seconds.
    """

    def __init__(self, text: Callable[[Any], str], over_seconds: float = 0.0) -> None:
        self._text = text
        self._overwrites = sys.stderr.isatty()
        self._pause_seconds = over_seconds if self._overwrites else _LINE_SECONDS
        self._shown_at = time.monotonic()
        self._open = False

    def __call__(self, progress: Any) -> None:
        """Show it, if it is time."""
        now = time.monotonic()
        if now - self._shown_at < self._pause_seconds:
            return
        self._shown_at = now
        text = self._text(progress)
        if not self._overwrites:
            output.tell(text)
            return
        room = output.width() - 1
        sys.stderr.write(f"\r{output.printable(text)[:room]:<{room}}")
        sys.stderr.flush()
        self._open = True

    def end(self) -> None:
        """Go to the next line."""
        if self._open:
            sys.stderr.write("\n")
            sys.stderr.flush()
            self._open = False
