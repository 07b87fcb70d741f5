"""How long plans take: one file, a catalogue on one machine, a catalogue on a fleet; and whether they agree.

python benchmarks/fit_fleet.py
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.published_shapes import MODELS, chosen, write

from weighbridge import catalogue, facts, fit, machine
from weighbridge.cli.candidates import RECIPES, candidates
from weighbridge.errors import UnknownModel, WeighbridgeError
from weighbridge.facts import ModelFacts
from weighbridge.fit import LlamaCpp, Workload
from weighbridge.fit.ranking import Candidate, rank, tabulate

PROCESSOR = "ram=64GiB@80GB/s,cores=16"
CONTEXTS = (4096, 8192, 16384, 32768, 65536, 131072)
MACHINES = (
    "rtx 4090,ram=64GiB@60GB/s", "rtx 3060 12gb,ram=32GiB@45GB/s", "2x rtx 3090,ram=128GiB@80GB/s", "macbook 16gb",
    "m4 pro 24gb", "4x h100,ram=1TiB@400GB/s", "ram=16GiB@40GB/s,cores=4", "ram=64GiB@80GB/s,cores=16",
    "rx 7900 xtx,ram=32GiB@60GB/s", "mac studio m3 ultra 512gb", "2x a100-80gb,ram=512GiB@200GB/s", "dgx spark",
    "rtx 5090,ram=64GiB@90GB/s", "rtx 4060,ram=16GiB@50GB/s", "ryzen ai max 395 128gb", "rtx 3080,ram=32GiB@45GB/s",
    "l40s,ram=256GiB@200GB/s", "v100,ram=128GiB@100GB/s", "m1 16gb", "m3 max 64gb", "raspberry pi 5 8gb",
    "t4,ram=64GiB@60GB/s",
)  # fmt: skip

# GPUs that are not alike, and main memory that nobody described.
UNEVEN = (
    "gpu=24GiB@900GB/s,gpu=12GiB@360GB/s,ram=64GiB@50GB/s", "gpu=8GiB@300GB/s,gpu=24GiB@900GB/s,ram=32GiB@50GB/s",
    "rtx 4090", "2x rtx 3090",
)  # fmt: skip
ASKED = (Workload(parallel=1), Workload(parallel=4), Workload(parallel=2, cache_type_k="q8_0", cache_type_v="q8_0"))
FROM_BEST = ("fits", "tight", "no")


def least_seconds(work: Callable[[], Any], times: int) -> float:
    """The least of several runs."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)


def in_both(folder: Path) -> list[tuple[ModelFacts, Candidate]]:
    """Models that are in the catalogue too: a file's header beside the entry, of the same quantization."""
    listed, found = catalogue.load(), []
    for shape in MODELS:
        quantization = shape.quantizations[0]
        recipe = {"MXFP4": "MXFP4_MOE"}.get(quantization, quantization)
        try:
            entries = candidates([listed.resolve(shape.name)], (recipe,))
        except UnknownModel:
            continue
        model = facts.read(str(write(folder / "model.gguf", shape, quantization)))
        stored = entries[0][1].quantizations[0].weights_bytes if entries else 0
        # What holds its tied embedding twice in one and once in the other is not the same.
        if abs(stored - (model.weights_bytes or 0)) < 0.02 * stored:
            found.append((model, entries[0][1]))
    return found


def agreement(folder: Path) -> Counter[tuple[str, str]]:
    """How often a plan's verdict (first) met a ranking's."""
    pairs, counted = in_both(folder), Counter[tuple[str, str]]()
    contexts = CONTEXTS[::2]
    prepared = [LlamaCpp(model) for model, _ in pairs]
    for text in (*MACHINES, *UNEVEN):
        here = machine.describe(text)
        for workload in ASKED:
            ranked = rank([candidate for _, candidate in pairs], here, contexts, workload)
            for row, (number, _) in enumerate(ranked.rows):
                for column, context in enumerate(contexts):
                    asked = replace(workload, context_tokens=context)
                    if context > pairs[number][1].context_length:
                        continue
                    try:
                        plan = fit.make_plan(prepared[number], here, asked, brief=True)
                    except WeighbridgeError:
                        # Forms of graphs that nobody recorded get no plan.
                        continue
                    counted[plan.verdict.value, ranked.verdict(row, column)] += 1
    return counted


def main() -> None:
    """Print the seconds beside the bars."""
    here = machine.describe(MACHINES[0])
    with tempfile.TemporaryDirectory() as folder:
        # The header of a published model, with its whole vocabulary; weights are holes.
        (shape,) = chosen(["Qwen3-8B"])
        model = facts.read(str(write(Path(folder, "model.gguf"), shape, "Q4_K_M")))
    for kind, text in (("a processor", PROCESSOR), ("a GPU", MACHINES[0])):
        plan = partial(fit.make_plan, model, machine.describe(text), Workload(16384))
        first, again = least_seconds(plan, 1), least_seconds(plan, 20)
        print(f"one plan of Qwen3-8B on {kind}: {again * 1e3:.2f} ms (bar 2 ms), the first {first * 1e3:.1f} ms")
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
    with tempfile.TemporaryDirectory() as folder:
        counted = agreement(Path(folder))
    total = counted.total()
    same = sum(times for (plan, ranked), times in counted.items() if plan == ranked)
    better = {
        verdict: sum(
            times
            for (plan, ranked), times in counted.items()
            if plan == verdict and FROM_BEST.index(ranked) < FROM_BEST.index(plan)
        )
        for verdict in ("no", "tight")
    }
    print(
        f"a ranking's verdict is that of the file's plan in {same / total:.1%} of {total:,}; "
        f'better than its "no" in {better["no"]} (bar 0), than its "tight" in {better["tight"]}'
    )


if __name__ == "__main__":
    main()
