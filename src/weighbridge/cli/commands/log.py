"""What was asked and answered: the ledger's rows, and the proof that nobody changed them.

Without an action the last requests are shown; `verify` checks every row and names the first that was changed, removed,
put in or moved (exit code 1); `head` prints the newest row's hash, to be noted elsewhere, and `verify --head HASH`
proves all rows up to a hash that was noted; `export` prints whole rows, one a line. What engines say is told by
`weigh logs`.

example:
  weigh log --model arithmetic --since 2h --errors
"""

from __future__ import annotations

import argparse
import csv
import datetime
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from weighbridge import ledger
from weighbridge.cli import output
from weighbridge.cli.flag_values import whole
from weighbridge.cli.gateway_flags import read_place
from weighbridge.errors import BadSetting
from weighbridge.ledger import Row, Served, Verdict, folder_of

_AGES = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w)")
_HASH = re.compile("[0-9a-fA-F]{64}")
_COLUMNS = ("time", "chain", "number", "hash", *(name for name in Served._fields if name != "at"))
_SHOWN = ("time", "model", "route", "key", "status", "in", "out", "first", "total", "tok/s", "how it ended")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument(
        "action", nargs="?", default="show", choices=("show", "verify", "head", "export"), metavar="ACTION",
        help="show (the default), verify, head or export",
    )  # fmt: skip
    parser.add_argument("-n", "--lines", type=whole(1, 1_000_000), metavar="N", help="show the last N (default 20)")
    parser.add_argument("-f", "--follow", action="store_true", help="show what comes, until Ctrl-C")
    parser.add_argument("--model", metavar="NAME", help="only requests that this model answered")
    parser.add_argument("--key", metavar="NAME", help="only requests with this key")
    parser.add_argument("--since", metavar="WHEN", help="only from then on: 30min, 2h, 7d, or 2026-11-21T08:00")
    parser.add_argument("--errors", action="store_true", help="only requests that did not end well")
    parser.add_argument("--head", metavar="HASH", help="verify: a hash that was noted, and must still be there")
    parser.add_argument("--format", choices=("jsonl", "csv"), help="export: how (default jsonl)")
    parser.add_argument("--ledger", metavar="FOLDER", help="another ledger, such as a copy (default: the gateway's)")
    parser.add_argument("--json", action="store_true", help="print the same data as JSON")
    parser.add_argument("--config", metavar="FILE", help="a TOML file of settings")


def run(arguments: argparse.Namespace) -> int:
    """Do what the action says."""
    _refuse_what_does_nothing(arguments)
    folder = Path(arguments.ledger) if arguments.ledger else folder_of(read_place(arguments).state_path)
    if arguments.action == "verify":
        return _verify(folder, arguments)
    if arguments.action == "head":
        return _head(folder, arguments)
    if arguments.ledger and not folder.is_dir():
        raise BadSetting(f"{folder}: there is no ledger", hint="--ledger names a copy of the folder `ledger`")
    wanted, since = _wanted(arguments), _since(arguments.since)
    if arguments.action == "export":
        return _export(ledger.rows(folder, since=since, wanted=wanted), arguments.format or "jsonl")
    return _show(folder, arguments, wanted, since)


# Which flags say something to which actions.
_FILTERS = frozenset({"--model", "--key", "--since", "--errors"})
_HEEDED = {
    "show": _FILTERS | {"--lines", "--follow", "--json"},
    "verify": frozenset({"--head", "--json"}),
    "head": frozenset({"--json"}),
    "export": _FILTERS | {"--format"},
}


def _refuse_what_does_nothing(arguments: argparse.Namespace) -> None:
    """BadSetting for a flag that the action would pass over in silence."""
    for flag in sorted(frozenset().union(*_HEEDED.values()) - _HEEDED[arguments.action]):
        if getattr(arguments, flag.removeprefix("--")):
            heeds = " and ".join(action for action, flags in _HEEDED.items() if flag in flags)
            raise BadSetting(f"{flag} says nothing to `weigh log {arguments.action}`", hint=f"it is for {heeds}")


def _since(text: str | None) -> datetime.datetime | None:
    """A point in time, from an age or a date. BadSetting where it is neither."""
    if text is None:
        return None
    if found := _AGE.fullmatch(text):
        seconds = float(found[1]) * _AGES[found[2]]
        return datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=min(seconds, 3e9))
    try:
        return datetime.datetime.fromisoformat(text).astimezone(datetime.UTC)
    except (ValueError, OverflowError) as error:
        raise BadSetting(f"--since {text!r} is no time", hint="e.g. 30min, 2h, 7d, or 2026-11-21T08:00") from error


def _is_error(row: Row) -> bool:
    return row.fields.get("outcome") not in ("done", "dropped") or (row.fields.get("status") or 0) >= 400


def _wanted(arguments: argparse.Namespace) -> Callable[[Row], bool]:
    def wanted(row: Row) -> bool:
        if arguments.action == "export" and not (arguments.model or arguments.key or arguments.errors):
            return True
        return (
            row.kind == "request"
            and (arguments.model is None or row.fields.get("model") == arguments.model)
            and (arguments.key is None or row.fields.get("key") == arguments.key)
            and (not arguments.errors or _is_error(row))
        )

    return wanted


