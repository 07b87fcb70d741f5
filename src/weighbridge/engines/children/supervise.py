"""Starts a program and stays beside it: when we are told to end, or whoever started us is gone, nothing of it is left.

A program such as vLLM starts processes of its own, which outlive it when it is killed. Whatever it leaves becomes our
child (Linux, PR_SET_CHILD_SUBREAPER) and is ended with it. We end as the program did.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import life

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value)


def _descendants() -> list[int]:
    """All processes below us, by their parents' numbers (proc_pid_stat(5), field 4)."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            state, parent, *_ = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if state != "Z":
                parents[int(entry.name)] = int(parent)
    found, level = [], [os.getpid()]
    while level:
        level = [pid for pid, parent in parents.items() if parent in level]
        found += level
    return found


def _end_all() -> None:
    """Kill whatever is below us; what it starts meanwhile too."""
    until = time.monotonic() + 5
    while (left := _descendants()) and time.monotonic() < until:
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _end_when_input_closes(pid: int, ended: threading.Event, patience_seconds: float) -> None:
    while os.read(0, 4096):
        pass
    if not ended.is_set():  # its number may be another's by now
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    ended.wait(patience_seconds)
    _end_all()
    time.sleep(1)  # the main thread buries them and leaves first
    os._exit(0)


def _bury(pid: int, ended: threading.Event) -> int:
    """Wait for the program and then for all that it left: the exit code of the program."""
    code = 1
    while True:
        try:
            gone, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return code
        if gone == pid:
            code = os.waitstatus_to_exitcode(status)
            ended.set()
            _end_all()


def main() -> None:
    """Run the program to its end, or to ours."""
    arguments = life.begin(leaves_at_once=False)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    # A core file of such a program has the size of the model.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    command, ended = arguments["command"], threading.Event()
    try:
        program = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=2,
            stderr=2,
            preexec_fn=lambda: _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
        )
    except OSError as error:
        life.report(arguments, error=f"{command[0]}: {error.strerror}")
        os._exit(1)
    threading.Thread(
        target=_end_when_input_closes, args=(program.pid, ended, arguments["patience_seconds"]), daemon=True
    ).start()
    life.report(arguments, ready=True, pid=program.pid)
    code = _bury(program.pid, ended)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
        time.sleep(1)
    os._exit(code if code >= 0 else 1)


if __name__ == "__main__":
    main()
