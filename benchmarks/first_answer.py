"""The README's table: start to first answer, accuracy of the specialists, memory and cost of the gateway.

Each figure of speed stands beside what it is held against, measured in the same run on the same machine: the bare
engine, loaded in one Python process with nothing of ours around it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import psutil

from weighbridge import __version__, facts, machine
from weighbridge.cli.sources import find_models
from weighbridge.gateway import Gateway, serve
from weighbridge.openai_api import Client, Request
from weighbridge.routing import Candidate, route
from weighbridge.settings import Settings
from weighbridge.sizes import show_bytes
from weighbridge.specialists import bundled
from weighbridge.training import lanes
from weighbridge.training.measure import Accuracy, measure

QUESTION = "What is 37 plus 58?"
ITEMS = 200
ROUNDS = 5

BARE_ENGINE = """
import json, os, sys, time, xllamacpp
servers = []
for path in json.loads(sys.argv[1]):
    settings = xllamacpp.CommonParams()
    settings.model.path = path
    settings.n_ctx, settings.n_parallel, settings.ui, settings.verbosity = 1024, 2, False, -1
    settings.fit_params, settings.cache_ram_mib = False, 0
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    servers.append(xllamacpp.Server(settings))
messages = [{"role": "user", "content": sys.argv[2]}]
answer = servers[0].handle_chat_completions({"messages": messages, "temperature": 0})
print(answer["choices"][0]["message"]["content"], flush=True)
os._exit(0)
"""


def timed(*command: str) -> tuple[float, str]:
    """Seconds from start to end of a process, and what it printed; the middle of several rounds."""
    seconds, printed = [], ""
    for _ in range(ROUNDS):
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - started)
        printed = done.stdout.strip()
    return statistics.median(seconds), printed


def import_milliseconds(*arguments: str) -> float:
    """What all imports of a command take, by `-X importtime`; the middle of several rounds."""
    totals = []
    for _ in range(ROUNDS):
        command = [sys.executable, "-X", "importtime", "-m", "weighbridge", *arguments]
        log = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        totals.append(sum(map(int, re.findall(r"^import time:\s+(\d+) \|", log, re.MULTILINE))) / 1000)
    return statistics.median(totals)


async def latency(ask: Callable[[], Awaitable[None]], count: int) -> list[float]:
    """Seconds of each of `count` requests, one after the other."""
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        await ask()
        seconds.append(time.perf_counter() - started)
    return seconds


async def added_latency(gateway: Gateway, url: str) -> tuple[float, float]:
    """Median seconds of a one-token request at the engine's own socket and through the gateway, in turns."""
    body = {"model": "arithmetic", "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 1}
    socket = gateway.pool.running["arithmetic"].endpoint.socket
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as bare,
        aiohttp.ClientSession() as through,
    ):

        async def at(session: aiohttp.ClientSession, base: str) -> None:
            async with session.post(base + "/v1/chat/completions", json=body) as answer:
                assert answer.status == 200
                await answer.read()

        direct: list[float] = []
        ours: list[float] = []
        for _ in range(10):
            direct += await latency(lambda: at(bare, "http://engine"), 40)
            ours += await latency(lambda: at(through, url), 40)
    return statistics.median(direct), statistics.median(ours)


