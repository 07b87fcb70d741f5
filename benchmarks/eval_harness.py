"""What the harness itself costs: CPU a sample, start-up, memory, and what it makes of faults, against a mock server.

    .venv/bin/python benchmarks/eval_harness.py --peers --write docs/evals-speed.md

The server answers after 20 ms (a process of its own, not counted). CPU seconds are those of the whole process tree, as
the kernel counts them. Runs are interleaved: a small and a large one of each, `--rounds` times; the best is told, as
other work on a machine only adds. With `--peers`, lm-eval, Inspect and promptfoo run on the same file and server in the
same run (`eval_peers.py` sets them up); their logs are read by our own imports.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.eval_peers import FOLDER, Peer, set_up
from weighbridge.evals import EvalLog
from weighbridge.evals.imports import read_results
from weighbridge.evals.imports.inspect_ai import read_json as inspect_json
from weighbridge.evals.score import State
from weighbridge.evals.statistics import PairedTest, compare, estimate

SERVER = Path(__file__).parents[1] / "tests" / "evals" / "mock_server.py"
OUTCOMES = Path(__file__).parents[2] / "shared" / "data" / "evals" / "gsm8k" / "example_model_solutions.jsonl"
OURS = "weigh eval"
SMALL = 10
CONCURRENCY = 64
FAULTS = {"err": "HTTP 500", "null": "no content, `finish_reason: length`"}
FAULT_SECONDS = 120.0
RIGHT, HEALTHY, FAULTY = 156, 197, 3
# What others may not do from a machine that measures them: telemetry, updates, hubs.
QUIET = {
    "MOCK_API_KEY": "none", "PROMPTFOO_DISABLE_TELEMETRY": "1", "PROMPTFOO_DISABLE_UPDATE": "1", "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
}  # fmt: skip


@dataclass(frozen=True)
class Cost:
    """Of one process, from its start to its end."""

    cpu_seconds: float
    wall_seconds: float
    rss_bytes: int
    output: str
    code: int | None
    """None: it was ended because it took too long."""


_STARTER = """
import json, os, sys
process = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, used = os.wait4(process, 0)
found = [os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss]
with open(sys.argv[1], "w") as file:
    json.dump(found, file)
"""
"""Starts a command and notes what it took. Linux counts the memory of whoever started a process as that process's own
peak (exec takes over `maxrss`), so the one that starts it must be small, and this one may have read large logs."""


def measured(
    command: list[str],
    environment: dict[str, str] | None = None,
    limit_seconds: float = 3600.0,
    *,
    folder: Path | None = None,
    may_fail: bool = False,
) -> Cost:
    """Run it there, and ask the kernel what it took; its children are in it."""
    with tempfile.TemporaryDirectory() as notes, tempfile.TemporaryFile() as out:
        note = Path(notes) / "note.json"
        begun = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _STARTER, str(note), *command], stdout=out, stderr=out,
            stdin=subprocess.DEVNULL, env={**os.environ, **(environment or {})}, start_new_session=True, cwd=folder,
        )  # fmt: skip
        try:
            process.wait(limit_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        wall = time.perf_counter() - begun
        out.seek(0)
        text = out.read().decode(errors="replace")
        code, cpu, rss = json.loads(note.read_text()) if note.exists() else (None, 0.0, 0)
    if code and not may_fail:
        raise SystemExit(f"{command[0]} ended with {code}:\n{text[-2000:]}")
    return Cost(cpu, wall, rss * (1 if sys.platform == "darwin" else 1024), text, code)


def sums(count: int, seed: int) -> list[tuple[int, int]]:
    """Pairs of numbers, the same for the same seed."""
    rng = random.Random(seed)
    return [(rng.randrange(1000), rng.randrange(1000)) for _ in range(count)]


def adds_rightly(a: int, b: int) -> bool:
    """Whether the server does."""
    return (31 * a + 17 * b) % 100 < 80


def write_sums(path: Path, pairs: list[tuple[int, int]]) -> int:
    """A file of them; how many the server adds rightly."""
    lines = [{"question": f"What is {a} + {b}?", "answer": str(a + b)} for a, b in pairs]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return sum(adds_rightly(a, b) for a, b in pairs)


def faulty_sums() -> list[tuple[int, int]]:
    """200 sums: the server fails on 3, and of the other 197 it adds 156 rightly."""
    rng = random.Random(200)
    wanted = {"faulty": FAULTY, "right": RIGHT, "wrong": HEALTHY - RIGHT}
    found: list[tuple[int, int]] = []
    while any(wanted.values()):
        a, b = rng.randrange(1000), rng.randrange(1000)
        kind = "faulty" if (a + b) % 33 == 0 else "right" if adds_rightly(a, b) else "wrong"
        if wanted[kind]:
            wanted[kind] -= 1
            found.append((a, b))
    return found


class Server:
    """The mock server, in a process of its own."""

    def __init__(self, folder: Path, **options: object) -> None:
        place = folder / f"port{time.monotonic_ns()}"
        self.process = subprocess.Popen(
            [sys.executable, str(SERVER), str(place), *(f"{name}={value}" for name, value in options.items())]
        )
        while not (place.exists() and place.read_text()):
            time.sleep(0.01)
        self.url = f"http://127.0.0.1:{place.read_text()}"

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True)
class Client:
    """A harness that is measured."""

    name: str
    command: Callable[[Path, str, Path], list[str]]
    """By the file of sums, the server's address and the folder of logs."""
    logs: Callable[[Path], list[EvalLog]]
    """What it left in its folder of logs."""
    codes: tuple[int, ...] = (0,)


