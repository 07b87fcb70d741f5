"""`python -m weighbridge.catalogue.build DATA_FOLDER [OUTPUT]`: writes the data file; equal input, equal bytes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from ..catalogue import SHIPPED
from ..data import Writer
from .assembly import Place, assemble
from .evidence import read_evidence
from .lists import COLLECTED, read_configs, read_lists
from .shapes import Configs, read_written

_HERE = Path(__file__).parent


def build(data: Path) -> str:
    """The text of the data file, from the folder of reference data."""
    lists, evidence = read_lists(data), read_evidence(data)
    configs = Configs(read_configs(data), read_written(_HERE / "shapes.jsonl"))
    writer = Writer(COLLECTED)
    for place in places():
        variant = assemble(place, lists, configs, evidence.get(place.repository.lower(), ()))
        if variant:
            writer.add(variant)
    return writer.text()


def places() -> Iterator[Place]:
    """What `models.txt` lists."""
    family = release = ""
    for line in (_HERE / "models.txt").read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if "|" in line:
            family, _, release = (part.strip() for part in line.partition("|"))
            continue
        for repository in line.split():
            yield Place(family, release, repository)


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    output = Path(sys.argv[2]) if len(sys.argv) == 3 else SHIPPED
    text = build(Path(sys.argv[1]))
    output.write_text(text, encoding="utf-8")
    sys.stderr.write(f"{output}: {len(text.encode()):,} bytes\n")
