"""The flags that say which gateway a command speaks to, or how one shall be."""

from __future__ import annotations

import argparse

from weighbridge import settings
from weighbridge.settings import Settings


def add_address(parser: argparse.ArgumentParser) -> None:
    """`--host`, `--port`, `--api-key`, `--config`."""
    parser.add_argument("--host", metavar="ADDRESS", help="the gateway's address (default 127.0.0.1)")
    parser.add_argument(
        "--port", type=int, metavar="N", help="the gateway's port (default 8642; for up, 0: a free one)"
    )
    parser.add_argument(
        "--api-key", metavar="KEY", help="better in WEIGHBRIDGE_API_KEY, where no list of processes shows it"
    )
    parser.add_argument("--config", metavar="FILE", help="a TOML file of settings")


def read_settings(arguments: argparse.Namespace, **more: object) -> Settings:
    """The settings with these flags laid over them."""
    flags = {"host": arguments.host, "port": arguments.port, "api_key": arguments.api_key, **more}
    return settings.load(flags, config=arguments.config)
