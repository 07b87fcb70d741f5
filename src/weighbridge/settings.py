"""`Settings`, read once: defaults, then a TOML file, then the environment, then flags; a typo stops the program.

The file holds a row a setting, and a table for each model that is served:

    memory_budget_bytes = "12GiB"

    [models.coder]
    source = "qwen3-coder-q4_k_m.gguf"
    context_tokens = 32768
    pinned = true

and one for each policy of routing, by which a request for the model auto:NAME is routed:

    [policies.office]
    places = ["here"]
    rules = { code = "coder" }

and what the digest follows:

    [digest]
    sources = ["hf:trending", "github:ggml-org/llama.cpp"]
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from math import inf
from pathlib import Path
from typing import Any

from .errors import BadSetting
from .sizes import parse_bytes

PREFIX = "WEIGHBRIDGE_"
CONFIG_VARIABLE = PREFIX + "CONFIG"
UNIX = "unix:"


def _setting(default: Any, meaning: str, kind: type | None = None) -> Any:
    return field(default=default, metadata={"help": meaning, "kind": kind or type(default)})


def _same(meaning: str, kind: type) -> Any:
    """A row of a model that is as the row of the same name above, unless the model's table says otherwise."""
    return field(default=None, metadata={"help": meaning, "kind": kind})


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What `[models.NAME]` may say of one model; None: as for all models, or as the engine likes it."""

    source: str = _setting("", "what is served: a file, a repository, a URL, as `weigh up` takes it; empty: the name")
    engine: str = _setting("", "engine that runs it; empty: the one that suits its files")
    context_tokens: int | None = _same("context of each of its requests in tokens; 0: the model's own", int)
    parallel: int | None = _same("requests that it answers at once", int)
    cache_type_k: str | None = _same("type of the keys in its cache, as above", str)
    cache_type_v: str | None = _same("type of the values in its cache", str)
    ubatch_tokens: int | None = _same("tokens that it computes in one step", int)
    threads: int | None = _same("threads that it computes with; 0: one a core", int)
    keep_alive_seconds: float | None = _same(
        "how long it stays loaded when nobody asks for it; 0: it goes at once, inf: it stays", float
    )
    preload: bool | None = _same("whether it is loaded at the start, where there is room", bool)
    fallback: tuple[str, ...] = _setting(
        (), "models that are asked in its place, in this order, while it fails and nothing was answered yet"
    )
    retries: int | None = _same("how often a server elsewhere is asked again, as above", int)
    hedge_seconds: float | None = _same("when the first of its fallbacks is asked beside it, as above", float)
    connect_timeout_seconds: float | None = _same("time to connect to it", float)
    first_byte_timeout_seconds: float | None = _same("time to the first byte of its answer", float)
    read_timeout_seconds: float | None = _same("time between two pieces of its answer", float)
    request_timeout_seconds: float | None = _same("time for all of its answer", float)
    pinned: bool = _setting(False, "whether it is loaded at the start and never unloaded for another model")
    price_input: float | None = _same(
        "price of a million tokens of prompt, in any one currency; for a model elsewhere", float
    )
    price_output: float | None = _same("price of a million tokens of answer", float)
    place: str = _setting("", "where its data goes, as policies name it; empty: `here`, or the host of its server")
    licence: str = _setting("", "SPDX identifier of its licence; empty: as its files say")
    options: Mapping[str, str] = field(
        default_factory=dict,
        metadata={
            "help": "what its engine alone knows, as engines.md lists: options = { verify_tls = false }", "kind": dict
        },
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class DigestSettings:
    """What `[digest]` may say: what is followed, and for whom."""

    sources: tuple[str, ...] = _setting(
        ("hf:trending",),
        "what is followed: hf:trending, hf:recent, hf:org/NAME, github:OWNER/REPOSITORY, feed:URL, arxiv:QUERY, "
        "web:URL, file:PATH",
    )
    watch: tuple[str, ...] = _setting((), "models that are waited for; each digest says what is new of them")
    machines: tuple[str, ...] = _setting(
        (), 'machines beside this one for which it is told what fits, as `weigh fit --machine` takes them: "rtx 4090"'
    )
    title: str = _setting("Open-weight models", "what the digest is called")
    contact: str = _setting("", "mail or page that the keepers of servers can turn to; it goes with each request")
    pause_seconds: float = _setting(1.0, "pause between two requests to one host")
    timeout_seconds: float = _setting(120.0, "how long one answer may take")
    private_hosts: tuple[str, ...] = _setting(
        (), 'hosts at private addresses that may be read, where no page may lead otherwise: "wiki.intern:8080"'
    )
    read_files: int = _setting(8, "new models of the hub whose files are read for their facts; headers only; 0: none")
    github_api: str = _setting("https://api.github.com", "where GitHub's API answers; an enterprise has its own")
    arxiv_api: str = _setting("https://export.arxiv.org", "where arXiv's API answers")


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, in one row each: name, default, and what it means."""

    host: str = _setting(
        "127.0.0.1", "address the gateway listens at, or unix:/PATH of a socket; beyond loopback a key is required"
    )
    port: int = _setting(8642, "port the gateway listens at; 0 takes a free one")
    workers: int = _setting(
        1, "processes that answer clients at that address; engines, queues, limits and pages are those of the first one"
    )
    api_key: str = _setting(
        "", "the operator's key, sent as a bearer token; empty and no key made by `weigh key`: none is asked for"
    )
    tls_certificate: str = _setting("", "PEM file of the certificate with its chain; with it https is spoken")
    tls_key: str = _setting("", "PEM file of the certificate's key; empty: it is in the same file")
    cors_origins: tuple[str, ...] = _setting(
        (), "origins whose pages may call the gateway from a browser, e.g. https://chat.example.org; * is any"
    )
    context_tokens: int = _setting(0, "context of each request in tokens; 0: the model's own, at most 8192")
    parallel: int = _setting(2, "requests that one model answers at once")
    cache_type_k: str = _setting(
        "", "type of the keys in llama.cpp's cache, e.g. q8_0, as `weigh fit` names it; empty: f16"
    )
    cache_type_v: str = _setting("", "type of the values in llama.cpp's cache; empty: f16")
    ubatch_tokens: int = _setting(512, "tokens that llama.cpp computes in one step of reading a prompt")
    threads: int = _setting(0, "threads a model computes with; 0: one a core, and a single one for a small model")
    keep_alive_seconds: float = _setting(
        inf, "how long a model stays loaded when nobody asks for it; 0: it goes at once, inf: it stays"
    )
    preload: bool = _setting(True, "whether models are loaded at the start, as far as there is room; or when asked for")
    memory_budget_bytes: int = _setting(
        0, "main memory that all models may take together, e.g. 12GiB; 0: what is available at the start, less a margin"
    )
    memory_margin_bytes: int = _setting(
        512 << 20, "memory that is left to others; where less is available, a model that is idle is unloaded"
    )
    queue_limit: int = _setting(512, "requests that may wait for one model")
    queue_limit_total: int = _setting(2048, "requests that may wait for all models together")
    queue_timeout_seconds: float = _setting(600.0, "how long a request waits for its model before it is refused")
    turn_seconds: float = _setting(
        5.0, "how long a loaded model may take new requests while another one waits for its memory"
    )
    breaker_failures: int = _setting(3, "failures in a row after which a model is left alone for a while")
    drain_timeout_seconds: float = _setting(5.0, "how long answers may go on once the gateway is told to stop")
    max_body_bytes: int = _setting(32 << 20, "largest request body, e.g. 32MiB")
    start_timeout_seconds: float = _setting(300.0, "how long an engine may take to load its model")
    connect_timeout_seconds: float = _setting(10.0, "how long a connection to an engine may take to come about")
    first_byte_timeout_seconds: float = _setting(
        0.0, "how long an engine may take to the first byte of an answer; 0: as read_timeout_seconds"
    )
    read_timeout_seconds: float = _setting(600.0, "how long an engine may send nothing while a request waits for it")
    request_timeout_seconds: float = _setting(
        inf, "how long a request may take from its arrival to its answer's end, waiting and repetitions included"
    )
    retries: int = _setting(
        0, "how often a server elsewhere that is busy or failed (429, 5xx, no connection) is asked again"
    )
    hedge_seconds: float = _setting(
        0.0, "after how long without a first byte a model's first fallback is asked beside it; 0: never"
    )
    health_interval_seconds: float = _setting(
        10.0, "how often an engine is asked how it is; after two silences it is ended"
    )
    ledger: bool = _setting(True, "whether every request is recorded, in a row that `weigh log verify` can prove")
    ledger_text: bool = _setting(False, "whether the record holds prompts and answers too")
    ledger_days: float = _setting(365.0, "how long the record is kept; 0: for ever")
    ledger_bytes: int = _setting(
        4 << 30, "how large the record of one process may become before its oldest files go; 0: no bound"
    )
    ledger_sums: bool = _setting(
        True, "whether the sha256 of models' files is taken for the record, where it is not known yet"
    )
    otel_endpoint: str = _setting(
        "", "collector that traces are sent to by OTLP over HTTP, e.g. http://localhost:4318; empty: none"
    )
    remote_api_key: str = _setting("", "key that is sent to servers elsewhere (MODEL given as a URL)")
    route_learn_seconds: float = _setting(
        3600.0, "how often `weigh up` looks whether evals and thumbs are new, and learns to route by them; 0: never"
    )
    feedback_requests: int = _setting(
        2000, "latest requests of which /v1/feedback takes thumbs; their prompts are in memory alone; 0: none"
    )
    state_dir: str = _setting("", "folder for logs; empty: weighbridge in the user's state folder")
    models: Mapping[str, ModelSettings] = field(default_factory=dict)
    """What the file says of single models, by name."""
    policies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The file's tables of policies, by name; `routing.read_policies` gives them their meaning."""
    digest: DigestSettings = field(default_factory=DigestSettings)
    """What the file says in `[digest]`."""
    given: frozenset[str] = frozenset()
    """Rows that a flag or the environment gave: they count for every model, whatever its table says."""

    def of(self, name: str) -> ModelSettings:
        """What holds for one model, every row filled: by a flag or the environment, its table, or the rows above."""
        own = self.models.get(name, ModelSettings())
        filled = {
            row.name: getattr(self, row.name)
            for row in fields(ModelSettings)
            if row.name in _ROWS and (row.name in self.given or getattr(own, row.name) is None)
        }
        return dataclasses.replace(own, **filled)

    @property
    def is_loopback(self) -> bool:
        """Whether only programs on this machine can reach the gateway."""
        if self.socket is not None:
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def socket(self) -> Path | None:
        """The Unix socket that the gateway listens at; None where it is an address."""
        return Path(self.host.removeprefix(UNIX)).expanduser() if self.host.startswith(UNIX) else None

    @property
    def url(self) -> str:
        """Where the gateway answers: http://HOST:PORT, https://HOST:PORT or unix:/PATH."""
        if self.socket is not None:
            return f"{UNIX}{self.socket}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls_certificate else 'http'}://{host}:{self.port}"

    @property
    def keys_path(self) -> Path:
        """The file of the keys that `weigh key` made."""
        return self.state_path / "keys.json"

    @property
    def state_path(self) -> Path:
        """The folder for logs."""
        if self.state_dir:
            return Path(self.state_dir).expanduser()
        base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        return Path(base) / "weighbridge"


