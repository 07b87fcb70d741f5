"""`python -m weighbridge.digest.knowledge.build DATA_FOLDER [OUTPUT]`: writes the tables; equal input, equal bytes."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

from weighbridge.catalogue import load

from ..names import words_of_name
from ..tables import FOLDER, TABLES
from .cards import read_cards
from .hub import read_hub
from .services import read_services

_HERE = Path(__file__).parent


def build(data: Path) -> dict[str, bytes]:
    """Each table's file, compressed, by its name."""
    rows = {
        **_shared_out(read_hub(data)), "services": _with_words(read_services(data)), "scores": read_cards(data),
        "reports": _written("reports.tsv"), "mentions": _with_words(_written("mentions.tsv")),
    }  # fmt: skip
    files = {}
    for name, columns in TABLES.items():
        lines = ["\t".join(columns)]
        for row in rows[name]:
            cells = [" ".join(cell.split()) for cell in row]
            assert len(cells) == len(columns), (name, row)
            lines.append("\t".join(cells))
        files[f"{name}.tsv.gz"] = gzip.compress("\n".join([*lines, ""]).encode(), 9, mtime=0)
    return files


def _shared_out(rows: list[list[str]]) -> dict[str, list[list[str]]]:
    """What is asked for often, and the rest."""
    variants = load().variants
    makers = {variant.maker.lower() for variant in variants}
    named = {each.name.lower() for variant in variants for each in variant.repositories}
    often: list[list[str]] = []
    seldom: list[list[str]] = []
    for row in rows:
        key = row[0].lower()
        (often if key in named or key.partition("/")[0] in makers else seldom).append(row)
    return {"hub": often, "others": seldom}


def _with_words(rows: list[list[str]]) -> list[list[str]]:
    """The rows with the words of their names before them, which take longest to find."""
    return [[" ".join(sorted(words_of_name(row[0]))), *row] for row in rows]


def _written(name: str) -> list[list[str]]:
    """What was read in dated publications and written down here, a line each; `#` begins a remark."""
    lines = (_HERE / name).read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if line.strip() and not line.startswith("#")]


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    output = Path(sys.argv[2]) if len(sys.argv) == 3 else FOLDER
    output.mkdir(parents=True, exist_ok=True)
    for name, content in build(Path(sys.argv[1])).items():
        (output / name).write_bytes(content)
        sys.stderr.write(f"{output / name}: {len(content):,} bytes\n")