def _plain(row: Row) -> dict[str, Any]:
    return {**row.fields, "chain": row.chain, "hash": row.hash}


def _show(
    folder: Path, arguments: argparse.Namespace, wanted: Callable[[Row], bool], since: datetime.datetime | None
) -> int:
    found = ledger.last(folder, arguments.lines or 20, since=since, wanted=wanted)
    if arguments.follow:
        return _follow(chain(found, (row for row in ledger.follow(folder) if wanted(row))), is_json=arguments.json)
    if arguments.json:
        print(output.to_json([_plain(row) for row in found]))
    elif found:
        print(output.table(_SHOWN, [_cells(row) for row in found], right=range(5, 10), droppable=(3, 9, 7, 2)))
    else:
        output.tell(f"no such request in {folder}")
    return 0


def _follow(found: Iterable[Row], *, is_json: bool) -> int:
    for row in found:
        if is_json:
            print(output.to_json(_plain(row), indent=None), flush=True)
        else:
            time, model, route, key, status, read, made, first, total, speed, end = _cells(row)
            told = (
                f"{time}  {model}  {route}  {key}  {status}",
                "" if (read, made) == ("-", "-") else f"{read} + {made} tokens",
                f"first {first}" if first != "-" else "",
                f"total {total}",
                f"{speed} tok/s" if speed != "-" else "",
                end,
            )
            print(output.printable("  ".join(filter(None, told))), flush=True)
    return 0


def _cells(row: Row) -> tuple[str, ...]:
    said = row.fields
    time = row.time.astimezone()
    today = datetime.datetime.now().astimezone().date()
    first, total, made = said.get("first_us"), said.get("total_us"), said.get("completion_tokens")
    speed = "-"
    if said.get("stream") and made and made > 1 and first is not None and total and total > first:
        speed = f"{(made - 1) / (total - first) * 1e6:.0f}"
    end = str(said.get("error") or "") or {"gone": "client left"}.get(str(said.get("outcome")), "")
    if said.get("status") is None and said.get("outcome") != "gone":
        end = f"not used: {end}" if end else "not used"
    return (
        time.strftime("%H:%M:%S" if time.date() == today else "%Y-%m-%d %H:%M"),
        str(said.get("model") or (f"({said['asked']})" if said.get("asked") else "-")),
        str(said.get("layer") or "-"),
        str(said.get("key") or "-"),
        str(said.get("status") or "-"),
        _count(said.get("prompt_tokens")),
        _count(made),
        _seconds(first),
        _seconds(total),
        speed,
        end,
    )


def _count(tokens: int | None) -> str:
    return "-" if tokens is None else f"{tokens:,}"


def _seconds(microseconds: int | None) -> str:
    if microseconds is None:
        return "-"
    return f"{microseconds / 1000:.0f} ms" if microseconds < 1_000_000 else f"{microseconds / 1e6:.1f} s"


def _export(found: Iterator[Row], form: str) -> int:
    if form == "jsonl":
        for row in found:
            print(output.to_json(_plain(row), indent=None))
        return 0
    writer = csv.DictWriter(sys.stdout, _COLUMNS, extrasaction="ignore", restval="")
    writer.writeheader()
    for row in found:
        if row.kind == "request":
            writer.writerow({name: _harmless(value) for name, value in _plain(row).items()})
    return 0


def _harmless(value: object) -> object:
    """A cell that no spreadsheet takes for a formula: names of models are strangers' text."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value


def _head(folder: Path, arguments: argparse.Namespace) -> int:
    found = ledger.heads(folder)
    if arguments.json:
        print(output.to_json(found))
        return 0
    if not found:
        raise BadSetting(f"{folder}: there is no ledger", hint="weigh up writes one")
    for head in found:
        print(head.hash if len(found) == 1 else f"{head.hash}  chain {head.chain}, row {head.number}")
    return 0


def _verify(folder: Path, arguments: argparse.Namespace) -> int:
    if arguments.head is not None and not _HASH.fullmatch(arguments.head):
        raise BadSetting(
            f"--head {arguments.head!r} is no hash", hint="64 hexadecimal digits, as weigh log head prints"
        )
    if not folder.is_dir():
        raise BadSetting(f"{folder}: there is no ledger", hint="weigh up writes one; --ledger FOLDER checks a copy")
    verdict = ledger.verify(folder, arguments.head)
    if arguments.json:
        print(output.to_json({"untouched": verdict.is_untouched, **output.plain(verdict)}))
    else:
        for line in _told(verdict):
            print(output.printable(line))
    return 0 if verdict.is_untouched else 1


def _told(verdict: Verdict) -> Iterator[str]:
    for problem in verdict.problems:
        where = f"chain {problem.chain}, " if problem.chain else ""
        where += f"{problem.segment}, " if problem.segment else ""
        where += f"line {problem.line}, " if problem.line else ""
        yield f"{problem.kind}: {where.removesuffix(', ')}{': ' if where else ''}{problem.message}"
    yield from verdict.notes
    if verdict.is_untouched:
        yield f"untouched: {verdict.rows:,} rows follow from each other"
        for head in verdict.heads:
            yield f"head of chain {head.chain}: {head.hash} (row {head.number:,})"
    else:
        yield f"{verdict.rows:,} rows before it are sound"
