"""What the harness itself costs: CPU a sample, start-up, memory, and what it makes of faults, against a mock server.

    .venv/bin/python benchmarks/eval_harness.py --samples 2000 --large 200000 --peers lm_eval=PATH,inspect=PATH

The server answers after 20 ms (a process of its own, not counted). CPU seconds are those of the whole process tree, as
the kernel counts them. Runs are interleaved: a small and a large one of each, `--rounds` times; the best is told, as
other work on a machine only adds. Peers run where `--peers` names their programs, on the same file and server.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from weighbridge.evals.statistics import PairedTest, compare, estimate

SERVER = Path(__file__).parents[1] / "tests" / "evals" / "mock_server.py"
OUTCOMES = Path(__file__).parents[2] / "shared" / "data" / "evals" / "gsm8k" / "example_model_solutions.jsonl"
SMALL = 10
CONCURRENCY = 64


@dataclass(frozen=True)
class Cost:
    """Of one process, from its start to its end."""

    cpu_seconds: float
    wall_seconds: float
    rss_bytes: int
    output: str


def measured(command: list[str], **environment: str) -> Cost:
    """Run it, and ask the kernel what it took; its children are in it."""
    with tempfile.TemporaryFile() as out:
        begun = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **environment})
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - begun
        out.seek(0)
        text = out.read().decode(errors="replace")
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with {process.returncode}:\n{text[-2000:]}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(used.ru_utime + used.ru_stime, wall, used.ru_maxrss * unit, text)


def write_sums(path: Path, count: int) -> float:
    """A file of sums; the share that the server adds rightly."""
    rng = random.Random(count)
    right = 0
    with path.open("w") as file:
        for _ in range(count):
            a, b = rng.randrange(1000), rng.randrange(1000)
            right += (31 * a + 17 * b) % 100 < 80
            file.write(json.dumps({"question": f"What is {a} + {b}?", "answer": str(a + b)}) + "\n")
    return right / count


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


def ours(path: Path, url: str, logs: Path) -> list[str]:
    """Our own command, with logs, retries and resume."""
    return [
        *(
            sys.executable,
            "-m",
            "weighbridge",
            "eval",
            str(path),
            "--url",
            f"{url}#mock",
            "--logs",
            str(logs),
            "--again",
        ),
        *("--concurrency", str(CONCURRENCY), "--json"),
    ]


def lm_eval(program: str) -> Callable[[Path, str, Path], list[str]]:
    """lm-eval's chat client on the same file."""

    def command(path: Path, url: str, logs: Path) -> list[str]:
        task = path.with_suffix(".yaml")
        task.write_text(
            f"task: {path.stem}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {path}}}}}\n"
            "test_split: test\noutput_type: generate_until\ndoc_to_text: '{{question}}'\ndoc_to_target: '{{answer}}'\n"
            "generation_kwargs: {until: ['@@@'], max_gen_toks: 64}\n"
            "filter_list: [{name: x, filter: [{function: regex, regex_pattern: '#### ([0-9]+)'}, "
            "{function: take_first}]}]\nmetric_list: [{metric: exact_match}]\n"
        )
        arguments = (
            f"model=mock,base_url={url}/v1/chat/completions,num_concurrent={CONCURRENCY},tokenized_requests=False"
        )
        return [
            *(program, "--model", "local-chat-completions", "--model_args", arguments, "--tasks", path.stem),
            *("--include_path", str(path.parent), "--apply_chat_template", "--log_samples", "--output_path", str(logs)),
        ]

    return command


def inspect(program: str) -> Callable[[Path, str, Path], list[str]]:
    """Inspect's OpenAI client on the same file."""

    def command(path: Path, url: str, logs: Path) -> list[str]:
        task = path.with_name(f"{path.stem}_task.py")
        task.write_text(
            "from inspect_ai import Task, task\nfrom inspect_ai.dataset import FieldSpec, json_dataset\n"
            "from inspect_ai.scorer import match\nfrom inspect_ai.solver import generate\n\n\n@task\ndef sums():\n"
            f"    data = json_dataset({str(path)!r}, FieldSpec(input='question', target='answer'))\n"
            "    return Task(dataset=data, solver=[generate()], scorer=match(numeric=True))\n"
        )
        return [
            *(program, "eval", str(task), "--model", "openai-api/mock/mock", "--max-connections", str(CONCURRENCY)),
            *("--model-base-url", f"{url}/v1", "--log-dir", str(logs), "--display", "none"),
        ]

    return command


def promptfoo(program: str) -> Callable[[Path, str, Path], list[str]]:
    """promptfoo's OpenAI client on the same sums."""

    def command(path: Path, url: str, logs: Path) -> list[str]:
        tests = [
            {
                "vars": {"q": line["question"]},
                "assert": [{"type": "regex", "value": f"#### {line['answer']}$"}],
            }
            for line in map(json.loads, path.read_text().splitlines())
        ]
        provider = {"id": "openai:chat:mock", "config": {"apiBaseUrl": f"{url}/v1", "apiKey": "none"}}
        config = path.with_name(f"{path.stem}.promptfoo.json")
        config.write_text(json.dumps({"prompts": ["{{q}}"], "providers": [provider], "tests": tests}))
        flags = ("--no-cache", "--no-progress-bar", "--no-table", "-j", str(CONCURRENCY), "-o", str(logs / "out.json"))
        return [program, "eval", "-c", str(config), *flags]

    return command


