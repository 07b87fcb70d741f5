"""`load()`: the settings of this run, from defaults, file, environment and flags; a typo stops the program."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from weighbridge.errors import BadSetting

from .rows import DIGEST_ROWS, MODEL_ROWS, PREFIX, ROWS, DigestSettings, ModelSettings, Settings
from .values import check_bounds, checked, convert

CONFIG_VARIABLE = PREFIX + "CONFIG"
PLACE = ("host", "port", "api_key", "tls_certificate", "state_dir")
"""What says where the gateway is, its state, and how it is spoken to."""
# A typo of `models` itself is told too.
_TOP_OF_FILE = {**ROWS, **{row.name: row for row in fields(Settings) if row.name in ("models", "policies", "digest")}}
# The first is the router's, the second is a log's.
TAKEN_NAMES = ("auto", "gateway")
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def _known(name: str, origin: str, rows: Mapping[str, dataclasses.Field[Any]] = ROWS) -> dataclasses.Field[Any]:
    if name in rows:
        return rows[name]
    near = difflib.get_close_matches(name, rows, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(rows)}"
    raise BadSetting(f"{origin}: no setting is named {name!r}", hint=hint)


def _from_file(path: Path, *, required: bool) -> dict[str, object]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if required:
            raise BadSetting(f"{path}: there is no such settings file", hint="check --config") from None
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSetting(f"{path}: {error}", hint="write one setting a line, like: port = 8642") from error
    models = _models(table.pop("models", {}), str(path))
    policies = _policies(table.pop("policies", {}), str(path))
    digest = _digest(table.pop("digest", {}), str(path))
    values = {name: convert(_known(name, str(path), _TOP_OF_FILE), value, str(path)) for name, value in table.items()}
    tables = {name: found for name, found in (("models", models), ("policies", policies)) if found}
    return values | tables | {"digest": digest}


def _digest(table: object, path: str) -> DigestSettings:
    """The table `[digest]`."""
    origin = f"{path}: [digest]"
    if not isinstance(table, dict):
        raise BadSetting(
            f"{path}: digest is {table!r}, expected a table", hint='write: [digest], then: sources = ["..."]'
        )
    values = {key: convert(_known(key, origin, DIGEST_ROWS), value, origin) for key, value in table.items()}
    for key, value in values.items():
        check_bounds(DIGEST_ROWS[key], value, f"{origin}: ")
    return DigestSettings(**values)  # type: ignore[arg-type]


def _policies(tables: object, path: str) -> dict[str, Mapping[str, Any]]:
    """The tables `[policies.NAME]`, each a table; what stands in them is for routing to say."""
    hint = 'write a table a policy: [policies.office], and below it: places = ["here"]'
    if not isinstance(tables, dict):
        raise BadSetting(f"{path}: policies is {tables!r}, expected tables", hint=hint)
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise BadSetting(f"{path}: policies.{name} is {table!r}, expected a table", hint=hint)
        if not _MODEL_NAME.fullmatch(name):
            raise BadSetting(f"{path}: [policies.{name}]: no policy can be named so", hint="letters, digits, . _ and -")
    return tables


def _models(tables: object, path: str) -> dict[str, ModelSettings]:
    """The tables `[models.NAME]`, in the order of the file."""
    hint = 'write a table a model: [models.coder], and below it: source = "..."'
    if not isinstance(tables, dict):
        raise BadSetting(f"{path}: models is {tables!r}, expected tables", hint=hint)
    found = {}
    for name, table in tables.items():
        origin = f"{path}: [models.{name}]"
        if not isinstance(table, dict):
            raise BadSetting(f"{path}: models.{name} is {table!r}, expected a table", hint=hint)
        if not _MODEL_NAME.fullmatch(name) or name in TAKEN_NAMES:
            raise BadSetting(
                f"{origin}: no model can be named so", hint="letters, digits, . _ and -; and not auto or gateway"
            )
        values = {key: convert(_known(key, origin, MODEL_ROWS), value, origin) for key, value in table.items()}
        for key, value in values.items():
            check_bounds(MODEL_ROWS[key], value, f"{origin}: ")
        found[name] = ModelSettings(**values)  # type: ignore[arg-type]
    return found


def _from_environment(environment: Mapping[str, str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for variable, value in environment.items():
        if variable.startswith(PREFIX) and variable != CONFIG_VARIABLE:
            origin = f"environment variable {variable}"
            row = _known(variable.removeprefix(PREFIX).lower(), origin)
            found[row.name] = convert(row, value, origin)
    return found


def load(
    flags: Mapping[str, object] | None = None,
    *,
    config: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """The settings of this run. `flags` that are None were not given. BadSetting names the origin of what is wrong."""
    environment = os.environ if environment is None else environment
    path, is_named = _file(config, environment)
    from_flags = {
        name: convert(_known(name, "command line"), value, "command line")
        for name, value in (flags or {}).items()
        if value is not None
    }
    from_environment = _from_environment(environment)
    values = {**_from_file(path, required=is_named), **from_environment, **from_flags}
    given = frozenset((*from_environment, *from_flags))
    return checked(dataclasses.replace(Settings(), **values, given=given))  # type: ignore[arg-type]


def load_place(
    flags: Mapping[str, object] | None = None,
    *,
    config: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> tuple[Settings, BadSetting | None]:
    """The settings of this run, for who needs no more of them than where the gateway is and its state, and what is
    wrong with them: then only `PLACE` is read, of a file that is no TOML line by line, and the rest is the default.

    So a gateway can be looked at and stopped while its file is being written. BadSetting for a wrong flag or variable
    of these.
    """
    try:
        return load(flags, config=config, environment=environment), None
    except BadSetting as error:
        wrong = error
    environment = os.environ if environment is None else environment
    values: dict[str, object] = {}
    for name, value in _lines_of_place(_file(config, environment)[0]).items():
        with contextlib.suppress(BadSetting):
            values[name] = convert(ROWS[name], value, "")
            check_bounds(ROWS[name], values[name])
    variables = {name: environment[found] for name in PLACE if (found := PREFIX + name.upper()) in environment}
    for origin, given in (("environment", variables), ("command line", flags or {})):
        for name, value in given.items():
            if name in PLACE and value is not None:
                values[name] = convert(ROWS[name], value, origin)
    return dataclasses.replace(Settings(), **values), wrong  # type: ignore[arg-type]


def _lines_of_place(path: Path) -> dict[str, object]:
    """What a file says above its tables of the settings in `PLACE`, each line read by itself."""
    found: dict[str, object] = {}
    with contextlib.suppress(OSError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.lstrip().startswith("["):
                break
            with contextlib.suppress(tomllib.TOMLDecodeError):
                found |= {name: value for name, value in tomllib.loads(line).items() if name in PLACE}
    return found


def _file(config: str | None, environment: Mapping[str, str]) -> tuple[Path, bool]:
    """The settings file, and whether somebody named it."""
    named = config or environment.get(CONFIG_VARIABLE)
    base = environment.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(named).expanduser() if named else Path(base) / "weighbridge" / "weighbridge.toml", named is not None
