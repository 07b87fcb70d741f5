"""`Scorer`: one model in a child process, whose scores for each token of a text lie in shared memory."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import select
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from weighbridge.engine_environment import engine_environment
from weighbridge.errors import EngineFailed, InterfaceUnknown

Scores = npt.NDArray[np.float32]
_LOG_LINES = 20


@dataclass(frozen=True, slots=True)
class ScorerSettings:
    """How a model is run for its scores."""

    path: Path
    context_tokens: int
    rows: int
    """Tokens of one step, each with a row of scores."""
    threads: int
    most_bytes: int
    """Of data, beside what is mapped from the file: the process is refused more."""
    cache_type_k: str = "f16"
    cache_type_v: str = "f16"
    load_seconds: float = 300.0
    """How long it may take until the model is loaded."""
    step_seconds: float = 600.0
    """How long one step may take."""


class Scorer:
    """One model, loaded when this is entered, and gone with its process when it is left.

    Every method raises EngineFailed, with the engine's last words, where the process ends, refuses or takes too long.
    """

    def __init__(self, name: str, settings: ScorerSettings) -> None:
        self.name, self.settings = name, settings
        self.vocabulary_size = 0
        self.vocabulary_sum = ""
        self.begin: tuple[int, ...] = ()
        """Tokens that every context of this model begins with."""
        self.version = ""
        self.forward_seconds = self.forward_cpu_seconds = 0.0
        self._until = 0.0

    def __enter__(self) -> Self:
        self._errors = tempfile.TemporaryFile()
        self._file = _shared_file()
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process; any number of times."""
        process = getattr(self, "_process", None)
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    stream.close()
        # Closed once: its number may be another file's by the next time.
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)
        self._errors.close()

    def wait_until_loaded(self) -> None:
        """The model is loaded, and the engine's interface has passed its tests."""
        told = self._receive()
        self.vocabulary_size, self.vocabulary_sum = told["vocabulary_size"], told["vocabulary_sum"]
        self.begin, self.version = tuple(told["begin"]), told["version"]
        shape = (2, self.settings.rows, self.vocabulary_size)
        size = 4 * shape[0] * shape[1] * shape[2]
        os.ftruncate(self._file, size)
        self._slots: Scores = np.frombuffer(mmap.mmap(self._file, size), dtype=np.float32).reshape(shape)
        self._ask(memory=self._file)

    def tokenize(self, text: str) -> list[int]:
        """The text's tokens, without one that marks a beginning."""
        return list(self._ask(do="tokenize", text=text)["tokens"])

    def pieces(self, tokens: list[int]) -> list[bytes]:
        """What each token stands for."""
        return [bytes.fromhex(piece) for piece in self._ask(do="pieces", tokens=tokens)["pieces"]]

    def texts(self) -> list[str]:
        """Every token's text as the file has it."""
        return list(self._ask(do="texts")["texts"])

    def begin_scoring(self, tokens: list[int], slot: int, *, fresh: bool, singly: bool = False) -> None:
        """Have the scores after each token computed into a slot (0 or 1), while we do something else."""
        self._send(do="score", tokens=tokens, slot=slot, fresh=fresh, singly=singly)

    def wait(self) -> None:
        """Until what was begun is done."""
        took = self._receive()
        self.forward_seconds += took["seconds"]
        self.forward_cpu_seconds += took["cpu_seconds"]

    def rows(self, count: int, slot: int) -> Scores:
        """Scores in a slot, a row a token; valid until it is written again."""
        return self._slots[slot, :count]

    def _start(self) -> None:
        command = [sys.executable, "-P", str(Path(__file__).with_name("scoring_child.py"))]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, pass_fds=(self._file,),
                env=engine_environment(os.environ), start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise EngineFailed(f"{self.name}: its process could not be started: {error}") from error
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._read = b""
        settings = self.settings
        self._send(
            path=str(settings.path), context_tokens=settings.context_tokens, rows=settings.rows,
            threads=settings.threads, most_bytes=settings.most_bytes, cache_type_k=settings.cache_type_k,
            cache_type_v=settings.cache_type_v,
        )  # fmt: skip
        self._until = time.monotonic() + settings.load_seconds

    def _ask(self, **request: object) -> dict[str, Any]:
        self._send(**request)
        return self._receive()

    def _send(self, **request: object) -> None:
        assert self._process.stdin is not None
        self._until = time.monotonic() + self.settings.step_seconds
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise self._ended() from None

    def _receive(self) -> dict[str, Any]:
        """The next line of the child's."""
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        while b"\n" not in self._read:
            left = self._until - time.monotonic()
            if left <= 0:
                raise EngineFailed(
                    f"{self.name}: the engine has not answered in time",
                    hint="end other programs, or give it more threads",
                    log=self._last_words(),
                )
            if not select.select([pipe], [], [], min(left, 1.0))[0]:
                continue
            chunk = os.read(pipe, 1 << 20)
            if not chunk:
                raise self._ended()
            self._read += chunk
        line, _, self._read = self._read.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        if "refused" in answer:
            raise self._refused(str(answer["refused"]), is_abi=bool(answer["is_abi"]))
        return answer

    def _refused(self, said: str, *, is_abi: bool) -> EngineFailed:
        lines = [line for line in said.splitlines() if line.strip()]
        if is_abi:
            return InterfaceUnknown(
                f"the engine's interface is not the known one, so its scores would mean nothing: {lines[0][:300]}",
                hint="install the version that this release needs: pip install --force-reinstall weighbridge",
            )
        cause = next((line for line in lines if "error" in line), lines[-1] if lines else "without a word")
        return EngineFailed(
            f"{self.name}: the engine refuses it: {cause[:300]}",
            hint="it would refuse it when it is served, too",
            log=tuple(lines[-_LOG_LINES:]),
        )

    def _ended(self) -> EngineFailed:
        code = self._process.wait()
        log = self._last_words()
        last = next((line for line in reversed(log) if line.strip()), "it said nothing")
        return EngineFailed(
            f"{self.name}: the engine ended while it was needed (exit code {code}): {last[:300]}",
            hint="it may have run out of memory: end other programs, or choose a shorter --context",
            log=log,
        )

    def _last_words(self) -> tuple[str, ...]:
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - 8192))
        return tuple(self._errors.read().decode(errors="replace").splitlines()[-_LOG_LINES:])


def _shared_file() -> int:
    """A file without a name, in memory where the system has such."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("scores")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
