"""When the newest thumb was given. Apart, so that who only asks that needs no arrays, and no SQLite where none is."""

from __future__ import annotations

from pathlib import Path

_STORE = "weighbridge.sqlite3"


def newest_thumb(folder: Path) -> float | None:
    """When the newest was given, in seconds since 1970; None where there is none."""
    if not (folder / _STORE).exists():
        return None
    from weighbridge.store import Store

    with Store(folder) as store:
        found: float | None = store.rows("SELECT max(given_at) FROM thumbs")[0][0]
    return found
