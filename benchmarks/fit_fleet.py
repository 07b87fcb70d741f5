"""How long plans take: one file, a catalogue on one machine, a catalogue on a fleet.

python benchmarks/fit_fleet.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from weighbridge import catalogue, facts, fit, machine
from weighbridge.cli.candidates import RECIPES, candidates
from weighbridge.fit import Workload
from weighbridge.fit.ranking import rank, tabulate
from weighbridge.specialists import bundled

CONTEXTS = (4096, 8192, 16384, 32768, 65536, 131072)
MACHINES = (
    "rtx 4090,ram=64GiB@60GB/s", "rtx 3060 12gb,ram=32GiB@45GB/s", "2x rtx 3090,ram=128GiB@80GB/s", "macbook 16gb",
    "m4 pro 24gb", "4x h100,ram=1TiB@400GB/s", "ram=16GiB@40GB/s,cores=4", "ram=64GiB@80GB/s,cores=16",
    "rx 7900 xtx,ram=32GiB@60GB/s", "mac studio m3 ultra 512gb", "2x a100-80gb,ram=512GiB@200GB/s", "dgx spark",
    "rtx 5090,ram=64GiB@90GB/s", "rtx 4060,ram=16GiB@50GB/s", "ryzen ai max 395 128gb", "rtx 3080,ram=32GiB@45GB/s",
    "l40s,ram=256GiB@200GB/s", "v100,ram=128GiB@100GB/s", "m1 16gb", "m3 max 64gb", "raspberry pi 5 8gb",
    "t4,ram=64GiB@60GB/s",
)  # fmt: skip


def least_seconds(work: Callable[[], Any], times: int) -> float:
    """The least of several runs."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)


def main() -> None:
    """Print the seconds beside the bars."""
    here = machine.describe(MACHINES[0])
    model = facts.read(next(iter(bundled().values())))
    fit.make_plan(model, here, Workload(512))
    one = least_seconds(lambda: fit.make_plan(model, here, Workload(512)), 20)
    print(f"one plan, the largest context searched:            {one * 1e3:8.2f} ms   (bar 2 ms)")
    listed = [candidate for _, candidate in candidates(catalogue.load().variants)][:300]
    rows = sum(len(candidate.quantizations) for candidate in listed)
    rank(listed, here, CONTEXTS)
    all_of_it = least_seconds(lambda: rank(listed, here, CONTEXTS), 3)
    print(
        f"{len(listed)} models x {len(RECIPES)} quantizations x {len(CONTEXTS)} contexts ({rows * len(CONTEXTS):,}): "
        f"{all_of_it * 1e3:8.0f} ms   (bar 300 ms)"
    )
    fleet = [machine.describe(text) for text in MACHINES]
    whole = [candidate for _, candidate in candidates(catalogue.load().variants)]
    pairs = sum(len(candidate.quantizations) for candidate in whole) * len(fleet)

    def ask() -> None:
        table = tabulate(whole, (8192,))
        for each in fleet:
            rank(table, each)

    print(
        f"{pairs:,} pairs of a quantized model and a machine: {least_seconds(ask, 2):9.2f} s    (bar 5 s for 100,000)"
    )


if __name__ == "__main__":
    main()
