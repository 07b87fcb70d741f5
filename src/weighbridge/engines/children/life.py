"""What every engine child does first: it dies with its parent, leaves when its input closes, and reports once.

Run inside the child, so it needs the standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1


def begin(*, leaves_at_once: bool = True, last: Callable[[], None] | None = None) -> dict[str, Any]:
    """The arguments that the parent gave; afterwards this process can't outlive it, unless it sees to that itself.

    `last` is called before it leaves because its input closed.
    """
    arguments: dict[str, Any] = json.loads(sys.argv[1])
    if sys.platform == "linux":
        if leaves_at_once:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != arguments["parent"]:  # it died before we asked
            os._exit(3)
        # Where memory runs out the kernel shall take the engine, never the gateway.
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("500")
    os.umask(0o077)
    if leaves_at_once:
        threading.Thread(target=_leave_when_input_closes, args=(last,), daemon=True).start()
    return arguments


def _leave_when_input_closes(last: Callable[[], None] | None) -> None:
    while sys.stdin.buffer.read(4096):
        pass
    if last is not None:
        last()
    # Never through the engine's destructor: it can hang, and can crash with a call in flight.
    os._exit(0)


def report(arguments: dict[str, Any], **message: object) -> None:
    """Tell the parent that we are ready, or why not; once."""
    os.write(arguments["report"], (json.dumps(message) + "\n").encode())
    os.close(arguments["report"])
