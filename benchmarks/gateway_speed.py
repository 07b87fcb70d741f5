"""How fast the gateway's data path is, on one core, beside nginx and others in the same run.

    python benchmarks/gateway_speed.py [--quick] [--rounds N] [--nginx PATH] [--peers FOLDER]
                                        [--also NAME=COMMAND] [--workers N] [--big] [--json FILE]

Each gateway stands between the same client and the same mock engine, both in C and compiled here, and is pinned to one
core; client and mock share another. A request is 2.2 KB, its answer 1 KB of JSON or a stream of 102 events. Gateways
take turns within a round, and the middle of the rounds counts, for a machine is not equally quick at all times. Where
it is permitted, all three run with real-time priority while they are measured, so that other work disturbs less. CPU
time is that of the gateway's whole process tree. `gateway` is ours with a key, routing, queues, ledger and metrics on;
`key, ledger off` is the same without what can be turned off. `data path` is what lies under both in Python: what passes
where a request is not plain, with nothing made of it.

`--also` adds another gateway: a command with {port} and {upstream} in it, e.g. --also "mine=mygate --port {port} ...".
Its path must be /v1/chat/completions, its key sk-bench, and its model `mock`.

With `--workers` there is one column more: ours with so many processes, on all cores, which it then shares with client
and mock where there are no more than two. Of it the CPU time a request says more than requests a second.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.gateway_peers import Gateway, given, peers

HERE = Path(__file__).parent
PATH = "/v1/chat/completions"


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def data_path(*flags: str) -> Callable[[Path, int, int], list[str]]:
    """Our own data path with nothing on it: every POST goes to the one engine. With `--whole`, the gateway itself."""
    program = [sys.executable, str(HERE / "gateway_served.py")]
    return lambda home, port, upstream: [*program, str(port), str(upstream), *flags]


def gateways(options: argparse.Namespace) -> list[Gateway]:
    """Those that can be measured here; ours first, then the one that all are held against."""
    lean = Gateway("key, ledger off", data_path("--whole", "--lean"))
    found = [Gateway("gateway", data_path("--whole")), lean, Gateway("data path", data_path())]
    if options.workers > 1:
        several = data_path("--whole", str(options.workers))
        found.insert(1, Gateway(f"{options.workers} workers", several))
    return [*found, *peers(options.nginx, options.peers), *map(given, options.also)]


class Bench:
    """The mock engine and the client, compiled, with their bodies."""

    def __init__(self, home: Path, cores: list[int], *, seconds: float) -> None:
        self.home = home
        self.seconds = seconds
        self.theirs, self.ours = str(cores[0]), str(cores[-1])
        for name in ("mock_upstream", "load_client"):
            subprocess.run(["cc", "-O2", "-o", home / name, HERE / f"{name}.c"], check=True)
        self.upstream = free_port()
        self.mock = subprocess.Popen(["taskset", "-c", self.theirs, home / "mock_upstream", str(self.upstream)])

    def body(self, kind: str, models: str = "") -> Path:
        """The file of a body: `json`, `sse` or `paced`."""
        place = self.home / f"{models.replace(':', '-')}{kind}.body"
        if not place.exists():
            words = "The quick brown fox jumps over the lazy dog. " * 44
            more = {} if kind == "json" else {"stream": True}
            model = models + ("mock-p20000" if kind == "paced" else "mock")
            body = {"model": model, "messages": [{"role": "user", "content": words}], "max_tokens": 100, **more}
            place.write_text(json.dumps(body))
        return place

    def load(self, to: int | Running, body: str, width: int, seconds: float, most: int = 0) -> dict[str, float]:
        """Run the client once: to a gateway, or to the port of the mock."""
        port, path, models = (to, PATH, "") if isinstance(to, int) else (to.port, to.gateway.path, to.gateway.models)
        program, kind = str(self.home / "load_client"), "json" if body == "json" else "sse"
        command = ["taskset", "-c", self.theirs, program, str(port), path, str(width), str(seconds)]
        command += [str(self.body(body, models)), kind, str(most)]
        client = subprocess.Popen(command, stdout=subprocess.PIPE)
        prefer(client.pid)
        printed, _ = client.communicate()
        figures: dict[str, float] = json.loads(printed)
        return figures


def prefer(pid: int, *, really: bool = True) -> None:
    """Let a process and its threads run before other work, where that is permitted."""
    policy = os.SCHED_RR if really else os.SCHED_OTHER
    with contextlib.suppress(OSError):
        for thread in (Path("/proc") / str(pid) / "task").iterdir():
            os.sched_setscheduler(int(thread.name), policy, os.sched_param(10 if really else 0))


class Running:
    """A gateway that has been started."""

    def __init__(self, gateway: Gateway, bench: Bench) -> None:
        self.gateway = gateway
        self.bench = bench
        self.port = free_port()
        home = Path(tempfile.mkdtemp(dir=bench.home))
        command = gateway.command(home, self.port, bench.upstream)
        self.process = subprocess.Popen(
            ["taskset", "-c", bench.ours, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._wait(home / "port")
        while '"starting"' in self._workers():
            time.sleep(0.1)
        time.sleep(0.5)

    def _wait(self, chosen: Path) -> None:
        """Until it answers, at the port that it was told or has chosen itself."""
        deadline = time.monotonic() + 120
        body = self.bench.body("json", self.gateway.models).read_bytes()
        while True:
            with contextlib.suppress(OSError):
                if chosen.exists():
                    self.port = int(chosen.read_text() or self.port)
                connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
                connection.request("POST", self.gateway.path, body, HEADERS)
                if connection.getresponse().status == 200:
                    return
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise SystemExit(f"{self.gateway.name} does not answer")
            time.sleep(0.1)

    def _workers(self) -> str:
        """What it says of its workers, if it is ours."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/ps", headers=HEADERS)
        return connection.getresponse().read().decode(errors="replace")

    def tree(self) -> list[psutil.Process]:
        """Its processes."""
        first = psutil.Process(self.process.pid)
        return [first, *first.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """Used so far by all of it."""
        return sum(sum(process.cpu_times()[:2]) for process in self.tree())

    def rss_mib(self) -> float:
        """Memory of all of it."""
        return float(sum(process.memory_info().rss for process in self.tree()) / 2**20)

    @contextlib.contextmanager
    def preferred(self) -> Iterator[None]:
        """Before other work, with the mock."""
        pids = [self.bench.mock.pid, *(process.pid for process in self.tree())]
        for pid in pids:
            prefer(pid)
        try:
            yield
        finally:
            for pid in pids:
                prefer(pid, really=False)

    def stop(self) -> None:
        """End it."""
        for process in reversed(self.tree()):
            with contextlib.suppress(psutil.Error):
                process.terminate()
        self.process.wait(10)


HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer sk-bench"}
Figures = dict[str, float]


def measure(running: Running, *, big: bool) -> Figures:
    """One round of one gateway."""
    bench, seconds = running.bench, running.bench.seconds
    with running.preferred():
        before = running.cpu_seconds()
        many = bench.load(running, "json", 64, seconds)
        cpu = running.cpu_seconds() - before
        one = bench.load(running, "json", 1, seconds / 2)
        before = running.cpu_seconds()
        burst = bench.load(running, "sse", 64, seconds)
        burst_cpu = running.cpu_seconds() - before
        paced = bench.load(running, "paced", 64, seconds)
    figures = {
        "requests_per_second": many["requests"] / many["seconds"],
        # The client's warm-up is 15 % more than what it counts.
        "cpu_us_per_request": cpu * 1e6 / max(1.0, many["requests"] * 1.15),
        "p50_us": one["p50_us"],
        "p99_us": one["p99_us"],
        "pieces_per_second": burst["pieces"] / burst["seconds"],
        "cpu_us_per_piece": burst_cpu * 1e6 / max(1.0, burst["pieces"] * 1.15),
        "paced_p50_us": paced["transit_p50_us"],
        "paced_p99_us": paced["transit_p99_us"],
        "first_p50_us": paced["first_p50_us"],
        "errors": many["errors"] + one["errors"] + burst["errors"],
    }
    if big:
        figures["paced_with_8_mb_p99_us"] = beside_big_bodies(running)
    return figures


def beside_big_bodies(running: Running) -> float:
    """The 99th percentile of the pieces' way while two others post 8 MB, again and again."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * (8 << 20)}}
    model = running.gateway.models + "mock"
    body = {"model": model, "messages": [{"role": "user", "content": [{"type": "text", "text": "What?"}, image]}]}
    sent = json.dumps(body).encode()
    over = threading.Event()

    def post() -> None:
        while not over.is_set():
            connection = HTTPConnection("127.0.0.1", running.port, timeout=30)
            connection.request("POST", running.gateway.path, sent, HEADERS)
            connection.getresponse().read()
            connection.close()
            time.sleep(0.2)

    posting = [threading.Thread(target=post) for _ in range(2)]
    for thread in posting:
        thread.start()
    try:
        with running.preferred():
            return running.bench.load(running, "paced", 64, 4)["transit_p99_us"]
    finally:
        over.set()
        for thread in posting:
            thread.join()


def measure_memory(gateway: Gateway, bench: Bench, requests: int, streams: int) -> Figures:
    """MiB when it has just started, and after so many requests and streams."""
    running = Running(gateway, bench)
    try:
        idle = running.rss_mib()
        # Slow ones do not get through all of them.
        most_seconds = requests / 330
        bench.load(running, "json", 64, most_seconds, requests)
        bench.load(running, "sse", 64, most_seconds, streams)
        return {"idle_mib": idle, "after_mib": running.rss_mib()}
    finally:
        running.stop()


ROWS = (
    ("requests_per_second", "requests/s, 64 at once", "{:,.0f}"),
    ("cpu_us_per_request", "CPU µs a request", "{:.1f}"),
    ("added_p50_us", "added latency p50, one at a time, µs", "{:.0f}"),
    ("added_p99_us", "added latency p99, one at a time, µs", "{:.0f}"),
    ("pieces_per_second", "stream pieces/s, 64 streams", "{:,.0f}"),
    ("cpu_us_per_piece", "CPU µs a piece", "{:.1f}"),
    ("paced_p50_us", "a piece's way p50, 64 × 50 a second, µs", "{:.0f}"),
    ("paced_p99_us", "a piece's way p99, µs", "{:.0f}"),
    ("first_p50_us", "first piece p50, µs", "{:.0f}"),
    ("paced_with_8_mb_p99_us", "a piece's way p99 beside 8 MB bodies, µs", "{:.0f}"),
    ("errors", "errors", "{:.0f}"),
    ("idle_mib", "memory idle, MiB", "{:.0f}"),
    ("after_mib", "memory after the requests and streams, MiB", "{:.0f}"),
)


def table(results: dict[str, Figures]) -> str:
    """Markdown: a column for each gateway, and ours as a multiple of nginx."""
    names = list(results)
    ours = names[1]  # with one process
    lines = ["| | " + " | ".join(names) + " | ours / nginx |", "|---|" + "---:|" * (len(names) + 1)]
    for key, label, style in ROWS:
        if key not in results[ours]:
            continue
        cells = [style.format(results[name][key]) if key in results[name] else "" for name in names]
        against = results.get("nginx", {}).get(key, 0.0)
        cells.append(f"{results[ours][key] / against:.2f}" if against else "")
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def run(options: argparse.Namespace, home: Path) -> dict[str, Figures]:
    """Every gateway, `rounds` times by turns, and the mock alone as `direct`."""
    cores = sorted(os.sched_getaffinity(0))
    bench = Bench(home, cores, seconds=1.5 if options.quick else 4.0)
    rounds: dict[str, list[Figures]] = {}
    try:
        time.sleep(0.3)
        everyone = [Running(gateway, bench) for gateway in gateways(options)]
        for turn in range(1 if options.quick else options.rounds):
            prefer(bench.mock.pid)
            alone = bench.load(bench.upstream, "json", 1, bench.seconds / 2)
            rounds.setdefault("direct", []).append({"p50_us": alone["p50_us"], "p99_us": alone["p99_us"]})
            for running in everyone:
                figures = measure(running, big=options.big)
                for part in ("p50", "p99"):
                    figures[f"added_{part}_us"] = figures[f"{part}_us"] - alone[f"{part}_us"]
                rounds.setdefault(running.gateway.name, []).append(figures)
                speed, cpu = figures["requests_per_second"], figures["cpu_us_per_request"]
                said = f"round {turn + 1}: {running.gateway.name}: {speed:,.0f} requests/s, {cpu:.1f} µs"
                print(f"{said}, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
        for running in everyone:
            running.stop()
        results = {name: {key: statistics.median(each[key] for each in found) for key in found[0]}
                   for name, found in rounds.items()}  # fmt: skip
        for gateway in gateways(options):
            amount = (10_000, 200) if options.quick else (100_000, 2_000)
            results[gateway.name] |= measure_memory(gateway, bench, *amount)
        return results
    finally:
        bench.mock.terminate()


def main(arguments: list[str]) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round: about a minute")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--nginx", help="where nginx is, if not on the path")
    parser.add_argument("--peers", type=Path, metavar="FOLDER", help="where others are installed: see gateway_peers.py")
    parser.add_argument("--also", action="append", default=[], metavar="NAME=COMMAND")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="measure ours with N processes too")
    parser.add_argument("--big", action="store_true", help="also beside bodies of 8 MB")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    options = parser.parse_args(arguments)
    before = os.getloadavg()
    with tempfile.TemporaryDirectory() as home:
        results: dict[str, Any] = run(options, Path(home))
    print(table(results))
    print(f"\nload average {before[0]:.1f} before, {os.getloadavg()[0]:.1f} after; {os.cpu_count()} cores")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
