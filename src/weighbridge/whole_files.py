"""`write_whole()`: a small file is put in place at once."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


def write_whole(path: Path, content: str | bytes, *, sync: bool = False, mode: int = 0o666) -> None:
    """Write a file of which a reader sees the old one or the new one, however this process ends; with `sync` it is on
    disk when this returns. `mode` says who may read it, less what the process's umask forbids; a text is UTF-8. OSError
    where it cannot be written; what was there is there then."""
    beside = path.with_name(f".{path.name[:80]}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