PEERS = {"lm_eval": lm_eval, "inspect": inspect, "promptfoo": promptfoo}


def side_by_side(folder: Path, samples: int, rounds: int, peers: dict[str, str]) -> None:
    """The table: fixed cost, marginal cost, memory; the accuracy of ours is checked to the last item."""
    clients = {"weigh eval": ours} | {name: PEERS[name](program) for name, program in peers.items()}
    small, large = folder / "small.jsonl", folder / "large.jsonl"
    write_sums(small, SMALL)
    truth = write_sums(large, samples)
    found: dict[str, dict[str, list[Cost]]] = {name: {"small": [], "large": []} for name in clients}
    server = Server(folder, delay=0.02)
    try:
        for _ in range(rounds):
            for name, command in clients.items():
                for size, path in (("small", small), ("large", large)):
                    logs = folder / "logs" / name.replace(" ", "-")
                    logs.mkdir(parents=True, exist_ok=True)
                    # Inspect takes the key of an unnamed service from the environment.
                    found[name][size].append(measured(command(path, server.url, logs), MOCK_API_KEY="none"))
    finally:
        server.stop()
    print(f"| client | CPU-s at {SMALL} | CPU-s at {samples:,} | CPU-s / 1,000 more | peak MB | samples/s |")
    print("|---|---|---|---|---|---|")
    for name, costs in found.items():
        few = min(cost.cpu_seconds for cost in costs["small"])
        many = min(cost.cpu_seconds for cost in costs["large"])
        marginal = (many - few) / (samples - SMALL) * 1000
        memory = max(cost.rss_bytes for cost in costs["large"]) / 1e6
        rate = samples / min(cost.wall_seconds for cost in costs["large"])
        print(f"| {name} | {few:.2f} | {many:.2f} | {marginal:.3f} | {memory:.0f} | {rate:,.0f} |")
    output = found["weigh eval"]["large"][-1].output
    value = json.loads(output[output.index("[\n") :])[0]["results"][0]["estimate"]["value"]
    print(f"\naccuracy {value:.4f}, truth {truth:.4f}: {'the same' if value == truth else 'DIFFERENT'}")


def memory_of(folder: Path, samples: int) -> None:
    """Peak memory on a large file."""
    path = folder / "many.jsonl"
    write_sums(path, samples)
    server = Server(folder)
    try:
        cost = measured(ours(path, server.url, folder / "logs"))
    finally:
        server.stop()
    print(
        f"{samples:,} samples: peak {cost.rss_bytes / 1e6:.0f} MB, "
        f"{cost.cpu_seconds / samples * 1000:.3f} CPU-s / 1,000, {samples / cost.wall_seconds:,.0f} samples/s"
    )


def faults(folder: Path) -> None:
    """200 sums of which the server fails on some: what is told of them."""
    path = folder / "faults.jsonl"
    write_sums(path, 200)
    for fault in ("err", "null"):
        server = Server(folder, fault=fault)
        try:
            output = measured([word for word in ours(path, server.url, folder / fault) if word != "--json"]).output
        finally:
            server.stop()
        print(
            f"{fault}: "
            + " | ".join(line for line in output.splitlines() if line.startswith("mock ") or "unscored" in line)
        )


def promises(tables: int) -> None:
    """How often intervals cover the truth, and how often looking again and again cries wolf."""
    rng = random.Random(7)
    print("| 95 % interval | n | covers |\n|---|---|---|")
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
        print(f"| score | {n} | {single / tables:.1%} |\n| difference | {n} | {paired / tables:.1%} |")
    alarms, runs = 0, tables // 5
    for _ in range(runs):
        test = PairedTest()
        for _ in range(1000):
            drawn = rng.random()
            test.add(1.0 if drawn < 0.15 else -1.0 if drawn < 0.3 else 0.0)
        alarms += test.is_decided
    print(f"\nfalse alarms of {runs:,} races of 1,000 samples, looked at after each: {alarms / runs:.1%}")
    if OUTCOMES.exists():
        print(to_decide(rng))


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
        f"GSM8K, {pair[0]} and {pair[1]}, {100 * gap:.1f} points: decided after {sorted(taken)[100]} of {len(rows):,}"
    )


def main() -> None:
    """All of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--large", type=int, default=200_000, help="0: leave this out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tables", type=int, default=10_000, help="simulated tables of scores; 0: leave this out")
    parser.add_argument("--peers", default="", help="lm_eval=PATH,inspect=PATH,promptfoo=PATH")
    arguments = parser.parse_args()
    peers = dict(pair.split("=", 1) for pair in arguments.peers.split(",") if pair)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard) if soft < 4096 else (soft, hard))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        side_by_side(folder, arguments.samples, arguments.rounds, peers)
        faults(folder)
        if arguments.large:
            memory_of(folder, arguments.large)
    if arguments.tables:
        promises(arguments.tables)


if __name__ == "__main__":
    main()
