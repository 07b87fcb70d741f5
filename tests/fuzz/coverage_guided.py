"""Fuzzing guided by coverage, with atheris (libFuzzer): python coverage_guided.py TARGET [libFuzzer's options]

New inputs that reach new code are kept in the first folder given; `make fuzz` runs this for each target.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["weighbridge.facts"]):
    from tests.fuzz import targets


def main() -> None:
    target, *options = sys.argv[1:]
    assert target in targets.TARGETS
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as folder:
        place = Path(folder) / "model"
        atheris.Setup([sys.argv[0], *options], lambda data: targets.run(target, data, place) and None)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
