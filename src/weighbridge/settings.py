"""`Settings`, read once: defaults, then a TOML file, then the environment, then flags; a typo stops the program."""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from .errors import BadSetting
from .sizes import parse_bytes

PREFIX = "WEIGHBRIDGE_"
CONFIG_VARIABLE = PREFIX + "CONFIG"


def _setting(default: Any, meaning: str) -> Any:
    return field(default=default, metadata={"help": meaning})


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, in one row each: name, default, and what it means."""

    host: str = _setting("127.0.0.1", "address the gateway listens at; beyond loopback an api_key is required")
    port: int = _setting(8642, "port the gateway listens at; 0 takes a free one")
    api_key: str = _setting("", "key that clients must send as a bearer token; empty: none is asked for")
    context_tokens: int = _setting(0, "context of each request in tokens; 0: the model's own, at most 8192")
    parallel: int = _setting(2, "requests that one model answers at once")
    threads: int = _setting(0, "threads a model computes with; 0: one a core, and a single one for a small model")
    max_body_bytes: int = _setting(32 << 20, "largest request body, e.g. 32MiB")
    start_timeout_seconds: float = _setting(300.0, "how long an engine may take to load its model")
    read_timeout_seconds: float = _setting(600.0, "how long an engine may send nothing while a request waits for it")
    health_interval_seconds: float = _setting(
        10.0, "how often an engine is asked how it is; after two silences it is ended"
    )
    remote_api_key: str = _setting("", "key that is sent to servers elsewhere (MODEL given as a URL)")
    state_dir: str = _setting("", "folder for logs; empty: weighbridge in the user's state folder")

    @property
    def is_loopback(self) -> bool:
        """Whether only programs on this machine can reach the gateway."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def url(self) -> str:
        """Where the gateway answers."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def state_path(self) -> Path:
        """The folder for logs."""
        if self.state_dir:
            return Path(self.state_dir).expanduser()
        base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        return Path(base) / "weighbridge"


_KINDS: dict[str, Callable[[Any], object]] = {setting.name: type(setting.default) for setting in fields(Settings)}


def _convert(name: str, value: object, origin: str) -> object:
    kind = _KINDS[name]
    try:
        if isinstance(value, bool) or (kind is int and isinstance(value, float)):
            raise ValueError(value)
        if name.endswith("_bytes") and isinstance(value, str):
            return parse_bytes(value)
        if kind is str and not isinstance(value, str):
            raise ValueError(value)
        return kind(value)
    except (TypeError, ValueError, OverflowError) as error:
        wanted = "a whole number" if kind is int else "a number" if kind is float else "text"
        raise BadSetting(
            f"{origin}: {name} is {value!r}, expected {wanted}", hint=f"the default is {_default(name)!r}"
        ) from error


def _default(name: str) -> object:
    return next(setting.default for setting in fields(Settings) if setting.name == name)


def _known(name: str, origin: str) -> str:
    if name in _KINDS:
        return name
    near = difflib.get_close_matches(name, _KINDS, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(_KINDS)}"
    raise BadSetting(f"{origin}: no setting is named {name!r}", hint=hint)


def _from_file(path: Path, *, required: bool) -> dict[str, object]:
    try:
        table = tomllib.loads(path.read_text())
    except FileNotFoundError:
        if required:
            raise BadSetting(f"{path}: there is no such settings file", hint="check --config") from None
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSetting(f"{path}: {error}", hint="write one setting a line, like: port = 8642") from error
    return {_known(name, str(path)): _convert(name, value, str(path)) for name, value in table.items()}


def _from_environment(environment: Mapping[str, str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for variable, value in environment.items():
        if variable.startswith(PREFIX) and variable != CONFIG_VARIABLE:
            name = _known(variable.removeprefix(PREFIX).lower(), f"environment variable {variable}")
            found[name] = _convert(name, value, f"environment variable {variable}")
    return found


def _checked(settings: Settings) -> Settings:
    bounds: dict[str, tuple[float, float]] = {
        "port": (0, 65535),
        "context_tokens": (0, 1 << 24),
        "parallel": (1, 256),
        "threads": (0, 1024),
        "max_body_bytes": (1024, 1 << 34),
        "start_timeout_seconds": (0.1, 86400),
        "read_timeout_seconds": (0.1, 86400),
        "health_interval_seconds": (0.1, 3600),
    }
    for name, (least, most) in bounds.items():
        if not least <= getattr(settings, name) <= most:
            raise BadSetting(
                f"{name} is {getattr(settings, name):,}, expected {least:,} to {most:,}",
                hint=f"the default is {_default(name)!r}",
            )
    if not settings.is_loopback and not settings.api_key:
        raise BadSetting(
            f"host is {settings.host}, which others can reach, and there is no api_key",
            hint=f"set {PREFIX}API_KEY to a secret, or listen at 127.0.0.1",
        )
    return settings


def load(
    flags: Mapping[str, object] | None = None,
    *,
    config: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """The settings of this run. `flags` that are None were not given. BadSetting names the origin of what is wrong."""
    environment = os.environ if environment is None else environment
    named = config or environment.get(CONFIG_VARIABLE)
    base = environment.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    path = Path(named).expanduser() if named else Path(base) / "weighbridge" / "weighbridge.toml"
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    values = {
        **_from_file(path, required=named is not None),
        **_from_environment(environment),
        **{_known(name, "flag"): _convert(name, value, f"flag --{name}") for name, value in given.items()},
    }
    return _checked(dataclasses.replace(Settings(), **values))  # type: ignore[arg-type]
