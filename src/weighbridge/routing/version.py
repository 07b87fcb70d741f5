"""Of which version a predictor's file is; nothing heavy is loaded for that."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

VERSION = 3
"""What is written now. 2 knew a task by ridge regression alone and trusted by how familiar a prompt was; nothing of it
can be taken over, it is learnt anew from the same evidence."""
ABOUT = "about.npy"
_MOST_ABOUT_BYTES = 1 << 20
# NumPy's format 1.0: six bytes of magic, two of version, two that say how long the header is.
_HEADER_AT = 10


def version_of(path: Path) -> int | None:
    """The version that a file says it is of; None where it is no predictor's."""
    found = _about(path).get("version")
    return found if isinstance(found, int) else None


def embedding_of(path: Path) -> str:
    """The setting of the embedding with which a file's predictor was learnt, whether it was of use or not; empty where
    there was none."""
    return str(_about(path).get("embedding_tried", ""))


def _about(path: Path) -> dict[str, Any]:
    """What a file says of itself; nothing where it is no predictor's."""
    try:
        with zipfile.ZipFile(path) as packed, packed.open(ABOUT) as about:
            raw = about.read(_MOST_ABOUT_BYTES)
        start = _HEADER_AT + int.from_bytes(raw[8:_HEADER_AT], "little")
        found = json.loads(raw[start:])
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError, RecursionError, RuntimeError,
            NotImplementedError):  # fmt: skip
        return {}
    return found if isinstance(found, dict) else {}
