"""A child process that serves one model: started, tested, watched, quoted when it fails, and ended with all its own.

The child says `{"ready": true}` or `{"error": "..."}` as one line on a pipe; its log is its standard error; it ends
when its standard input closes, and by the kernel when we die.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from weighbridge.engine_environment import engine_environment
from weighbridge.errors import EngineFailed
from weighbridge.signals import signal_name

from . import children, records
from .endpoint import Endpoint
from .log import Log
from .memory import MemoryWatch
from .surroundings import Surroundings, log_path

_STOP_SECONDS = 3.0
# How long a program of its own, such as vLLM, may take to end in order.
_PROGRAM_PATIENCE_SECONDS = 5.0
_LAST_WORDS_SECONDS = 2.0
_LONGEST_REPORT_BYTES = 1 << 20
_NUMBERS = itertools.count()

Check = Callable[[Endpoint], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Launch:
    """What is run: one of our scripts in `children`, by its name, with its arguments as JSON."""

    script: str
    arguments: Mapping[str, object]
    environment: Mapping[str, str] = field(default_factory=dict)
    check: Check | None = None
    """Must be content before the engine counts as ready; EngineFailed tells why it is not."""

    @staticmethod
    def program(command: list[str], environment: Mapping[str, str], check: Check) -> Launch:
        """Another program, whose own children are ended with it; `check` waits until it answers."""
        arguments = {"command": command, "patience_seconds": _PROGRAM_PATIENCE_SECONDS}
        return Launch("supervise", arguments, environment, check)

    @property
    def is_program(self) -> bool:
        """Whether it is a program of its own, with children of its own."""
        return self.script == "supervise"


def new_socket(surroundings: Surroundings) -> Path:
    """Where the next engine shall listen. EngineFailed if the folder is another user's, or others may enter it.

    Named by a number: a socket's path may have 107 letters, and a model's name may have more.
    """
    folder = surroundings.sockets
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = folder.stat()
        if status.st_mode & 0o077 or status.st_uid != os.geteuid():
            raise EngineFailed(f"{folder}: others may enter the folder of the engines' sockets", hint="chmod 700 it")
    except OSError as error:
        raise EngineFailed(f"{folder}: no place for an engine's socket: {error.strerror}") from error
    socket = folder / f"{next(_NUMBERS)}.sock"
    socket.unlink(missing_ok=True)
    return socket


class ChildProcess:
    """One engine process; an object is used for one life of it."""

    def __init__(self, name: str, endpoint: Endpoint, launch: Launch, surroundings: Surroundings) -> None:
        self.name = name
        self.endpoint = endpoint
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.pid: int | None = None
        self.load_seconds: float | None = None
        """What loading the model took of the start, where the child says so."""
        self._launch = launch
        self._surroundings = surroundings
        self._log = Log(log_path(surroundings.logs, name))
        self._mark = records.new_mark()
        self._record: Path | None = None
        self._memory: MemoryWatch | None = None
        self._stopping = False
        self._stop: asyncio.Future[None] | None = None

    async def start(self) -> None:
        """Start it and wait until it is ready. EngineFailed quotes the cause; nothing is left running then."""
        reader = await self._spawn()
        self._reading = asyncio.create_task(self._keep_log())
        timeout_seconds = self._surroundings.start_timeout_seconds
        try:
            async with asyncio.timeout(timeout_seconds):
                report = await self._report(reader)
                if not report.get("ready"):
                    await self._reading
                    await self._process.wait()
                    raise self._failure(report.get("error"))
                await self._pass_check()
                seconds = report.get("load_seconds")
                self.load_seconds = seconds if isinstance(seconds, float) else None
        except TimeoutError:
            await self.stop()
            raise EngineFailed(
                f"{self.name}: not ready after {timeout_seconds:g} s",
                hint=f"its log is {self._log.path}; a large model may need a larger start_timeout_seconds",
                log=self._log.lines,
            ) from None
        except BaseException:
            await asyncio.shield(self.stop())
            raise
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Ask it to end by closing its input, and kill it with all that it started if it does not; any number of times,
        also while it is stopped (SIGSTOP)."""
        self._stopping = True
        if self._stop is None:
            self._stop = asyncio.ensure_future(self._end())
        await asyncio.shield(self._stop)

    async def memory_bytes(self) -> int | None:
        """Main memory that it and its children hold, as `Running` says."""
        return await self._memory.bytes() if self._memory is not None else None

    async def _spawn(self) -> int:
        """Start the process; the end of the pipe on which it reports."""
        folder = self._log.path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise EngineFailed(
                f"{self.name}: no place for its log: {folder}: {error.strerror}",
                hint="choose another folder: WEIGHBRIDGE_STATE_DIR",
            ) from error
        try:
            reader, writer = os.pipe()
        except OSError as error:
            raise EngineFailed(f"{self.name}: its process could not be started: {error}") from error
        socket = self.endpoint.socket
        arguments = {**self._launch.arguments, "parent": os.getpid(), "report": writer}
        if socket is not None:
            arguments["socket"] = str(socket)
        environment = engine_environment(os.environ, PYTHONUNBUFFERED="1") | dict(self._launch.environment)
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # its own folder must not shadow the standard library
                str(Path(children.__file__).with_name(f"{self._launch.script}.py")),
                json.dumps(arguments),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=(writer,),
                env=environment | {records.MARK: self._mark},
                # Ctrl-C is for the gateway, which then ends its children in order.
                start_new_session=True,
            )
        except BaseException as error:
            os.close(reader)
            if isinstance(error, OSError):
                raise EngineFailed(f"{self.name}: its process could not be started: {error}") from error
            raise
        finally:
            os.close(writer)
        self.pid = self._process.pid
        self._record = records.write(self._surroundings.records, self.name, self.pid, socket, self._mark)
        self._memory = MemoryWatch(self.pid)
        self._log.open(f"{self.name}: process {self.pid}")
        return reader

    async def _pass_check(self) -> None:
        """The engine's own test, given up as soon as its process ends."""
        if self._launch.check is None:
            return
        checking = asyncio.ensure_future(self._launch.check(self.endpoint))
        ending = asyncio.ensure_future(self._process.wait())
        try:
            await asyncio.wait({checking, ending}, return_when=asyncio.FIRST_COMPLETED)
            if ending.done():
                await asyncio.wait([self._reading], timeout=_LAST_WORDS_SECONDS)
                raise self._failure(None)
            try:
                checking.result()
            except EngineFailed as error:
                # It may be about to end: then its own words tell more than that it did not answer.
                await asyncio.wait({ending}, timeout=0.2)
                raise EngineFailed(
                    f"{self.name}: {error}", hint=error.hint or f"its log is {self._log.path}", log=self._log.lines
                ) from error
        finally:
            for task in (checking, ending):
                task.cancel()
            await asyncio.wait({checking, ending})

    async def _end(self) -> None:
        self._memory = None  # its number may soon be another's
        process = self._process
        if process.returncode is None:
            if process.stdin is not None:
                process.stdin.close()
            if not await self._ends_by_itself():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        await self._end_the_rest()
        # What has left the session may still hold the pipe.
        _, reading = await asyncio.wait([self._reading], timeout=_LAST_WORDS_SECONDS)
        for task in reading:
            task.cancel()
        for left in (self.endpoint.socket, self._record):
            if left is not None:
                with contextlib.suppress(OSError):
                    left.unlink(missing_ok=True)

    async def _ends_by_itself(self) -> bool:
        """Whether it ends in time; one that is stopped (SIGSTOP) hears nothing, and is not waited for."""
        until = time.monotonic() + _STOP_SECONDS + (_PROGRAM_PATIENCE_SECONDS if self._launch.is_program else 0)
        waited = 0.02
        while time.monotonic() < until:
            try:
                await asyncio.wait_for(self._process.wait(), waited)
            except TimeoutError:
                if self._is_stopped():
                    return False
                waited = min(0.25, 2 * waited)
            else:
                return True
        return False

    def _is_stopped(self) -> bool:
        try:
            return psutil.Process(self._process.pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
        except psutil.Error:
            return False

    async def _end_the_rest(self) -> None:
        """Whatever a program has started and not ended, also where it has left the program's session."""
        if self._launch.is_program:
            await asyncio.to_thread(lambda: records.end(records.marked(self._mark)))

    async def _report(self, descriptor: int) -> dict[str, object]:
        """The child's one line, or nothing where it ended without a word."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_LONGEST_REPORT_BYTES)
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
        )
        try:
            report = json.loads(await reader.readline())
        except ValueError:  # no JSON, or longer than any report
            return {}
        finally:
            transport.close()
        return report if isinstance(report, dict) else {}

    async def _keep_log(self) -> None:
        """Standard error to the log, to its end."""
        assert self._process.stderr is not None
        try:
            while chunk := await self._process.stderr.read(65536):
                self._log.take(chunk)
        finally:
            self._log.close()

    async def _watch(self) -> None:
        code = await self._process.wait()
        await asyncio.wait([self._reading], timeout=_LAST_WORDS_SECONDS)
        if not self._stopping and not self.ended.done():
            await self._end_the_rest()
            said = self._log.last_words
            self.ended.set_result(_how(code) + (f": {said}" if said else ""))

    def _failure(self, said: object) -> EngineFailed:
        """What the child said, and the line of its log that tells why."""
        cause = str(said) if said else _how(self._process.returncode)
        quoted = self._log.cause
        return EngineFailed(
            f"{self.name}: the engine did not start: {quoted or cause}" + (f" ({cause})" if quoted else ""),
            hint=f"its log is {self._log.path}",
            log=self._log.lines,
        )


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        return f"its process was ended by {signal_name(-code)}"
    return f"its process ended with exit code {code}"
