"""A child process that serves one model on a Unix socket: started, watched, quoted when it fails, and ended.

The child says `{"ready": true}` or `{"error": "..."}` as one line on file descriptor 3; its log is its standard error;
it ends when its standard input closes, and by the kernel when we die.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import itertools
import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import BinaryIO

from weighbridge.errors import EngineFailed

from .endpoint import Endpoint
from .surroundings import Surroundings

_KEPT_LINES = 200
_STOP_SECONDS = 3.0
_LARGE_LOG_BYTES = 8 << 20
_NUMBERS = itertools.count()
# The gateway's own key is no business of an engine.
_OWN_KEY = "WEIGHBRIDGE_API_KEY"
# What tells the cause in llama.cpp's log, in a Python traceback and in an assertion of ggml.
_TELLING = re.compile(r"error|assert|failed|exception|invalid|unable|cannot|mismatch", re.IGNORECASE)
# Two threads of OpenMP that spin while they wait run a hundred times slower on a busy machine; and an assertion of
# ggml would start a debugger for 12 s.
_ENVIRONMENT = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0", "GGML_NO_BACKTRACE": "1", "PYTHONUNBUFFERED": "1"}


class ChildProcess:
    """One engine process; an object is used for one life of it."""

    def __init__(self, name: str, script: Path, arguments: dict[str, object], surroundings: Surroundings) -> None:
        self.name = name
        # Named by a number: a socket's path may have 107 letters, and a model's name may have more.
        socket = surroundings.sockets / f"{next(_NUMBERS)}.sock"
        self.endpoint = Endpoint("http://engine", socket=socket)
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.pid: int | None = None
        self._script = script
        self._arguments = arguments
        self._socket = socket
        self._log_path = surroundings.logs / f"{name}.log"
        self._start_timeout_seconds = surroundings.start_timeout_seconds
        self._tail: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)
        self._stopping = False

    async def start(self) -> None:
        """Start it and wait until it is ready. EngineFailed quotes the cause; nothing is left running then."""
        timeout_seconds = self._start_timeout_seconds
        try:
            self._log_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            reader, writer = os.pipe()
        except OSError as error:
            raise EngineFailed(
                f"{self.name}: no place for its log: {self._log_path.parent}: {error.strerror}",
                hint="choose another folder: WEIGHBRIDGE_STATE_DIR",
            ) from error
        arguments = {**self._arguments, "socket": str(self._socket), "parent": os.getpid(), "report": writer}
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # its own folder must not shadow the standard library
                str(self._script),
                json.dumps(arguments),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=(writer,),
                env={name: value for name, value in os.environ.items() if name != _OWN_KEY} | _ENVIRONMENT,
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
        self._reading = asyncio.create_task(self._keep_log())
        try:
            report = await asyncio.wait_for(self._report(reader), timeout_seconds)
        except TimeoutError:
            await self.stop()
            raise EngineFailed(
                f"{self.name}: not ready after {timeout_seconds:g} s",
                hint=f"its log is {self._log_path}; a large model may need a larger start_timeout_seconds",
                log=tuple(self._tail),
            ) from None
        except BaseException:
            await self.stop()
            raise
        if not report.get("ready"):
            await self.stop()
            raise self._failure(report)
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Ask it to end by closing its input; kill it if it does not."""
        self._stopping = True
        if self._process.returncode is None:
            if self._process.stdin is not None:
                self._process.stdin.close()
            try:
                await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
                await self._process.wait()
        await asyncio.wait([self._reading])
        self._socket.unlink(missing_ok=True)

    async def _report(self, descriptor: int) -> dict[str, object]:
        """The child's one line, or nothing where it ended without a word."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
        )
        try:
            line = await reader.readline()
        finally:
            transport.close()
        try:
            report = json.loads(line)
        except ValueError:
            return {}
        return report if isinstance(report, dict) else {}

    async def _keep_log(self) -> None:
        """Standard error to the log file and to the tail that is quoted; a line of any length is taken.

        A log that can't be written (a full disk) is given up; what the child says must be read all the same, or it
        would wait for us for ever.
        """
        assert self._process.stderr is not None
        with contextlib.ExitStack() as stack:
            log: BinaryIO | None = None
            with contextlib.suppress(OSError):
                is_large = self._log_path.exists() and self._log_path.stat().st_size > _LARGE_LOG_BYTES
                log = stack.enter_context(self._log_path.open("wb" if is_large else "ab", buffering=0))
                self._log_path.chmod(0o600)
            rest = b""
            while chunk := await self._process.stderr.read(65536):
                try:
                    if log is not None:
                        log.write(chunk)
                except OSError as error:
                    self._tail.append(f"(its log could not be written on: {error})")
                    log = None
                *lines, rest = (rest + chunk).split(b"\n")
                rest = rest[-4096:]
                self._tail.extend(line.decode(errors="replace").rstrip() for line in lines)
            if rest:
                self._tail.append(rest.decode(errors="replace"))

    async def _watch(self) -> None:
        code = await self._process.wait()
        await asyncio.wait([self._reading])
        if not self._stopping and not self.ended.done():
            self.ended.set_result(self._cause(code))

    def _cause(self, code: int | None) -> str:
        if code is not None and code < 0:
            return f"its process was ended by {signal.Signals(-code).name}"
        return f"its process ended with exit code {code}"

    def _failure(self, report: dict[str, object]) -> EngineFailed:
        telling = [line.strip() for line in self._tail if _TELLING.search(line)]
        said = report.get("error")
        cause = str(said) if said else self._cause(self._process.returncode)
        quoted = f": {telling[-1][:300]}" if telling else ""
        return EngineFailed(
            f"{self.name}: the engine did not start: {cause}{quoted}",
            hint=f"its log is {self._log_path}",
            log=tuple(self._tail),
        )
