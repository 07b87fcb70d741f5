"""What `weigh compare` costs beside the models' own work: CPU-ms a position, and its memory.

The bundled model has a vocabulary of 768 tokens; models of random weights are made with others. Goal: at most 1 CPU-ms
a position over the two forward passes.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
from pathlib import Path

from weighbridge import facts, machine
from weighbridge.compression import Candidate, Comparison, Manner, compare, read_text
from weighbridge.fit.synthetic import Shape, write_model
from weighbridge.specialists import bundled

GOAL_MS = 1.0
HEAD = "| model | vocabulary | positions | comparing, CPU-ms a position | both models, CPU-ms a position | seconds |"


def measured(path: Path, most_tokens: int) -> Comparison:
    """A model against itself, over the bundled text."""
    each = Candidate(facts.read(path), path.stem)
    return compare(each, each, read_text(), machine.detect(), Manner(most_tokens=most_tokens))


def row(name: str, vocabulary: int, found: Comparison) -> tuple[str, float]:
    """A row of the table, and what comparing cost."""
    comparing = 1000 * found.comparing_cpu_seconds / found.positions
    forward = 1000 * (found.base.forward_cpu_seconds + found.quant.forward_cpu_seconds) / found.positions
    line = f"| {name} | {vocabulary:,} | {found.positions:,} | {comparing:.3f} | {forward:.2f} | {found.seconds:.1f} |"
    return line, comparing


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=2048, help="of the text, for each model")
    arguments = parser.parse_args()
    print(HEAD + "\n|---|---|---|---|---|---|")
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        cases = [("bundled `arithmetic`", 768, bundled()["arithmetic"])]
        for size in (32_000, 151_936):
            path = Path(folder) / f"random-{size}.gguf"
            cases.append(("random weights", size, write_model(path, Shape(4, 256, 768, 4, 2, vocabulary=size))))
        for name, size, path in cases:
            line, comparing = row(
                name, size, measured(path, arguments.tokens if size < 100_000 else arguments.tokens // 2)
            )
            worst = max(worst, comparing)
            print(line, flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\nPeak memory of the comparing process, with what it shares with the models: {peak:.0f} MiB.")
    print(
        f"goal: at most {GOAL_MS} CPU-ms a position: {'kept' if worst <= GOAL_MS else 'missed'}; {os.cpu_count()} cores"
    )
    return 0 if worst <= GOAL_MS else 1


if __name__ == "__main__":
    raise SystemExit(main())
