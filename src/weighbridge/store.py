"""One SQLite file of state: opened, brought to the newest layout, read and written in rows whose meaning others know.

Whoever needs a table appends a step to `MIGRATIONS`; steps that were released are never changed. Several processes may
use the file at once: readers do not wait (WAL), writers wait for each other up to `BUSY_SECONDS`.

What is kept can be made anew, but for the counts of days that are gone, so a damaged file stops nobody: it is set aside
under another name, which is told as a warning of the logger `weighbridge`, and an empty one takes its place.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from .errors import StateDamaged
from .locks import locked

FILE_NAME = "weighbridge.sqlite3"
BUSY_SECONDS = 10.0

_LOG = logging.getLogger("weighbridge")
# A new file that is damaged again is the disk's fault.
_MOST_RENEWALS = 3
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

Found = TypeVar("Found")

MIGRATIONS: tuple[str, ...] = (
    # hub: when a model was last used, and which files had the sum that they must have.
    """
    CREATE TABLE models_used (source TEXT PRIMARY KEY, used_at REAL NOT NULL) WITHOUT ROWID;
    CREATE TABLE files_verified (
        path TEXT PRIMARY KEY, size_bytes INTEGER NOT NULL, modified_ns INTEGER NOT NULL, inode INTEGER NOT NULL,
        sum TEXT NOT NULL, verified_at REAL NOT NULL
    ) WITHOUT ROWID;
    """,
    # digest: what was read, what it claims and how that stands, what was listed and counted. A page's text goes once
    # its claims are read, but for the words around them.
    """
    CREATE TABLE pages (
        id TEXT PRIMARY KEY, content TEXT NOT NULL, address TEXT NOT NULL, title TEXT NOT NULL, published TEXT,
        fetched TEXT NOT NULL, source TEXT NOT NULL, characters INTEGER NOT NULL, links TEXT NOT NULL, text TEXT,
        around TEXT NOT NULL, grammar TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX pages_address ON pages (address, fetched);
    CREATE TABLE claims (
        id TEXT PRIMARY KEY, page TEXT NOT NULL REFERENCES pages ON DELETE CASCADE, subject TEXT NOT NULL,
        field TEXT NOT NULL, value TEXT NOT NULL, unit TEXT NOT NULL, qualifier TEXT NOT NULL, quote TEXT NOT NULL,
        start INTEGER NOT NULL, end INTEGER NOT NULL, told TEXT
    ) WITHOUT ROWID;
    CREATE INDEX claims_page ON claims (page);
    CREATE TABLE verdicts (
        claim TEXT NOT NULL REFERENCES claims ON DELETE CASCADE, checked TEXT NOT NULL, ruling TEXT NOT NULL,
        subject TEXT, evidence TEXT NOT NULL, PRIMARY KEY (claim, checked)
    ) WITHOUT ROWID;
    CREATE TABLE listings (
        name TEXT NOT NULL, kind TEXT NOT NULL, seen TEXT NOT NULL, address TEXT NOT NULL, released TEXT,
        source TEXT NOT NULL, told TEXT NOT NULL, PRIMARY KEY (name, kind, seen)
    ) WITHOUT ROWID;
    CREATE TABLE facts (
        id TEXT PRIMARY KEY, subject TEXT NOT NULL, field TEXT NOT NULL, value TEXT NOT NULL, text TEXT NOT NULL,
        basis TEXT NOT NULL, source TEXT NOT NULL, key TEXT NOT NULL, date TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX facts_subject ON facts (subject, field);
    CREATE TABLE series (
        model TEXT NOT NULL, date TEXT NOT NULL, likes INTEGER, downloads INTEGER, source TEXT NOT NULL,
        PRIMARY KEY (model, date)
    ) WITHOUT ROWID;
    CREATE TABLE gathered (
        source TEXT PRIMARY KEY, begun TEXT NOT NULL, cursor TEXT, finished TEXT, note TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE validators (url TEXT PRIMARY KEY, etag TEXT NOT NULL, modified TEXT NOT NULL) WITHOUT ROWID;
    """,
    # gateway: when an API key was last used, and the tokens of its last day.
    """
    CREATE TABLE keys_used (
        id TEXT PRIMARY KEY, used_at REAL NOT NULL, day INTEGER NOT NULL, tokens INTEGER NOT NULL
    ) WITHOUT ROWID;
    """,
    # routing: what users thought of answers, and what the prompts looked like.
    """
    CREATE TABLE thumbs (
        request_id TEXT PRIMARY KEY, given_at REAL NOT NULL, model TEXT NOT NULL, score REAL NOT NULL, task TEXT,
        better TEXT, comment TEXT, looks BLOB NOT NULL
    );
    CREATE INDEX thumbs_given ON thumbs (given_at);
    """,
)


class Store:
    """The file in a state folder. Use it in a `with`, by one thread; other threads and processes open their own.

    Raises StateDamaged where the file is of a newer version, or cannot be read or written.
    """

    def __init__(self, folder: Path, migrations: Sequence[str] = MIGRATIONS) -> None:
        self.path = folder / FILE_NAME
        self._migrations = migrations
        self._renewals = 0
        self._inode: int | None = None
        with self._told():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._open()

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows that a query finds."""
        return self._run(lambda: self._connection.execute(query, values).fetchall())

    def write(self, statement: str, values: Sequence[Any] = ()) -> None:
        """One change, on disk at once or not at all."""
        self._run(lambda: self._connection.execute(statement, values))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Changes that are made together or not at all; what is read meanwhile is not changed by others. StateDamaged
        also where the file shows to be damaged in its midst: then all of it can be tried again."""
        self._run(lambda: self._connection.execute("BEGIN IMMEDIATE"))
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

    def _run(self, do: Callable[[], Found]) -> Found:
        """What `do` brings; once more with a new file where this one is damaged."""
        with self._told():
            try:
                return do()
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                inside = self._connection.in_transaction
                self._renew(error)
                if inside:
                    raise
                return do()

    def _open(self) -> None:
        while True:
            with contextlib.suppress(FileNotFoundError):
                self._inode = self.path.stat().st_ino
            self._connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
            try:
                self._connection.execute("PRAGMA journal_mode=WAL")
                # With WAL, a power failure can lose the last rows but not damage the file.
                self._connection.execute("PRAGMA synchronous=NORMAL")
                self._connection.execute("PRAGMA foreign_keys=ON")
                self._migrate(self._migrations)
                self._inode = self.path.stat().st_ino
                return
            except sqlite3.DatabaseError as error:
                self._connection.close()
                if not _is_damage(error):
                    raise
                self._set_aside(error)
            except BaseException:
                self._connection.close()
                raise

    def _renew(self, error: sqlite3.DatabaseError) -> None:
        self._connection.close()
        self._set_aside(error)
        self._open()

    def _set_aside(self, error: sqlite3.DatabaseError) -> None:
        """Rename the damaged file, unless another process did; what belongs to it goes with it."""
        self._renewals += 1
        if self._renewals > _MOST_RENEWALS:
            raise error
        with locked(self.path.parent):
            if not self.path.exists() or self.path.stat().st_ino != self._inode:
                return
            aside = self.path.with_name(f"{FILE_NAME}.damaged-{time.strftime('%Y%m%d-%H%M%S')}-{self._inode}")
            # Before the file itself: SQLite would write what the old log holds into a new one.
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self.path}-wal").rename(f"{aside}-wal")
            Path(f"{self.path}-shm").unlink(missing_ok=True)
            self.path.rename(aside)
        _LOG.warning(
            "%s was damaged and lies at %s now; a new one is made: when models were used and what the digest "
            "recorded is forgotten, models are not",
            self.path,
            aside,
        )

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
            elif code in _DAMAGE:
                hint = "try again; if that does not help, choose a folder on another disk: WEIGHBRIDGE_STATE_DIR"
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


def _is_damage(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE
