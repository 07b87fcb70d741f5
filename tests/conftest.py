"""Fixtures: small model files, and gateways that run as the user would run them."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import openai
import psutil
import pytest

SHARED = Path(__file__).parents[2] / "shared"


# Settings, keys and gateways of whoever runs the tests take no part in them.
for _name in [each for each in os.environ if each.startswith("WEIGHBRIDGE_") and each != "WEIGHBRIDGE_DATA"]:
    del os.environ[_name]
os.environ["XDG_CONFIG_HOME"] = str(Path(__file__).parent / "no-settings")
# Hundreds of short processes need not compile what the one before compiled.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Threads that wait for each other by spinning cost ten times as much where other tests compute beside them.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from tests.gguf_files import write_model  # noqa: E402  (it imports NumPy, which reads that once)

# How long an example takes says more of a busy machine than of us: what a test says of time, it measures itself.
hypothesis.settings.register_profile(
    "weighbridge", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("weighbridge")

# A shell that starts us in the background has us ignore Ctrl-C, and what we start would too.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Thousands of tests that stay to the end are not looked through again with each collection of garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def tiny_gguf(tmp_path: Path) -> Callable[..., Path]:
    """Writes a small model; keyword arguments as for `write_model`."""

    def write(**shape: Any) -> Path:
        return write_model(tmp_path / f"{shape.get('name', 'tiny')}.gguf", **shape)

    return write


def run_weigh(*arguments: str, timeout: float = 60, **environment: str) -> subprocess.CompletedProcess[str]:
    """`weigh` as a process of its own, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "weighbridge", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **environment},
        check=False,
    )


@dataclass
class RunningGateway:
    """`weigh up` as a process of its own."""

    process: subprocess.Popen[str]
    url: str
    ready_seconds: float

    def client(self, **options: Any) -> openai.OpenAI:
        """The official client."""
        settings: dict[str, Any] = {"base_url": f"{self.url}/v1", "api_key": "none", "max_retries": 0, "timeout": 30}
        return openai.OpenAI(**(settings | options))

    def port(self) -> str:
        return self.url.rsplit(":", 1)[1]

    def ps(self) -> dict[str, dict[str, Any]]:
        """What `weigh ps --json` prints, by model, asked for where that command asks."""
        with urllib.request.urlopen(f"{self.url}/ps", timeout=30) as answer:
            return {model["name"]: model for model in json.load(answer)["models"]}

    def wait_for(self, model: str, condition: Callable[[dict[str, Any]], bool], seconds: float = 60) -> dict[str, Any]:
        """Wait until it shows it."""
        until = time.monotonic() + seconds
        while True:
            found = self.ps()[model]
            if condition(found):
                return found
            assert time.monotonic() < until, f"not seen within {seconds} s: {found}"
            time.sleep(0.05)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextlib.contextmanager
def run_gateway(state: Path, *models: str, flags: tuple[str, ...] = (), **environment: str) -> Iterator[RunningGateway]:
    """A gateway on a free port; at the end nothing of it may be left."""
    log = (state / "stderr.txt").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "weighbridge", "up", *models, "--port", "0", "--json", *flags],
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env={**os.environ, "WEIGHBRIDGE_STATE_DIR": str(state), **environment},
    )
    assert process.stdout is not None
    children: list[psutil.Process] = []
    try:
        ready, _, _ = select.select([process.stdout], [], [], 60)
        answer = ""
        while ready and (line := process.stdout.readline()):
            answer += line
            if line.startswith("}"):
                break
        assert answer, (state / "stderr.txt").read_text()
        said = json.loads(answer)
        children = psutil.Process(process.pid).children(recursive=True)
        yield RunningGateway(process, said["url"], said["ready_seconds"])
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else children
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            pytest.fail("the gateway did not end within 60 s of SIGTERM")
        process.stdout.close()
        log.close()
        _gone, alive = psutil.wait_procs(children, timeout=30)
        assert not alive, f"left behind: {alive}"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Callable[..., RunningGateway]]:
    """Starts gateways; all end with the test."""
    with contextlib.ExitStack() as stack:

        def start(*models: str, flags: tuple[str, ...] = (), **environment: str) -> RunningGateway:
            return stack.enter_context(run_gateway(tmp_path, *models, flags=flags, **environment))

        yield start


@pytest.fixture(scope="session")
def bundled_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """One gateway with the bundled specialists, for all tests that only ask."""
    with run_gateway(tmp_path_factory.mktemp("bundled")) as running:
        yield running


@pytest.fixture(scope="session")
def fake_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """One gateway with a fake engine, for tests that need no model."""
    with run_gateway(tmp_path_factory.mktemp("fake"), "fake") as running:
        yield running
