"""What a process of its own costs an engine: the start beside the loading, and the speed beside the library in-process.

Both sides of each figure are measured in the same run, one after the other, round by round, so that what else the
machine does falls on both. The bars: a start takes less than 0.5 s beside the loading, and a child gives at least 0.97
of the tokens per second that the library gives within one process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.gguf_files import write_model

from weighbridge import engines, facts, fit, machine
from weighbridge.engines import Model, Surroundings
from weighbridge.engines.child_process import ChildProcess
from weighbridge.specialists import bundled

STARTS = 10
START_BAR_SECONDS, SPEED_BAR = 0.5, 0.97
_ENVIRONMENT = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0", "GGML_NO_BACKTRACE": "1"}

# The library within one process, with the settings of a child, but no socket to be asked through.
IN_PROCESS = r"""
import json, os, re, sys, time
sys.path.insert(0, sys.argv[1])
import server_settings, xllamacpp
settings = server_settings.of(json.loads(sys.argv[2]))
settings.verbosity = -1
server = xllamacpp.Server(settings)
print("ready", flush=True)
for line in sys.stdin:
    request = json.loads(line)
    begun = time.perf_counter()
    if request.get("stream"):
        pieces = []
        server.handle_completions(request, lambda piece: pieces.append(piece) and False)
        tokens = int(re.findall(r'"predicted_n": (\d+)', json.dumps(pieces[-3:]))[-1])
    else:
        tokens = server.handle_completions(request)["usage"]["completion_tokens"]
    print(json.dumps([time.perf_counter() - begun, tokens]), flush=True)
os._exit(0)
"""


@dataclass(frozen=True)
class Case:
    """A model, and how long an answer of it shall be."""

    what: str
    path: Path
    tokens: int
    rounds: int


def planned(path: Path) -> fit.Plan:
    """One sequence of 1,024 tokens on one thread, which other programs disturb least."""
    workload = fit.Workload(1024, 1)
    plan = fit.make_plan(facts.read(str(path)), machine.detect(), workload, use_devices=False)
    return replace(plan, threads=1)


async def starts(surroundings: Surroundings) -> dict[str, list[float]]:
    """Seconds from the call to an engine that has passed its test, and how much of them was loading."""
    found: dict[str, list[float]] = {"whole": [], "loading": [], "beside": []}
    model = Model("specialist", "llama_cpp", plan=planned(bundled()["arithmetic"]))
    for _ in range(STARTS):
        begun = time.perf_counter()
        engine = await engines.start(model, surroundings)
        seconds = time.perf_counter() - begun
        assert isinstance(engine, ChildProcess)
        assert engine.load_seconds is not None
        found["whole"].append(seconds)
        found["loading"].append(engine.load_seconds)
        found["beside"].append(seconds - engine.load_seconds)
        await engine.stop()
    return found


@contextmanager
def in_process(path: Path, threads: int, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The library, loaded in a process that is asked by lines."""
    (folder / "unused.sock").unlink(missing_ok=True)
    from weighbridge.engines import children

    arguments = {
        "path": str(path), "socket": str(folder / "unused.sock"), "context_tokens": 1024, "parallel": 1,
        "threads": threads,
    }  # fmt: skip
    command = [sys.executable, "-c", IN_PROCESS, str(Path(children.__file__).parent), json.dumps(arguments)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | _ENVIRONMENT
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.stdin.close()


async def by_child(client: aiohttp.ClientSession, request: dict[str, Any]) -> tuple[float, int]:
    """Seconds of one answer through the socket, and its tokens."""
    begun = time.perf_counter()
    async with client.post("/v1/completions", json=request) as answer:
        if request.get("stream"):
            raw = await answer.content.read()
            return time.perf_counter() - begun, int(re.findall(rb'"predicted_n": ?(\d+)', raw)[-1])
        tokens = (await answer.json())["usage"]["completion_tokens"]
    return time.perf_counter() - begun, tokens


def by_library(process: subprocess.Popen[str], request: dict[str, Any]) -> tuple[float, int]:
    """Seconds of one answer in-process, and its tokens."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(request) + "\n")
    process.stdin.flush()
    seconds, tokens = json.loads(process.stdout.readline())
    return seconds, tokens


async def speeds(case: Case, surroundings: Surroundings, *, stream: bool) -> tuple[float, float, float]:
    """Tokens per second of a child and of the library in their best rounds, and the middle of the rounds' ratios.

    What else the machine does can only take speed away: the best rounds come nearest to what either can give.
    """
    plan = planned(case.path)
    engine = await engines.start(Model("model", "llama_cpp", plan=plan), surroundings)
    request = {
        "prompt": [1 + place % 250 for place in range(32)], "max_tokens": case.tokens, "ignore_eos": True,
        "temperature": 0, "cache_prompt": False, "stream": stream,
    }  # fmt: skip
    child: list[float] = []
    library: list[float] = []
    try:
        # The library has the loop while it answers, and a kept connection would be closed meanwhile.
        connector = aiohttp.UnixConnector(str(engine.endpoint.socket), force_close=True)
        with in_process(case.path, plan.threads, surroundings.sockets) as process:
            async with aiohttp.ClientSession(engine.endpoint.base_url, connector=connector) as client:
                await by_child(client, request)
                by_library(process, request)
                for number in range(case.rounds):
                    for ours in (True, False) if number % 2 else (False, True):
                        seconds, tokens = await by_child(client, request) if ours else by_library(process, request)
                        assert tokens == case.tokens, (tokens, case)
                        (child if ours else library).append(case.tokens / seconds)
    finally:
        await engine.stop()
    ratios = [ours / theirs for ours, theirs in zip(child, library, strict=True)]
    return max(child), max(library), statistics.median(ratios)


async def main() -> int:
    """Measure and print; 1 if a bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each comparison")
    rounds = parser.parse_args().rounds
    missed = 0
    with tempfile.TemporaryDirectory(prefix="weighbridge-") as folder:
        sockets = Path(folder) / "sockets"
        surroundings = Surroundings(sockets, Path(folder) / "state" / "logs", 60)
        found = await starts(surroundings)
        middle = {name: statistics.median(values) for name, values in found.items()}
        print(
            f"start of a bundled specialist, middle of {STARTS}: {middle['whole']:.3f} s, of which loading "
            f"{middle['loading']:.3f} s; beside loading {middle['beside']:.3f} s "
            f"(largest {max(found['beside']):.3f} s; bar {START_BAR_SECONDS} s)"
        )
        missed += middle["beside"] > START_BAR_SECONDS
        # 20 million weights in 32 bits: some 80 MB that each token reads.
        large = write_model(Path(folder) / "m.gguf", context=2048, width=512, heads=8, kv_heads=8, layers=6, inner=1536)
        cases = (
            Case("20M weights", large, 256, rounds),
            Case("specialist, 2M weights", bundled()["arithmetic"], 450, rounds),
        )
        for case in cases:
            for stream in (True, False):
                child, library, middling = await speeds(case, surroundings, stream=stream)
                ratio = child / library
                how = "streamed" if stream else "whole"
                print(
                    f"{case.what}, {case.tokens} tokens {how}: child {child:,.0f} tokens/s, in-process {library:,.0f}: "
                    f"{ratio:.3f}, {(1 / child - 1 / library) * 1e6:,.0f} us a token (best of {case.rounds} rounds; "
                    f"middle of the rounds' ratios {middling:.3f})"
                )
                missed += case is cases[0] and ratio < SPEED_BAR
        print(f"bar for the first model: {SPEED_BAR}" + (f"; {missed} bars were missed" if missed else "; all held"))
    return min(1, missed)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
