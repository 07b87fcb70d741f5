"""Servers to evaluate, and tasks of sums."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from weighbridge.evals import Target


@dataclass
class Server:
    """The mock server as a process of its own."""

    process: subprocess.Popen[bytes]
    url: str

    @property
    def target(self) -> Target:
        return Target(self.url, "mock")

    def stats(self) -> dict[str, int]:
        with urllib.request.urlopen(f"{self.url}/stats", timeout=10) as answer:
            return json.load(answer)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts mock servers with these options; all end with the test."""
    numbers = itertools.count()
    with contextlib.ExitStack() as stack:

        def start(**options: Any) -> Server:
            place = tmp_path / f"port{next(numbers)}"
            script = Path(__file__).with_name("mock_server.py")
            process = subprocess.Popen(
                [sys.executable, str(script), str(place), *(f"{name}={value}" for name, value in options.items())]
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            until = time.monotonic() + 60
            while not (place.exists() and place.read_text()):
                assert time.monotonic() < until
                assert process.poll() is None
                time.sleep(0.01)
            return Server(process, f"http://127.0.0.1:{place.read_text()}")

        yield start


def is_right(a: int, b: int) -> bool:
    """Whether the mock server adds these two rightly."""
    return (31 * a + 17 * b) % 100 < 80


def sums(count: int, seed: int = 0) -> list[tuple[int, int]]:
    rng = random.Random(seed)
    return [(rng.randrange(1000), rng.randrange(1000)) for _ in range(count)]


@pytest.fixture
def task_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a JSONL of sums, or of the lines that are given."""

    def write(lines: list[dict[str, Any]] | int = 50, name: str = "sums.jsonl") -> Path:
        if isinstance(lines, int):
            lines = [{"question": f"What is {a} + {b}?", "answer": f"#### {a + b}"} for a, b in sums(lines)]
        path = tmp_path / name
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    return write
