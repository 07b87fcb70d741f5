"""What a disk has room for, and what it says when it has none left."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from weighbridge.errors import BadSetting, NotEnoughDisk

DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""No space, no quota, no larger file: a limit of the process, or of FAT32."""


def free_bytes(folder: Path) -> int:
    """What may be written in a folder that may have to be made first."""
    there = next((path for path in (folder, *folder.absolute().parents) if path.exists()), Path("/"))
    found = os.statvfs(there)
    return found.f_bavail * found.f_frsize


@contextlib.contextmanager
def disk_errors(where: Path, *, full: str, choose: str) -> Iterator[None]:
    """Turns what the system refuses into NotEnoughDisk, with `full` as the way out, or BadSetting, with `choose`."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_IS_FULL:
            raise NotEnoughDisk(f"{where}: {error.strerror}", hint=full) from error
        raise BadSetting(f"{error.filename or where}: {error.strerror or error}", hint=choose) from error
