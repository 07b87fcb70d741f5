"""Which engine processes were started: written down, so that the next start ends what a killed gateway left behind."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from .surroundings import records_path

# Every process of an engine bears its mark in its environment, and hands it on to those that it starts.
MARK = "ENGINE_OF_WEIGHBRIDGE"
_SUFFIX = ".json"
_GONE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Record:
    """One engine process: whose it is, and how it is known again."""

    name: str
    pid: int
    birth: str
    """What no other process with this number has."""
    owner_pid: int
    owner_birth: str
    socket: str | None
    mark: str = field(repr=False, default="")


def new_mark() -> str:
    """What tells the processes of one engine from all others."""
    return secrets.token_hex(16)


def write(folder: Path, name: str, pid: int, socket: Path | None, mark: str) -> Path | None:
    """Write down a process that was just started by us; None where the folder can't be written on, or it has ended."""
    try:
        own = os.getpid()
        record = Record(name, pid, _birth(pid), own, _birth(own), str(socket) if socket else None, mark)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / f"{pid}-{mark[:8]}{_SUFFIX}"
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as file:
            json.dump(asdict(record), file)
        Path(file.name).replace(path)
    except (OSError, psutil.Error):
        return None
    return path


def clean_up(state: Path) -> list[str]:
    """End what gateways that are gone have left running, and remove their sockets; tells what was ended, a line each.

    A process is ended only if it started when it was written down, or bears the engine's mark in its environment: never
    another one that has got its number. Engines of a gateway that still runs are left alone.
    """
    ended = []
    for path in sorted(records_path(state).glob(f"*{_SUFFIX}")):
        try:
            record = Record(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            _remove(path)
            continue
        if _lives(record.owner_pid, record.owner_birth):
            continue
        left = processes_of(record)
        if end(left):
            ended.append(f"{record.name}: process {record.pid} was left by a gateway that is gone")
        _remove_socket(record)
        _remove(path)
    return ended


def processes_of(record: Record) -> list[psutil.Process]:
    """What still runs of an engine."""
    found = marked(record.mark)
    if _lives(record.pid, record.birth) and record.pid not in [process.pid for process in found]:
        with contextlib.suppress(psutil.Error):
            found.append(psutil.Process(record.pid))
    return found


def marked(mark: str) -> list[psutil.Process]:
    """All processes of ours whose environment bears the mark."""
    found = []
    for process in psutil.process_iter():
        try:
            if mark and process.environ().get(MARK) == mark:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def end(processes: list[psutil.Process]) -> bool:
    """Kill these, also such as are stopped; whether there were any. Returns when they are gone."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=_GONE_SECONDS)
    return bool(processes)


def _lives(pid: int, birth: str) -> bool:
    """Whether the process with this number is the one that was born so, and has not ended."""
    try:
        return _birth(pid) == birth
    except (OSError, psutil.Error):
        return False


def _birth(pid: int) -> str:
    """When a process began, as no clock that is set can change it: ticks since the machine started, and which start of
    the machine that was (proc_pid_stat(5), field 22). OSError or psutil.Error if it is not there or has ended."""
    if sys.platform != "linux":
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            raise psutil.NoSuchProcess(pid)
        return f"{process.create_time():.2f}"
    # The name, in brackets, may hold anything.
    state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    if state == "Z":
        raise psutil.NoSuchProcess(pid)
    return f"{fields[18]}@{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}"


def _remove_socket(record: Record) -> None:
    if record.socket is None:
        return
    socket = Path(record.socket)
    with contextlib.suppress(OSError):
        if socket.is_socket():
            socket.unlink()
        # The folder was made for that gateway's sockets, and goes with the last of them.
        if socket.parent.name.startswith("weighbridge-"):
            socket.parent.rmdir()


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
