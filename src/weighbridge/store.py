"""One SQLite file of state: opened, brought to the newest layout, read and written in rows whose meaning others know.

Whoever needs a table appends a step to `MIGRATIONS`; steps that were released are never changed. Several processes may
use the file at once: readers do not wait (WAL), writers wait for each other up to `BUSY_SECONDS`.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .errors import StateDamaged

FILE_NAME = "weighbridge.sqlite3"
BUSY_SECONDS = 10.0

MIGRATIONS: tuple[str, ...] = (
    # hub: when a model was last used, and which files had the sum that they must have.
    """
    CREATE TABLE models_used (source TEXT PRIMARY KEY, used_at REAL NOT NULL) WITHOUT ROWID;
    CREATE TABLE files_verified (
        path TEXT PRIMARY KEY, size_bytes INTEGER NOT NULL, modified_ns INTEGER NOT NULL, inode INTEGER NOT NULL,
        sum TEXT NOT NULL, verified_at REAL NOT NULL
    ) WITHOUT ROWID;
    """,
)


class Store:
    """The file in a state folder. Use it in a `with`, by one thread; other threads and processes open their own.

    Raises StateDamaged where the file is no database, is of a newer version, or cannot be read or written.
    """

    def __init__(self, folder: Path, migrations: Sequence[str] = MIGRATIONS) -> None:
        self.path = folder / FILE_NAME
        with self._told():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            with self._told():
                self._connection.execute("PRAGMA journal_mode=WAL")
                # With WAL, a power failure can lose the last rows but not damage the file.
                self._connection.execute("PRAGMA synchronous=NORMAL")
                self._connection.execute("PRAGMA foreign_keys=ON")
                self._migrate(migrations)
        except BaseException:
            self._connection.close()
            raise

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows that a query finds."""
        with self._told():
            return self._connection.execute(query, values).fetchall()

    def write(self, statement: str, values: Sequence[Any] = ()) -> None:
        """One change, on disk at once or not at all."""
        with self._told():
            self._connection.execute(statement, values)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Changes that are made together or not at all; what is read meanwhile is not changed by others."""
        with self._told():
            self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise
        with self._told():
            self._connection.execute("COMMIT")

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _version(self) -> int:
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    def _migrate(self, migrations: Sequence[str]) -> None:
        if self._version() > len(migrations):
            raise self._too_new(self._version(), len(migrations))
        if self._version() == len(migrations):
            return
        with self.transaction():
            # Another process may have been quicker.
            for number in range(self._version(), len(migrations)):
                for statement in migrations[number].split(";"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version={number + 1}")

    def _too_new(self, version: int, known: int) -> StateDamaged:
        return StateDamaged(
            f"{self.path}: has layout {version}, and this version of weighbridge knows up to {known}",
            hint="use the newer weighbridge that wrote it, or another folder: WEIGHBRIDGE_STATE_DIR",
        )

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Turns the errors of SQLite and of the file system into ours."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code == sqlite3.SQLITE_BUSY:
                hint = f"another process kept it for {BUSY_SECONDS:g} seconds: try again"
            elif code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                hint = "move the file away: a new one is made, and what was remembered is lost; models are not"
            elif code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
                hint = "free some space on its disk"
            elif code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
                hint = "check the folder's permissions, or choose another: WEIGHBRIDGE_STATE_DIR"
            else:
                # A statement that SQLite does not understand is our own mistake.
                raise
            raise StateDamaged(f"{self.path}: {error}", hint=hint) from error
        except OSError as error:
            raise StateDamaged(
                f"{self.path}: {error.strerror or error}", hint="choose another folder: WEIGHBRIDGE_STATE_DIR"
            ) from error
