"""Model swap: two models in the memory of one, asked in turns, beside the time of reading the file.

Each model is written here with random weights, large enough that loading is not lost in the noise of a start. A swap is
the time from the request for the model that is not loaded to its first token: ending the other one, starting a process,
loading, the self-test, and the first step. The file's pages are in the page cache for both, as they are on a machine
that swaps; beside it stands the same request to a model that is loaded, so that what is left is the swap alone.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.gguf_files import write_model

from weighbridge import __version__, facts, fit, machine
from weighbridge.engines import Model
from weighbridge.gateway import Gateway, serve
from weighbridge.openai_api import Client
from weighbridge.settings import Settings
from weighbridge.sizes import show_bytes


def read_seconds(path: Path) -> float:
    """Seconds to read the file once, from the page cache, in pieces of 8 MiB."""
    started = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        piece = bytearray(8 << 20)
        while file.readinto(piece):
            pass
    return time.perf_counter() - started


async def first_token_seconds(client: Client, name: str) -> float:
    """Seconds from a request to its first token."""
    started = time.perf_counter()
    async for _ in client.chat([{"role": "user", "content": "hello"}], name, max_tokens=1):
        return time.perf_counter() - started
    raise AssertionError(f"{name} said nothing")


def planned(name: str, path: Path, here: machine.Machine) -> Model:
    """The model as `weigh up` would serve it, with a single sequence."""
    plan = fit.make_plan(facts.read(path), here, fit.Workload(512, 1), use_devices=False)
    return Model(name, "llama_cpp", card=plan.facts.card, plan=plan)


async def swaps(gateway: Gateway, url: str, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of swaps, and of requests to a model that is loaded already."""
    swapped, loaded = [], []
    async with Client(url) as client:
        await first_token_seconds(client, "one")
        for number in range(rounds):
            name = ("two", "one")[number % 2]
            swapped.append(await first_token_seconds(client, name))
            loaded.append(await first_token_seconds(client, name))
    assert [gateway.pool.loads[name] for name in ("one", "two")] == [1 + rounds // 2, rounds - rounds // 2]
    return swapped, loaded


async def measure(layers: int, width: int, rounds: int) -> list[tuple[str, str]]:
    """The rows of the table."""
    with tempfile.TemporaryDirectory() as folder:
        shape = {"layers": layers, "width": width, "inner": 4 * width, "heads": 8, "kv_heads": 8}
        paths = {
            name: write_model(Path(folder) / f"{name}.gguf", name=name, seed=seed, **shape)
            for seed, name in enumerate(("one", "two"))
        }
        here = machine.detect()
        models = [planned(name, path, here) for name, path in paths.items()]
        need = max(model.need["memory"] for model in models)
        settings = Settings(port=0, state_dir=folder, memory_budget_bytes=need + (1 << 20))
        async with serve(models, settings) as (gateway, url):
            swapped, loaded = await swaps(gateway, url, rounds)
        reading = statistics.median(read_seconds(path) for path in paths.values() for _ in range(3))
        swap, warm = statistics.median(swapped), statistics.median(loaded)
        size = show_bytes(paths["one"].stat().st_size)
    return [
        (f"reading the file of {size} once, from the page cache", f"{reading:.3f} s"),
        ("first token of a model that is loaded", f"{warm:.3f} s"),
        (f"first token with a swap, median of {rounds} (longest {max(swapped):.2f} s)", f"{swap:.3f} s"),
        ("the swap beside reading the file", f"{(swap - warm) / reading:.1f} x"),
    ]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    here = machine.detect()
    print(f"weighbridge {__version__}, {here.processor.model}, {here.processor.usable_threads} threads\n", flush=True)
    print("| what | measured |\n|---|---|")
    for what, value in asyncio.run(measure(arguments.layers, arguments.width, arguments.rounds)):
        print(f"| {what} | {value} |")


if __name__ == "__main__":
    main()