def _rows(kind: type) -> dict[str, dataclasses.Field[Any]]:
    return {row.name: row for row in fields(kind) if "help" in row.metadata}


_ROWS = _rows(Settings)
_MODEL_ROWS = _rows(ModelSettings)
_DIGEST_ROWS = _rows(DigestSettings)
# A typo of `models` itself is told too.
PLACE = ("host", "port", "api_key", "tls_certificate", "state_dir")
"""What says where the gateway is, its state, and how it is spoken to."""
_TOP_OF_FILE = {**_ROWS, **{row.name: row for row in fields(Settings) if row.name in ("models", "policies", "digest")}}
_WANTED = {
    int: "a whole number", float: "a number", str: "text", bool: "true or false",
    dict: "names and values, like { model = \"qwen3\" }", tuple: 'a list of texts, like ["one", "two"]',
}  # fmt: skip
_BOOLS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
# The first is the router's, the second is a log's.
TAKEN_NAMES = ("auto", "gateway")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#,\s]+")
# What the kernel has room for in a socket's address, less the zero at its end.
_MOST_SOCKET_BYTES = 107
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
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


def _convert(row: dataclasses.Field[Any], value: object, origin: str) -> object:
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


def _known(name: str, origin: str, rows: Mapping[str, dataclasses.Field[Any]] = _ROWS) -> dataclasses.Field[Any]:
    if name in rows:
        return rows[name]
    near = difflib.get_close_matches(name, rows, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(rows)}"
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
    models = _models(table.pop("models", {}), str(path))
    policies = _policies(table.pop("policies", {}), str(path))
    digest = _digest(table.pop("digest", {}), str(path))
    values = {name: _convert(_known(name, str(path), _TOP_OF_FILE), value, str(path)) for name, value in table.items()}
    tables = {name: found for name, found in (("models", models), ("policies", policies)) if found}
    return values | tables | {"digest": digest}


