"""`python -m weighbridge.training LANE...`: train the bundled specialists anew and write their files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from weighbridge.specialists import FOLDER

from . import lanes
from .card import make_card
from .export import export
from .recipes import RECIPES
from .train import Progress, train


def _report(progress: Progress) -> None:
    left = progress.seconds / progress.step * (progress.steps - progress.step)
    exact = "" if progress.exact is None else f"  exact on held-out items {progress.exact:.0%}"
    line = f"step {progress.step:>5} of {progress.steps}  loss {progress.loss:.4f}"
    line += f"  {progress.tokens / progress.seconds:,.0f} tokens/s  {left / 60:.0f} min left{exact}"
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def main() -> int:
    """Train each lane that is named."""
    parser = argparse.ArgumentParser(prog="python -m weighbridge.training", description=__doc__)
    parser.add_argument("lanes", nargs="+", choices=lanes.names(), metavar="LANE")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the .gguf files go")
    arguments = parser.parse_args()
    for name in arguments.lanes:
        path = arguments.folder / f"{name}.gguf"
        export(train(RECIPES[name], _report), make_card(name), path)
        print(path)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
