"""What single values may be: their kinds, their bounds, and what does not go together."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from weighbridge.errors import BadSetting
from weighbridge.sizes import parse_bytes

from .rows import PREFIX, ROWS, Settings

_WANTED = {
    int: "a whole number", float: "a number", str: "text", bool: "true or false",
    dict: "names and values, like { model = \"qwen3\" }", tuple: 'a list of texts, like ["one", "two"]',
}  # fmt: skip
_BOOLS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#,\s]+")
# What the kernel has room for in a socket's address, less the zero at its end.
_MOST_SOCKET_BYTES = 107
# What a row may be, in Settings as in a model's table.
_BOUNDS: dict[str, tuple[float, float]] = {
    "port": (0, 65535),
    "workers": (1, 64),
    "context_tokens": (0, 1 << 24),
    "parallel": (1, 256),
    "ubatch_tokens": (1, 1 << 24),
    "threads": (0, 1024),
    "keep_alive_seconds": (0, inf),
    "memory_budget_bytes": (0, 1 << 50),
    "memory_margin_bytes": (0, 1 << 50),
    "queue_limit": (0, 1 << 20),
    "queue_limit_total": (0, 1 << 20),
    "queue_timeout_seconds": (0.1, 86400),
    "turn_seconds": (0, 86400),
    "breaker_failures": (1, 1000),
    "drain_timeout_seconds": (0, 86400),
    "max_body_bytes": (1024, 1 << 34),
    "start_timeout_seconds": (0.1, 86400),
    "connect_timeout_seconds": (0.1, 3600),
    "first_byte_timeout_seconds": (0, 86400),
    "read_timeout_seconds": (0.1, 86400),
    "request_timeout_seconds": (0.1, inf),
    "retries": (0, 10),
    "hedge_seconds": (0, 3600),
    "health_interval_seconds": (0.1, 3600),
    "price_input": (0, 1e9),
    "price_output": (0, 1e9),
    "feedback_requests": (0, 1_000_000),
    "route_learn_seconds": (0, 86400 * 30),
    "pause_seconds": (0, 3600),
    "timeout_seconds": (0.1, 3600),
    "read_files": (0, 1000),
    "ledger_days": (0, 1 << 20),
    "ledger_bytes": (0, 1 << 60),
}


def convert(row: dataclasses.Field[Any], value: object, origin: str) -> object:
    """A value as the row has it, from a flag, a variable or a file; BadSetting says what was expected."""
    name, kind = row.name, row.metadata["kind"]
    try:
        if kind in _READ:
            return _READ[kind](value)
        if kind is bool:
            return value if isinstance(value, bool) else _BOOLS[str(value).lower()]
        if isinstance(value, bool) or (kind is int and isinstance(value, float)):
            raise ValueError(value)
        if name.endswith("_bytes") and isinstance(value, str):
            return parse_bytes(value)
        if kind is str and not isinstance(value, str):
            raise ValueError(value)
        converted: object = kind(value)
        if converted != converted:  # not a number
            raise ValueError(value)
    except (TypeError, ValueError, OverflowError, KeyError) as error:
        wanted = "a size, e.g. 12GiB" if name.endswith("_bytes") else _WANTED[kind]
        raise BadSetting(f"{origin}: {name} is {value!r}, expected {wanted}", hint=_default_hint(row)) from error
    return converted


def _options(value: object) -> dict[str, str]:
    """An engine's options, in the words that engines take. ValueError if it is no table of plain values."""
    if not isinstance(value, dict) or not all(isinstance(each, str | int | float) for each in value.values()):
        raise ValueError(value)
    return {name: ("no", "yes")[each] if isinstance(each, bool) else str(each) for name, each in value.items()}


def _texts(value: object) -> tuple[str, ...]:
    """Texts of a list, or of a line with commas between them. ValueError for anything else."""
    if isinstance(value, str):
        return tuple(each.strip() for each in value.split(",") if each.strip())
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) and each for each in value):
        raise ValueError(value)
    return tuple(value)


# Kinds that hold several values.
_READ: Mapping[type, Callable[[object], object]] = {dict: _options, tuple: _texts}


def _default_hint(row: dataclasses.Field[Any]) -> str:
    if row.default is dataclasses.MISSING:
        return "leave it out: it has none then"
    return "leave it out: it is then as for all models" if row.default is None else f"the default is {row.default!r}"


def check_bounds(row: dataclasses.Field[Any], value: Any, origin: str = "") -> None:
    """BadSetting where a number is not what the row may be."""
    if row.name in _BOUNDS and value is not None:
        least, most = _BOUNDS[row.name]
        if not least <= value <= most:
            raise BadSetting(
                f"{origin}{row.name} is {value:,}, expected {least:,} to {most:,}", hint=_default_hint(row)
            )


def checked(settings: Settings) -> Settings:
    """The settings, if all of them go together; BadSetting where they do not."""
    for name, row in ROWS.items():
        check_bounds(row, getattr(settings, name))
    # Whether one of the file's keys is still good is looked at by the gateway when it begins to listen.
    if not settings.is_loopback and not settings.api_key and not settings.keys_path.exists():
        raise BadSetting(
            f"host is {settings.host}, which others can reach, and there is no api_key",
            hint=f"set {PREFIX}API_KEY to a secret, make a key with `weigh key create NAME`, or listen at 127.0.0.1",
        )
    if settings.tls_key and not settings.tls_certificate:
        raise BadSetting("tls_key is set, and tls_certificate is not", hint="set both, or neither")
    if settings.socket is not None:
        _check_socket(settings)
    for origin in settings.cors_origins:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise BadSetting(
                f"cors_origins holds {origin!r}, expected an origin", hint="a scheme and a name: https://example.org"
            )
    for name, model in settings.models.items():
        if name in model.fallback:
            raise BadSetting(f"[models.{name}]: fallback names itself", hint="name other models")
    return settings


def _check_socket(settings: Settings) -> None:
    path = settings.socket
    if path is None or not path.is_absolute() or len(os.fsencode(path)) > _MOST_SOCKET_BYTES:
        raise BadSetting(
            f"host is {settings.host}, expected unix: and a path of at most {_MOST_SOCKET_BYTES} bytes from the root",
            hint="like: unix:/run/user/1000/weighbridge.sock",
        )
    if settings.tls_certificate:
        raise BadSetting("tls_certificate is set, and host is a Unix socket", hint="a socket needs no TLS")
