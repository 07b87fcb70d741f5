"""The exactness table: parameters that `weigh facts` counts from a config alone, beside those of the model itself.

    python benchmarks/facts_exact.py [--write docs/exactness.md]

The truth is what transformers 5.23 instantiates on the meta device. `tests/facts/truth` holds one config or more a
family; `../shared/data/configs` holds real configs of this year, where it is there.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from weighbridge import facts

ROOT = Path(__file__).parents[1]
TRUTH = ROOT / "tests" / "facts" / "truth"
SHARED = ROOT.parent / "shared" / "data" / "configs"


def real() -> Iterator[tuple[str, Path, int]]:
    """Real configs with the counts of their models."""
    counts = SHARED / "parameter_counts.json"
    if counts.is_file():
        for row in json.loads(counts.read_text()):
            if row.get("params"):
                name = row["file"].removesuffix("_config.json").replace("--", "/")
                yield name, SHARED / "aiconfigurator" / row["file"], row["params"]


def families(folder: Path) -> Iterator[tuple[str, Path, int]]:
    """One config or more of each family, written where `weigh facts` finds it."""
    for path in sorted(TRUTH.glob("*.json")):
        truth: dict[str, Any] = json.loads(path.read_text())
        config = folder / path.stem / "config.json"
        config.parent.mkdir()
        config.write_text(json.dumps(truth["config"]))
        yield path.stem, config, truth["total"]


def table(rows: Iterator[tuple[str, Path, int]]) -> tuple[list[str], int, int]:
    """The lines, how many there are, and how many differ."""
    lines, count, differing = [], 0, 0
    for name, path, truth in rows:
        ours = facts.read(path).parameters.total
        difference = None if ours is None else ours - truth
        count, differing = count + 1, differing + (difference != 0)
        shown = "unknown" if ours is None else f"{ours:,}"
        lines.append(f"{name[:40]:<40} {shown:>17} {truth:>17,} {'-' if difference is None else difference:>4}")
    return lines, count, differing


def main() -> int:
    """Print the table; exit code 1 if a row differs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        parts = [("real configs", *table(real())), ("one config or more a family", *table(families(Path(folder))))]
    text, failed = [], 0
    for title, lines, count, differing in parts:
        if not count:
            continue
        failed += differing
        text += [f"{title}: {count}, differing: {differing}", ""]
        text += [f"{'':<40} {'ours':>17} {'truth':>17} diff", *lines, ""]
    print("\n".join(text))
    if arguments.write:
        page = [
            "<!-- Made by benchmarks/facts_exact.py --write docs/exactness.md -->", "", "# Exactness", "",
            "Parameters that `weigh facts` computes from a config.json alone, beside those of the model itself as",
            "transformers 5.23 instantiates it (without weights). Multi-token-prediction heads stand apart on both",
            "sides. Counts from tensor shapes, where weights are at hand, are sums and need no such table.", "",
            "```text", *text, "```", "",
        ]  # fmt: skip
        arguments.write.write_text("\n".join(page))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