def ours(path: Path, url: str, logs: Path) -> list[str]:
    """Our own command, with logs, retries and resume."""
    return [
        *(sys.executable, "-m", "weighbridge", "eval", str(path), "--url", f"{url}#mock", "--logs", str(logs)),
        *("--again", "--concurrency", str(CONCURRENCY), "--json"),
    ]


def clients(peers: list[Peer]) -> list[Client]:
    """Ours, and the others."""

    def of(peer: Peer) -> Client:
        def command(path: Path, url: str, logs: Path) -> list[str]:
            return [*peer.command(FOLDER), *peer.arguments(path, url, logs, CONCURRENCY)]

        return Client(f"{peer.name} {peer.version}", command, peer.logs, peer.codes)

    def newest(folder: Path) -> list[EvalLog]:
        return read_results(max(folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime))

    return [Client(OURS, ours, newest), *map(of, peers)]


def accuracy(logs: list[EvalLog]) -> str:
    """Right of scored, and how many have no score."""
    if not logs:
        return "nothing is left"
    scores, _ = logs[0].outcomes.scored()
    unscored = logs[0].outcomes.n - len(scores)
    return f"{sum(scores):.0f}/{len(scores):,}" + (f", {unscored} unscored" if unscored else "")


def side_by_side(folder: Path, samples: int, rounds: int, measured_clients: list[Client]) -> list[str]:
    """The table: fixed cost, marginal cost, memory, accuracy."""
    small, large = folder / "small.jsonl", folder / "large.jsonl"
    write_sums(small, sums(SMALL, SMALL))
    truth = write_sums(large, sums(samples, samples))
    found: dict[str, dict[str, list[Cost]]] = {each.name: {"small": [], "large": []} for each in measured_clients}
    told: dict[str, str] = {}
    server = Server(folder, delay=0.02, gap=0)
    try:
        for _ in range(rounds):
            for each in measured_clients:
                for size, path in (("small", small), ("large", large)):
                    logs = folder / "logs" / each.name.replace(" ", "-") / size
                    logs.mkdir(parents=True, exist_ok=True)
                    command = each.command(path, server.url, logs)
                    cost = measured(command, at_home(folder), folder=folder, may_fail=True)
                    if cost.code not in each.codes:
                        raise SystemExit(f"{each.name} ended with {cost.code}:\n{cost.output[-2000:]}")
                    found[each.name][size].append(cost)
                    told[each.name] = accuracy(each.logs(logs))
                    print(f"{each.name}: {size} in {found[each.name][size][-1].wall_seconds:.0f} s", file=sys.stderr)
    finally:
        server.stop()
    lines = [
        f"| client | CPU-s to start and ask {SMALL} | CPU-s for {samples:,} | CPU-s for 1,000 more | peak MB | right |",
        "|---|---|---|---|---|---|",
    ]
    for name, costs in found.items():
        few = min(cost.cpu_seconds for cost in costs["small"])
        many = min(cost.cpu_seconds for cost in costs["large"])
        marginal = (many - few) / (samples - SMALL) * 1000
        memory = max(cost.rss_bytes for cost in costs["large"]) / 1e6
        lines.append(f"| {name} | {few:.2f} | {many:.2f} | {marginal:.2f} | {memory:.0f} | {told[name]} |")
    if told[OURS] != f"{truth}/{samples:,}":
        raise SystemExit(f"{OURS} found {told[OURS]} right, and {truth} are")
    return [*lines, "", f"The server adds {truth} of these {samples:,} rightly."]