async def accuracies(client: Client) -> dict[str, Accuracy]:
    """Every specialist on its own lane, on forms that it never saw, on the other's lane; and `auto` on both."""
    found: dict[str, Accuracy] = {}
    names = lanes.names()
    for lane in names:
        own = list(lanes.held_out_items(lane, ITEMS))
        found[f"`{lane}` on its lane, held out"] = await measure(client, lane, own)
        rng = random.Random(5)
        unseen = [lanes.get(lane).unseen(rng) for _ in range(ITEMS)]
        found[f"`{lane}` on phrasings it never saw"] = await measure(client, lane, unseen)
        for other in set(names) - {lane}:
            found[f"`{lane}` on the lane of `{other}`"] = await measure(
                client, lane, list(lanes.held_out_items(other, ITEMS))
            )
    both = [item for lane in names for item in lanes.held_out_items(lane, ITEMS // 2, seed=7)]
    found["`auto` on both lanes"] = await measure(client, "auto", both)
    return found


def routing_microseconds() -> float:
    """Microseconds of one decision by the bundled cards, over held-out prompts of both lanes."""
    candidates = tuple(Candidate(name, facts.read(path).card) for name, path in bundled().items())
    prompts = [item.prompt for lane in lanes.names() for item in lanes.held_out_items(lane, 500)]
    requests = [Request("/v1/chat/completions", "auto", False, prompt, b"") for prompt in prompts]
    route(requests[0], candidates)
    started = time.perf_counter()
    for request in requests:
        route(request, candidates)
    return (time.perf_counter() - started) / len(requests) * 1e6


async def served_rows() -> list[tuple[str, str]]:
    """What is measured on a gateway that runs."""
    rows = []
    with tempfile.TemporaryDirectory() as state:
        settings = Settings(port=0, state_dir=state)
        async with serve(find_models([], settings), settings) as (gateway, url):
            await gateway.pool.preload()
            direct, ours = await added_latency(gateway, url)
            rows.append(("request of one token at the engine's socket", f"{direct * 1e3:.2f} ms"))
            rows.append(
                ("the same through the gateway", f"{ours * 1e3:.2f} ms, {ours / direct:.2f} of the engine alone")
            )
            async with Client(url) as client:
                for what, accuracy in (await accuracies(client)).items():
                    low, high = accuracy.interval
                    counts = f"{accuracy.right} of {accuracy.total}, 95 % interval {low:.1%} to {high:.1%}"
                    rows.append((f"exact answers: {what}", f"{accuracy.share:.1%} ({counts})"))
                for model in (await client.get("/ps"))["models"]:
                    planned, measured = model["memory_planned_bytes"], model["memory_measured_bytes"]
                    rows.append(
                        (
                            f"memory of the engine of `{model['name']}`",
                            f"{show_bytes(measured)} measured, {show_bytes(planned)} planned",
                        )
                    )
    return rows


def memory_row() -> tuple[str, str]:
    """Memory of the gateway's own process, idle and after a thousand requests."""
    with tempfile.TemporaryDirectory() as state:
        process = subprocess.Popen(
            [sys.executable, "-m", "weighbridge", "up", "--port", "0", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "WEIGHBRIDGE_STATE_DIR": state},
        )
        assert process.stdout is not None
        answer = ""
        while not answer.endswith("}\n"):
            answer += process.stdout.readline()
        url = json.loads(answer)["url"]
        idle = psutil.Process(process.pid).memory_full_info().uss

        async def ask() -> None:
            async with Client(url) as client:
                await measure(client, "auto", list(lanes.held_out_items("arithmetic", 1000)))

        asyncio.run(ask())
        after = psutil.Process(process.pid).memory_full_info().uss
        process.terminate()
        process.wait(20)
    return "memory of the gateway, idle; after 1,000 requests", f"{show_bytes(idle)}; {show_bytes(after)}"


def main() -> None:
    """Measure and print the table."""
    paths = json.dumps([str(path) for path in bundled().values()])
    here = machine.detect()
    print(
        f"weighbridge {__version__}, {here.processor.model}, {here.processor.usable_threads} threads, "
        f"Python {sys.version.split()[0]}\n",
        flush=True,
    )
    rows: list[tuple[str, str]] = []
    bare, bare_answer = timed(sys.executable, "-c", BARE_ENGINE, paths, QUESTION)
    ours, our_answer = timed(sys.executable, "-m", "weighbridge", "up", "--once", QUESTION)
    assert bare_answer == our_answer == "95", (bare_answer, our_answer)
    rows.append(("bare engine: start, load both models, answer, end", f"{bare:.2f} s"))
    rows.append(
        ("`weigh up --once`: the same through the gateway", f"{ours:.2f} s, {ours / bare:.2f} of the bare engine")
    )
    rows.append(("imports of `weigh --help`", f"{import_milliseconds('--help'):.0f} ms"))
    facts_seconds, _ = timed(sys.executable, "-m", "weighbridge", "facts", str(next(iter(bundled().values()))))
    rows.append(("`weigh facts` on a bundled model, from start to end", f"{facts_seconds * 1e3:.0f} ms"))
    rows.append(("one routing decision between two cards", f"{routing_microseconds():.0f} µs"))
    rows += asyncio.run(served_rows())
    rows.append(memory_row())
    sizes = ", ".join(f"`{name}` {show_bytes(Path(path).stat().st_size)}" for name, path in bundled().items())
    rows.append(("size of the bundled models", sizes))
    print("| what | measured |\n|---|---|")
    for what, value in rows:
        print(f"| {what} | {value} |")


if __name__ == "__main__":
    main()
