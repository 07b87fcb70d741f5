"""`Settings`: all settings, in one row each; and those of the tables for single models and for the digest."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import inf
from pathlib import Path
from typing import Any

PREFIX = "WEIGHBRIDGE_"
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
    route_embedding: str = _setting(
        "", "embedding of prompts that routing looks at too: bundled (extra `embedding`), or a folder; empty: none"
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
            if row.name in ROWS and (row.name in self.given or getattr(own, row.name) is None)
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
    def shown_certificate(self) -> Path:
        """Where a gateway that runs keeps the certificate that it shows: `tls_certificate` may name another by now."""
        return self.state_path / "shown_certificate.pem"

    @property
    def state_path(self) -> Path:
        """The folder that keeps what outlives a run: logs, keys, the ledger, what was measured and learnt."""
        if self.state_dir:
            return Path(self.state_dir).expanduser()
        base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        return Path(base) / "weighbridge"


def _rows(kind: type) -> dict[str, dataclasses.Field[Any]]:
    return {row.name: row for row in fields(kind) if "help" in row.metadata}


ROWS = _rows(Settings)
MODEL_ROWS = _rows(ModelSettings)
DIGEST_ROWS = _rows(DigestSettings)
