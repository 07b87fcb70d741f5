"""Make, list and revoke the keys that let others use the gateway.

A key is shown once, when it is made; what is kept is its SHA-256. Once there is one, every request needs a key: one of
these, or the operator's in the setting api_key. A gateway that runs sees a key that is made or revoked at once. Limits
that are not given do not hold; a key is for models alone, unless it is made with --admin.

example:
  weigh key create anna --models coder,auto:fast --expires 90d
"""

from __future__ import annotations

import argparse
import re
import time
from datetime import UTC, datetime
from typing import Any

from weighbridge.cli import output
from weighbridge.cli.gateway_flags import read_place
from weighbridge.errors import BadSetting
from weighbridge.gateway import keys
from weighbridge.gateway.keys import Key, Use
from weighbridge.settings import Settings

_SPAN = re.compile(r"(\d{1,6})([smhdw])")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LIMITS = ("requests_per_minute", "tokens_per_minute", "tokens_per_day", "concurrency")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("action", choices=("create", "list", "revoke", "rm"), help="what to do; rm is revoke")
    parser.add_argument("name", nargs="?", metavar="NAME", help="the key's name")
    parser.add_argument(
        "--models",
        metavar="LIST",
        help="models and policies (auto:fast) that it may ask for, by commas (default all)",
    )
    parser.add_argument("--requests-per-minute", type=_count, metavar="N", help="requests that it may make in a minute")
    parser.add_argument("--tokens-per-minute", type=_count, metavar="N", help="tokens, prompts and answers together")
    parser.add_argument("--tokens-per-day", type=_count, metavar="N", help="tokens from midnight to midnight, UTC")
    parser.add_argument("--concurrency", type=_count, metavar="N", help="requests at once")
    parser.add_argument(
        "--expires", type=_moment, metavar="WHEN", help="when it ends: 12h, 90d, 4w from now, or a day: 2027-01-31"
    )
    parser.add_argument("--admin", action="store_true", help="it may see and change the gateway itself too")
    parser.add_argument("--json", action="store_true", help="print the same data as JSON")
    parser.add_argument("--config", metavar="FILE", help="a TOML file of settings")


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    # Not where it listens counts here but where its state is; and whoever makes the first key for a gateway that others
    # shall reach has none yet.
    chosen = read_place(arguments, host="127.0.0.1")
    if arguments.action == "list":
        _list(arguments, chosen)
        return 0
    if arguments.name is None:
        raise BadSetting(f"{arguments.action} needs a name", hint=f"weigh key {arguments.action} NAME")
    if arguments.action == "create":
        _create(arguments, chosen)
    else:
        key = keys.revoke(chosen.keys_path, arguments.name)
        output.tell(f"revoked {key.name}: it is refused from now on; answers that have begun are given to their end")
        if arguments.json:
            print(output.to_json({"revoked": key.name}))
    return 0


def _create(arguments: argparse.Namespace, chosen: Settings) -> None:
    models = None if arguments.models is None else tuple(filter(None, map(str.strip, arguments.models.split(","))))
    is_first = not keys.read(chosen.keys_path)
    key, secret = keys.create(
        chosen.keys_path,
        arguments.name,
        expires=arguments.expires,
        admin=arguments.admin,
        models=models,
        **{limit: getattr(arguments, limit) for limit in _LIMITS},
    )
    if arguments.json:
        print(output.to_json({"key": secret, **_shown(key, None)}))
    else:
        print(secret)
    output.tell("this is the only time that it is shown")
    if is_first and not chosen.api_key:
        output.tell(
            "from now on every request needs a key; for weigh ps, chat and stop set WEIGHBRIDGE_API_KEY to one made "
            "with --admin"
        )


def _list(arguments: argparse.Namespace, chosen: Settings) -> None:
    found = keys.read(chosen.keys_path)
    used = keys.uses(chosen.state_path) if found else {}
    if arguments.json:
        print(output.to_json({"keys": [_shown(key, used.get(key.id)) for key in found]}))
        return
    if not found:
        output.tell("there are no keys; weigh key create NAME makes one")
        return
    head = ("name", "created", "expires", "last used", "models", "limits")
    print(output.table(head, [_row(key, used.get(key.id)) for key in found], droppable=(1, 3)))


def _shown(key: Key, use: Use | None) -> dict[str, Any]:
    """A key as data: all but its sum, by which nobody could tell it."""
    return {
        "name": key.name,
        "created": _time(key.created),
        "expires": _time(key.expires),
        "last_used": _time(use.used_at if use else None),
        "tokens_today": use.tokens if use and use.day == keys.today(time.time()) else 0,
        "admin": key.admin,
        "models": key.models,
        **{limit: getattr(key, limit) for limit in _LIMITS},
    }


def _row(key: Key, use: Use | None) -> tuple[str, ...]:
    words = [f"{getattr(key, limit):,} {name}" for limit, name in zip(_LIMITS, _SHORT, strict=True)
             if getattr(key, limit) is not None]  # fmt: skip
    ended = key.expires is not None and key.expires < time.time()
    return (
        key.name + (" (admin)" if key.admin else ""),
        _day(key.created),
        "never" if key.expires is None else _day(key.expires) + (" (over)" if ended else ""),
        _minute(use.used_at) if use else "never",
        "all" if key.models is None else ", ".join(key.models) or "none",
        ", ".join(words) or "none",
    )


_SHORT = ("req/min", "tok/min", "tok/day", "at once")


def _time(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")


def _minute(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M")


def _count(text: str) -> int:
    if not text.isdecimal() or len(text) > 15:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)


def _moment(text: str) -> float:
    """When a key ends, in seconds since 1970."""
    span = _SPAN.fullmatch(text)
    if span:
        return time.time() + int(span[1]) * _UNIT_SECONDS[span[2]]
    try:
        moment = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a span like 90d nor a day like 2027-01-31") from None
    if moment <= time.time():
        raise argparse.ArgumentTypeError(f"{text} has begun already: the key would never be good")
    return moment