def at_home(folder: Path) -> dict[str, str]:
    """An environment in which everybody keeps to a folder of its own."""
    return QUIET | {"HF_HOME": str(folder / "hf"), "PROMPTFOO_CONFIG_DIR": str(folder / "promptfoo")}


def memory_of(folder: Path, samples: int) -> str:
    """Peak memory on a large file."""
    path = folder / "many.jsonl"
    write_sums(path, sums(samples, samples))
    server = Server(folder, gap=0)
    try:
        cost = measured(ours(path, server.url, folder / "logs"))
    finally:
        server.stop()
    marginal = cost.cpu_seconds / samples * 1000
    return (
        f"{samples:,} samples, answered at once: `{OURS}` takes {cost.rss_bytes / 1e6:.0f} MB at the most, and "
        f"{marginal:.2f} CPU-s for each 1,000."
    )


def faults(folder: Path, measured_clients: list[Client]) -> list[str]:
    """200 sums of which the server fails on 3: what each tells of them."""
    lines = ["| client | " + " | ".join(FAULTS.values()) + " |", "|---|---|---|"]
    path = folder / "faults.jsonl"
    write_sums(path, faulty_sums())
    for each in measured_clients:
        cells = []
        for fault in FAULTS:
            logs = folder / fault / each.name.replace(" ", "-")
            logs.mkdir(parents=True, exist_ok=True)
            server = Server(folder, fault=fault, delay=0.02, gap=0)
            try:
                command = each.command(path, server.url, logs)
                cost = measured(command, at_home(folder), FAULT_SECONDS, folder=folder, may_fail=True)
            finally:
                server.stop()
            cells.append(_told(each, cost, logs))
            print(f"{each.name}: {fault}: {cells[-1]}", file=sys.stderr)
        lines.append(f"| {each.name} | " + " | ".join(cells) + " |")
    return lines


def _told(client: Client, cost: Cost, logs: Path) -> str:
    """What a client made of the faults."""
    if cost.code is None:
        return f"not done after {FAULT_SECONDS:.0f} s"
    try:
        found = client.logs(logs)
    except Exception as error:  # foreign files, as they are left by a run that failed
        return f"exit {cost.code}; its log cannot be read: {error}"
    if client.name == OURS and found:
        counts = ", ".join(
            f"{found[0].outcomes.count(state)} {state.value}"
            for state in State
            if state is not State.SCORED and found[0].outcomes.count(state)
        )
        return f"{accuracy(found)} ({counts})"
    if not found:
        # What a run that failed left, if it did.
        return f"exit {cost.code}, nothing is left"
    if client.name.startswith("promptfoo"):
        return _as_promptfoo(logs / "out.json")
    if client.name.startswith("inspect"):
        return _as_inspect(found[0].path)
    return accuracy(found)


def _as_inspect(path: Path) -> str:
    """Inspect's own accuracy: our import of its log leaves out what was cut off, which it does not."""
    with zipfile.ZipFile(path) as archive:
        results = inspect_json(archive, "header.json")["results"]
    share = results["scores"][0]["metrics"]["accuracy"]["value"]
    return f"{share * results['completed_samples']:.0f}/{results['completed_samples']}"


def _as_promptfoo(path: Path) -> str:
    """promptfoo's own counts: our import of its file would leave errors out of the score, which it does not."""
    stats = json.loads(path.read_text())["results"]["stats"]
    total = sum(int(stats[name]) for name in ("successes", "failures", "errors"))
    return f"{stats['successes']}/{total}, {stats['errors']} errors among them"


