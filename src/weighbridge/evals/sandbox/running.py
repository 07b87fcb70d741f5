"""`run_locked(code)`: a program in the locked-down child, and how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from weighbridge.signals import signal_name

from . import seccomp

_CHILD = Path(__file__).with_name("child.py")
_START_SECONDS = 10.0
_MOST_ANSWER_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: it passed when it came to its end and nothing was raised."""

    passed: bool
    why: str = ""


def is_locked() -> bool:
    """Whether the child can be locked in on this system."""
    return seccomp.is_possible()


async def run_locked(code: str, seconds: float, memory_bytes: int, *, locked: bool = True) -> Ended:
    """Run Python code in a child of its own.

    The child says a token that only it was told once the code has come to its end, so that leaving early is no pass.
    Code that looks for the token in the child's own frames can find it: this keeps mistakes and mischief in, and is no
    referee for code that was written to cheat it.
    """
    token = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="weighbridge-tests-") as folder:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-I", "-S", "-B", str(_CHILD)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=folder,
            env={"PATH": "", "HOME": folder, "LANG": "C.UTF-8"},
            start_new_session=True,
        )
        task = {"code": code, "token": token, "seconds": seconds, "memory_bytes": memory_bytes, "locked": locked}
        try:
            async with asyncio.timeout(seconds + _START_SECONDS):
                said = await _talk(process, json.dumps(task).encode(), seconds)
        except TimeoutError:
            return Ended(False, f"not done within {seconds:g} s")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return _ended(said, token, process.returncode or 0)


async def _talk(process: asyncio.subprocess.Process, task: bytes, seconds: float) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(ConnectionError):
        process.stdin.write(task)
        await process.stdin.drain()
    process.stdin.close()
    async with asyncio.timeout(seconds):
        said = await process.stdout.read(_MOST_ANSWER_BYTES)
        await process.wait()
    return said


def _ended(said: bytes, token: str, code: int) -> Ended:
    try:
        found = json.loads(said)
        if found.get("token") == token:
            return Ended(True)
        return Ended(False, str(found.get("error", "no verdict")))
    except (ValueError, AttributeError, RecursionError):
        pass
    if code < 0:
        return Ended(False, f"ended by {signal_name(-code)}")
    return Ended(False, f"left early, with exit code {code}")
