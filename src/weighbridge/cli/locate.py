"""From a name to a file: what the commands that only read a model need, and no more."""

from __future__ import annotations

from pathlib import Path

from weighbridge.errors import BadModelFile
from weighbridge.specialists import bundled


def locate(source: str) -> Path:
    """The file that `source` means: a path, or the name of a bundled model. BadModelFile where there is none."""
    try:
        path = Path(source).expanduser()
        if path.exists():
            return path
    except (OSError, RuntimeError, ValueError) as error:
        raise BadModelFile(f"{source[:200]}: {error}", hint="check the path and its permissions") from error
    if source in bundled():
        return bundled()[source]
    raise BadModelFile(
        f"{source}: there is no such file, and no bundled model of that name",
        hint=f"bundled are: {', '.join(bundled()) or 'none'}",
    )