def promises(tables: int) -> list[str]:
    """How often intervals cover the truth, and how often looking again and again cries wolf."""
    rng = random.Random(7)
    lines = ["| 95 % interval | n | covers |", "|---|---|---|"]
    for n in (30, 100, 300):
        single = paired = 0
        for _ in range(tables):
            ease = [rng.betavariate(2, 1) for _ in range(n)]
            first = [float(rng.random() < each) for each in ease]
            second = [float(rng.random() < each * 0.9) for each in ease]
            found, difference = estimate(first), compare(first, second)
            assert found is not None
            assert difference is not None
            # A beta(2, 1) has the mean 2/3; the second is right a tenth less often.
            single += 2 / 3 in found.interval
            paired += 2 / 30 in difference.interval
        lines += [f"| score | {n} | {single / tables:.1%} |", f"| difference | {n} | {paired / tables:.1%} |"]
    alarms, runs = 0, tables // 5
    for _ in range(runs):
        test = PairedTest()
        for _ in range(1000):
            drawn = rng.random()
            test.add(1.0 if drawn < 0.15 else -1.0 if drawn < 0.3 else 0.0)
        alarms += test.is_decided
    lines += [
        "",
        f"False alarms in {runs:,} races of equal models over 1,000 samples, looked at after each: "
        f"{alarms / runs:.1%}.",
    ]
    if OUTCOMES.exists():
        lines += ["", to_decide(rng)]
    return lines


def to_decide(rng: random.Random) -> str:
    """Samples until two real systems that differ by 13 points are told apart, in the median of 200 orders."""
    rows = [json.loads(line) for line in OUTCOMES.read_text().splitlines()]
    pair = ("175b_finetuning", "6b_finetuning")
    taken = []
    gap = sum(row[pair[0]]["is_correct"] - row[pair[1]]["is_correct"] for row in rows) / len(rows)
    for _ in range(200):
        test = PairedTest()
        for row in rng.sample(rows, len(rows)):
            test.add(float(row[pair[0]]["is_correct"]) - float(row[pair[1]]["is_correct"]))
            if test.is_decided:
                break
        taken.append(test.n)
    return (
        f"GSM8K, {pair[0]} and {pair[1]}, {100 * gap:.1f} points apart: decided after {sorted(taken)[100]} of "
        f"{len(rows):,} samples, in the median of 200 orders."
    )


def page(
    parts: dict[str, list[str]], missing: dict[str, str], loads: tuple[float, float], arguments: argparse.Namespace
) -> str:
    """The document."""
    today = datetime.datetime.now(datetime.UTC).date()
    rounds = "one round" if arguments.rounds == 1 else f"the least of {arguments.rounds} rounds"
    lines = [
        "# What an evaluation costs, side by side",
        "",
        f"Written by `benchmarks/eval_harness.py --peers --write` on {today}: {os.cpu_count()} cores, Python",
        f"{platform.python_version()}; load {loads[0]:.1f} at its start, {loads[1]:.1f} at its end. CPU time is told,",
        f"which load disturbs least: {rounds}. One mock server answers after 20 ms; each client asks {CONCURRENCY} at",
        f"once, keeps its usual logs, and scores. `{OURS}` logs each answer as it comes, tries again and can go on.",
        "",
        "Peers are set up by `python benchmarks/eval_peers.py` in folders of their own; nothing of ours needs them.",
    ]
    lines += [f"Left out here: {name}, as {why}." for name, why in missing.items()]
    for title, part in parts.items():
        lines += ["", f"## {title}", "", *part]
    return "\n".join(lines) + "\n"


def main() -> None:
    """All of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--large", type=int, default=200_000, help="0: leave this out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tables", type=int, default=10_000, help="simulated tables of scores; 0: leave this out")
    parser.add_argument("--peers", action="store_true", help="others too; those that are missing are set up")
    parser.add_argument("--write", metavar="FILE", help="write the tables there too")
    arguments = parser.parse_args()
    peers, missing = set_up() if arguments.peers else ([], {})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard) if soft < 4096 else (soft, hard))
    parts: dict[str, list[str]] = {}
    begun = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder, all_clients = Path(name), clients(peers)
        parts["Cost and accuracy"] = side_by_side(folder, arguments.samples, arguments.rounds, all_clients)
        parts["Three faulty answers of 200"] = [
            f"Of the {HEALTHY} healthy answers {RIGHT} are right.", "", *faults(folder, all_clients)
        ]  # fmt: skip
        if arguments.large:
            parts["Memory"] = [memory_of(folder, arguments.large)]
    if arguments.tables:
        parts["What intervals and early stops promise"] = promises(arguments.tables)
    text = page(parts, missing, (begun, os.getloadavg()[0]), arguments)
    print(text)
    if arguments.write:
        Path(arguments.write).write_text(text)


if __name__ == "__main__":
    main()
