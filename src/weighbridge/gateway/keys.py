"""`Key`: what a caller shows to be let in, kept as a sum in a file; made, listed and revoked by `weigh key`.

A file and not the store: what is in the store can be made anew, and a damaged one is replaced by an empty one. Keys
cannot, and losing them in silence would open or shut the door. The file is small, read whole, and replaced whole; any
number of gateways see that it changed by its place on the disk, without a lock.

The sum is one SHA-256. A slow one (bcrypt, argon2) protects secrets that people think up, which can be guessed; a key
of 256 random bits can't be, however quick the sum is, and each request would pay for the slowness.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from weighbridge.errors import BadSetting, StateDamaged
from weighbridge.locks import locked
from weighbridge.whole_files import write_whole

PREFIX = "wb-"
_SECRET_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_SUM = re.compile(r"[0-9a-f]{64}")
_MOST_KEYS = 100_000
_MOST_BYTES = 64 << 20
_MOST_MODELS = 1000
_LAYOUT = 1
_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Key:
    """One key, without its secret. None as a limit: there is none."""

    name: str
    sha256: str
    """Of the secret, in hexadecimal."""
    created: float
    """Seconds since 1970, as `expires`."""
    expires: float | None = None
    admin: bool = False
    """Whether it may see and change the gateway itself."""
    models: tuple[str, ...] | None = None
    """Models, and policies such as `auto:fast`, that it may ask for; None: all."""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    concurrency: int | None = None
    """Requests at once, those that wait included."""

    @property
    def id(self) -> str:
        """What its use is counted under: a key that is made anew under an old name begins anew."""
        return self.sha256[:16]

    @property
    def is_limited(self) -> bool:
        """Whether something of it must be counted before it is served."""
        limits = (self.requests_per_minute, self.tokens_per_minute, self.tokens_per_day, self.concurrency)
        return any(limit is not None for limit in limits)


@dataclass(frozen=True, slots=True)
class Use:
    """When a key was last used, to the minute or so, and the tokens of its last day (UTC)."""

    used_at: float
    day: int
    """Days since 1970."""
    tokens: int


def digest(secret: bytes) -> bytes:
    """The sum by which a secret is known."""
    return hashlib.sha256(secret).digest()


def today(now: float) -> int:
    """The number of the day (UTC) since 1970."""
    return int(now // _DAY_SECONDS)


def day_ends(now: float) -> float:
    """Seconds until the next day (UTC) begins."""
    return _DAY_SECONDS - now % _DAY_SECONDS


def create(path: Path, name: str, **given: Any) -> tuple[Key, str]:
    """A new key and its secret, which is nowhere else; `given` are the fields of `Key`. BadSetting for a name that is
    taken or can't be one."""
    if not _NAME.fullmatch(name):
        raise BadSetting(f"no key can be named {name!r}", hint="letters, digits, . _ @ and -, at most 64")
    secret = PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    key = Key(name, digest(secret.encode()).hex(), time.time(), **given)
    with _held(path):
        keys = read(path)
        if any(other.name == name for other in keys):
            raise BadSetting(f"a key is named {name!r} already", hint="choose another name, or revoke that one first")
        if len(keys) >= _MOST_KEYS:
            raise BadSetting(f"there are {len(keys):,} keys", hint="revoke some")
        _write(path, [*keys, key])
    return key, secret


def revoke(path: Path, name: str) -> Key:
    """Take a key away; gateways that run refuse it at once. BadSetting where there is none of the name."""
    with _held(path):
        keys = read(path)
        found = next((key for key in keys if key.name == name), None)
        if found is None:
            raise BadSetting(f"no key is named {name!r}", hint="weigh key list names them")
        _write(path, [key for key in keys if key is not found])
    return found


def read(path: Path) -> tuple[Key, ...]:
    """All keys; none where there is no file. StateDamaged where it is not as it was written."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise StateDamaged(f"{path}: {error.strerror}", hint="check the file's permissions") from error
    try:
        table = json.loads(raw[:_MOST_BYTES])
        if table["layout"] != _LAYOUT:
            raise ValueError(f"its layout is {table['layout']!r}, expected {_LAYOUT}")
        return tuple(_key(row) for row in table["keys"][:_MOST_KEYS])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StateDamaged(
            f"{path}: is no file of keys: {error}", hint="mend it, or remove it and make the keys anew: weigh key"
        ) from error


def _key(row: Mapping[str, Any]) -> Key:
    """A row of the file as a key. ValueError, TypeError where it is none."""
    if not isinstance(row, dict):
        raise TypeError(f"a key is a JSON {type(row).__name__}, expected an object")
    models = row.get("models")
    key = Key(**{**row, "models": None if models is None else tuple(models)})
    numbers = (key.requests_per_minute, key.tokens_per_minute, key.tokens_per_day, key.concurrency)
    if not _NAME.fullmatch(key.name) or not _SUM.fullmatch(key.sha256) or not isinstance(key.admin, bool):
        raise ValueError(f"{key.name!r} is no key")
    if not all(number is None or (type(number) is int and number >= 0) for number in numbers):
        raise ValueError(f"a limit of {key.name!r} is no whole number")
    if not all(isinstance(time_, int | float) for time_ in (key.created, 0 if key.expires is None else key.expires)):
        raise ValueError(f"a time of {key.name!r} is no number")
    if models is not None and (len(models) > _MOST_MODELS or not all(isinstance(model, str) for model in models)):
        raise ValueError(f"the models of {key.name!r} are no names")
    return key


def _held(path: Path) -> contextlib.AbstractContextManager[None]:
    """The file's folder, held against others that change it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise BadSetting(f"{path.parent}: {error.strerror}", hint="choose another: WEIGHBRIDGE_STATE_DIR") from error
    return locked(path.parent)


def _write(path: Path, keys: Sequence[Key]) -> None:
    """Replace the file as a whole: whoever reads it finds the old one or the new one."""
    rows = [{row.name: getattr(key, row.name) for row in fields(Key)} for key in keys]
    try:
        write_whole(path, json.dumps({"layout": _LAYOUT, "keys": rows}, indent=1), sync=True, mode=0o600)
    except OSError as error:
        raise StateDamaged(f"{path}: {error.strerror}", hint="check the folder's permissions and space") from error


def mark(path: Path) -> tuple[int, int, int] | None:
    """What changes when the file does: one look at the disk, about a microsecond. None where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def uses(folder: Path) -> dict[str, Use]:
    """How keys were used, by their `id`, from the store of a state folder."""
    from weighbridge.store import Store  # SQLite takes a megabyte, and a gateway without keys needs none

    with Store(folder) as store:
        rows = store.rows("SELECT id, used_at, day, tokens FROM keys_used")
    return {row[0]: Use(*row[1:]) for row in rows}


def write_uses(folder: Path, used: Mapping[str, Use]) -> None:
    """Keep how keys were used. Of two gateways that write of the same key, the later use and the larger count stay."""
    from weighbridge.store import Store

    with Store(folder) as store, store.transaction():
        for id_, use in used.items():
            store.write(
                "INSERT INTO keys_used (id, used_at, day, tokens) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
                "used_at = max(used_at, excluded.used_at), "
                "tokens = CASE WHEN excluded.day > day THEN excluded.tokens WHEN excluded.day = day "
                "THEN max(tokens, excluded.tokens) ELSE tokens END, day = max(day, excluded.day)",
                (id_, *dataclasses.astuple(use)),
            )
