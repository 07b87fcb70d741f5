"""Which engine processes were started: written down, so that the next start ends what a killed gateway left behind."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from weighbridge.errors import EngineFailed

from .surroundings import records_path

# Every process of an engine bears its mark in its environment, and hands it on to those that it starts.
MARK = "ENGINE_OF_WEIGHBRIDGE"
_SUFFIX, _FOLDER_SUFFIX, _UNFINISHED = ".json", ".folder", ".unfinished"
# How long writing a record may take at the most; one that is older was left by a process that was killed.
_UNFINISHED_SECONDS = 60.0
_GONE_SECONDS = 3.0
_FOLDER = "weighbridge-"
# sun_path of unix(7) has 108 bytes with its end on Linux, 104 elsewhere.
_LONGEST_SOCKET_BYTES = 107 if sys.platform == "linux" else 103


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
        return _write_whole(folder / f"{pid}-{mark[:8]}{_SUFFIX}", asdict(record))
    except (OSError, psutil.Error):
        return None


@contextlib.contextmanager
def sockets_folder(state: Path) -> Iterator[Path]:
    """A new folder for sockets that only its owner may open; it is written down, so that the next start removes what a
    killed gateway left. EngineFailed where there is no place for one."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=_FOLDER, dir=_place_for_sockets()))
    except OSError as error:
        raise EngineFailed(
            f"no place for the engines' sockets: {error.strerror}", hint="free some space, or set TMPDIR"
        ) from error
    own = os.getpid()
    written: Path | None = None
    try:
        with contextlib.suppress(OSError, psutil.Error):
            content = {"folder": str(folder), "owner_pid": own, "owner_birth": _birth(own)}
            written = _write_whole(records_path(state) / f"{own}-{folder.name}{_FOLDER_SUFFIX}", content)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if written is not None:
            _remove(written)


def _place_for_sockets() -> Path:
    """The folder for temporary files, unless a socket in it would have a longer path than the system allows."""
    usual = Path(tempfile.gettempdir())
    longest = len(os.fsencode(usual)) + len(f"/{_FOLDER}12345678/{'9' * 8}.sock")
    return usual if longest <= _LONGEST_SOCKET_BYTES else Path("/tmp")  # noqa: S108 - mkdtemp makes it private


def _write_whole(path: Path, content: Mapping[str, object]) -> Path:
    """Put a small file in place at once."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=_UNFINISHED)
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(content, file)
        return Path(name).replace(path)
    except BaseException:
        _remove(Path(name))
        raise


def clean_up(state: Path) -> list[str]:
    """End what gateways that are gone have left running, and remove their sockets; tells what was ended, a line each.

    A process is ended only if it started when it was written down, or bears the engine's mark in its environment: never
    another one that has got its number. Engines of a gateway that still runs are left alone.
    """
    ended = []
    folder = records_path(state)
    for path in folder.glob(f"*{_UNFINISHED}"):
        if time.time() - _changed(path) > _UNFINISHED_SECONDS:
            _remove(path)
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        try:
            record = _sound(Record(**json.loads(path.read_text())))
        except (OSError, ValueError, TypeError, RecursionError):
            _remove(path)
            continue
        if _lives(record.owner_pid, record.owner_birth):
            continue
        left = processes_of(record)
        if end(left):
            ended.append(f"{record.name}: process {record.pid} was left by a gateway that is gone")
        _remove_socket(record)
        _remove(path)
    for path in sorted(folder.glob(f"*{_FOLDER_SUFFIX}")):
        _remove_folder(path)
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
    state, *fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    if state == "Z":
        raise psutil.NoSuchProcess(pid)
    return f"{fields[18]}@{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}"


def _sound(record: Record) -> Record:
    """The record, if what it holds is of the kinds that were written; ValueError if not."""
    numbers, texts = (record.pid, record.owner_pid), (record.name, record.birth, record.owner_birth, record.mark)
    if not all(type(number) is int for number in numbers) or not all(isinstance(text, str) for text in texts):
        raise ValueError("a number or a text is none")
    if record.socket is not None and not isinstance(record.socket, str):
        raise ValueError("a path is none")
    return record


def _remove_socket(record: Record) -> None:
    if record.socket is None:
        return
    socket = Path(record.socket)
    with contextlib.suppress(OSError):
        if socket.is_socket():
            socket.unlink()
        # The folder was made for that gateway's sockets, and goes with the last of them.
        if socket.parent.name.startswith(_FOLDER):
            socket.parent.rmdir()


def _remove_folder(note: Path) -> None:
    """Remove the folder of sockets that a gateway which is gone has written down, and only such a one."""
    try:
        told = json.loads(note.read_text())
        folder, pid, birth = Path(told["folder"]), told["owner_pid"], str(told["owner_birth"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        _remove(note)
        return
    if isinstance(pid, int) and _lives(pid, birth):
        return
    if folder.name.startswith(_FOLDER):
        with contextlib.suppress(OSError):
            for left in folder.iterdir():
                if left.is_socket():
                    left.unlink()
            folder.rmdir()
    _remove(note)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
