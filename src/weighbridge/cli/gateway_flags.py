"""The flags that say which gateway a command speaks to, or how one shall be."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from weighbridge import settings
from weighbridge.cli import output
from weighbridge.openai_api import Client
from weighbridge.settings import UNIX, Settings


def add_address(parser: argparse.ArgumentParser) -> None:
    """`--host`, `--port`, `--api-key`, `--config`."""
    parser.add_argument("--host", metavar="ADDRESS", help="the gateway's address, or unix:/PATH (default 127.0.0.1)")
    parser.add_argument(
        "--port", type=int, metavar="N", help="the gateway's port (default 8642; for up, 0: a free one)"
    )
    parser.add_argument(
        "--api-key", metavar="KEY", help="better in WEIGHBRIDGE_API_KEY, where no list of processes shows it"
    )
    parser.add_argument("--config", metavar="FILE", help="a TOML file of settings")


def add_planning(parser: argparse.ArgumentParser) -> None:
    """What a plan depends on, by the names that the remedies of `weigh fit` use."""
    parser.add_argument(
        "--context", type=int, metavar="N", help="tokens of context for each request (default: the model's, to 8192)"
    )
    parser.add_argument("--cache-type-k", metavar="T", help="type of keys: f16, q8_0, q4_0 ... (default f16)")
    parser.add_argument("--cache-type-v", metavar="T", help="type of values")
    parser.add_argument("--ubatch", type=int, metavar="U", help="tokens a step (default 512)")
    parser.add_argument("--threads", type=int, metavar="T", help="threads a model computes with")


def planning(arguments: argparse.Namespace) -> dict[str, object]:
    """Those flags as settings."""
    return {
        "context_tokens": arguments.context,
        "cache_type_k": arguments.cache_type_k,
        "cache_type_v": arguments.cache_type_v,
        "ubatch_tokens": arguments.ubatch,
        "threads": arguments.threads,
    }


def api_at(url: str) -> str:
    """Where the OpenAI API of a gateway is, in words: a socket's path has no place for a path within it."""
    return f"{url}, path /v1" if url.startswith(UNIX) else f"{url}/v1"


def client_of(settings: Settings, url: str | None = None) -> Client:
    """A client of the gateway that listens as the settings say, or of one at another address that is as these say.

    With TLS it must show the very certificate of the settings, where that file is here: it may be nobody's but its own,
    and made out to another name than the one by which it is reached. Or the one that the gateway of this state
    folder shows now: the settings' may be new, and not taken up yet.
    """
    named = [Path(settings.tls_certificate).expanduser()] if settings.tls_certificate else []
    trusted = [file for file in (*named, settings.shown_certificate) if named and os.access(file, os.R_OK)]
    return Client(url or settings.url, settings.api_key, trusted)


def read_place(arguments: argparse.Namespace, **more: object) -> Settings:
    """Where the gateway is and its state, by these flags and settings; what else is wrong with the settings is a
    warning, and keeps nobody from looking at the gateway or ending it."""
    flags = {name: getattr(arguments, name, None) for name in ("host", "port", "api_key")}
    found, wrong = settings.load_place({**flags, **more}, config=arguments.config)
    if wrong is not None:
        output.tell(f"warning: {wrong}")
        output.tell(f"  {wrong.hint}; this goes on with {found.url} and {found.state_path}")
    return found


def read_settings(arguments: argparse.Namespace, **more: object) -> Settings:
    """The settings with these flags laid over them."""
    flags = {"host": arguments.host, "port": arguments.port, "api_key": arguments.api_key, **more}
    return settings.load(flags, config=arguments.config)
