"""`write_whole()`: a small file is put in place at once."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


def write_whole(path: Path, text: str, *, sync: bool = False) -> None:
    """Write a file of which a reader sees the old one or the new one, however this process ends; with `sync` it is on
    disk when this returns. OSError where it cannot be written; what was there is there then."""
    beside = path.with_name(f".{path.name[:80]}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with beside.open("x", encoding="utf-8") as file:
            file.write(text)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