def _digest(table: object, path: str) -> DigestSettings:
    """The table `[digest]`."""
    origin = f"{path}: [digest]"
    if not isinstance(table, dict):
        raise BadSetting(
            f"{path}: digest is {table!r}, expected a table", hint='write: [digest], then: sources = ["..."]'
        )
    values = {key: _convert(_known(key, origin, _DIGEST_ROWS), value, origin) for key, value in table.items()}
    for key, value in values.items():
        _check_bounds(_DIGEST_ROWS[key], value, f"{origin}: ")
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
        values = {key: _convert(_known(key, origin, _MODEL_ROWS), value, origin) for key, value in table.items()}
        for key, value in values.items():
            _check_bounds(_MODEL_ROWS[key], value, f"{origin}: ")
        found[name] = ModelSettings(**values)  # type: ignore[arg-type]
    return found


def _from_environment(environment: Mapping[str, str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for variable, value in environment.items():
        if variable.startswith(PREFIX) and variable != CONFIG_VARIABLE:
            origin = f"environment variable {variable}"
            row = _known(variable.removeprefix(PREFIX).lower(), origin)
            found[row.name] = _convert(row, value, origin)
    return found


def _check_bounds(row: dataclasses.Field[Any], value: Any, origin: str = "") -> None:
    if row.name in _BOUNDS and value is not None:
        least, most = _BOUNDS[row.name]
        if not least <= value <= most:
            raise BadSetting(
                f"{origin}{row.name} is {value:,}, expected {least:,} to {most:,}", hint=_default_hint(row)
            )


def _checked(settings: Settings) -> Settings:
    for name, row in _ROWS.items():
        _check_bounds(row, getattr(settings, name))
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
        name: _convert(_known(name, "command line"), value, "command line")
        for name, value in (flags or {}).items()
        if value is not None
    }
    from_environment = _from_environment(environment)
    values = {**_from_file(path, required=is_named), **from_environment, **from_flags}
    given = frozenset((*from_environment, *from_flags))
    return _checked(dataclasses.replace(Settings(), **values, given=given))  # type: ignore[arg-type]


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
            values[name] = _convert(_ROWS[name], value, "")
            _check_bounds(_ROWS[name], values[name])
    variables = {name: environment[found] for name in PLACE if (found := PREFIX + name.upper()) in environment}
    for origin, given in (("environment", variables), ("command line", flags or {})):
        for name, value in given.items():
            if name in PLACE and value is not None:
                values[name] = _convert(_ROWS[name], value, origin)
    return dataclasses.replace(Settings(), **values), wrong  # type: ignore[arg-type]


def _lines_of_place(path: Path) -> dict[str, object]:
    """What a file says above its tables of the settings in `PLACE`, each line read by itself."""
    found: dict[str, object] = {}
    with contextlib.suppress(OSError):
        for line in path.read_text(errors="replace").splitlines():
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
