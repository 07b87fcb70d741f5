"""When the newest thumb was given. Apart, so that who only asks that needs no arrays."""

from __future__ import annotations

from pathlib import Path

from weighbridge.store import FILE_NAME, Store


def newest_thumb(folder: Path) -> float | None:
    """When the newest was given, in seconds since 1970; None where there is none."""
    if not (folder / FILE_NAME).exists():
        return None
    with Store(folder) as store:
        found: float | None = store.rows("SELECT max(given_at) FROM thumbs")[0][0]
    return found
