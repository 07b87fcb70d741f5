"""Start-up is quick: what a command does not need is not imported."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

HEAVY = {
    "aiohttp",
    "httpx2",
    "httpcore2",
    "starlette",
    "uvicorn",
    "xllamacpp",
    "torch",
    "numpy",
    "gguf",
    "prometheus_client",
    "asyncio",
}


def imported_by(*arguments: str) -> tuple[set[str], float]:
    """The top-level modules that a command imports, and the milliseconds that all imports took."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "weighbridge", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    rows = re.findall(r"^import time:\s+(\d+) \|\s+\d+ \|\s*(\S+)$", done.stderr, re.MULTILINE)
    return {name.split(".")[0] for _, name in rows}, sum(int(own) for own, _ in rows) / 1000


def test_help_imports_nothing_heavy():
    modules, _ = imported_by("--help")

    assert not modules & (HEAVY | {"psutil", "pynvml"})


# This machine would be measured by `fit` now and then, for which it takes NumPy.
@pytest.mark.parametrize("command", [("facts",), ("fit", "--machine", "ram=16GiB@40GB/s,cores=4")])
def test_reading_a_file_imports_no_server(command, tiny_gguf):
    modules, _ = imported_by(*command, str(tiny_gguf()))

    assert not modules & HEAVY


def test_a_gateway_holds_only_what_it_needs_while_nobody_asks():
    # Pages, SQLite, and all that reads, fetches and plans models come with the first who needs them.
    program = "import sys, weighbridge.cli.commands.up; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )

    assert "weighbridge.gateway.door" in loaded
    assert not loaded & {
        "starlette", "sqlite3", "numpy", "statistics", "http.client", "email", "weighbridge.hub.fetching",
        "weighbridge.fit.speed", "weighbridge.facts.reading", "weighbridge.catalogue.catalogue",
    }  # fmt: skip
