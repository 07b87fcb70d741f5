"""What a model's engine said, or the gateway that serves in the background.

MODEL is the name under which the model is served, or `gateway`. What was asked and answered is in `weigh log`.

example:
  weigh logs arithmetic -n 20
"""

from __future__ import annotations

import argparse
import difflib
import os
import time
from collections import deque
from pathlib import Path
from typing import BinaryIO

from weighbridge.cli import output
from weighbridge.cli.flag_values import whole
from weighbridge.cli.gateway_flags import read_place
from weighbridge.engines import log_path
from weighbridge.errors import UnknownModel

_LOOK_SECONDS = 0.2
_BLOCK_BYTES = 1 << 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("model", metavar="MODEL", help="a model's name, or `gateway`")
    parser.add_argument(
        "-n", "--lines", type=whole(0, 1_000_000), default=50, metavar="N", help="only the last N lines (default 50)"
    )
    parser.add_argument("-f", "--follow", action="store_true", help="print on what comes, until Ctrl-C")
    parser.add_argument("--config", metavar="FILE", help="a TOML file of settings")


def run(arguments: argparse.Namespace) -> int:
    """Print the end of the log, and go on if told to."""
    logs = read_place(arguments).state_path / "logs"
    path = log_path(logs, arguments.model)
    try:
        file = path.open("rb")
    except OSError as error:
        raise _no_log(logs, arguments.model, error) from error
    with file:
        for line in _last(file, arguments.lines):
            print(_shown(line), flush=arguments.follow)
        end, inode = file.tell(), os.fstat(file.fileno()).st_ino
    if arguments.follow:
        _follow(path, end, inode)
    return 0


def _no_log(logs: Path, name: str, error: OSError) -> UnknownModel:
    there = sorted(path.stem for path in logs.glob("*.log"))
    near = difflib.get_close_matches(name, there, n=1, cutoff=0.5)
    hint = (
        f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(there)}" if there else "weigh up writes them"
    )
    return UnknownModel(f"no log of {name!r} in {logs}: {error.strerror}", hint=hint)


def _shown(line: bytes) -> str:
    return output.printable(line.decode(errors="replace").rstrip("\r\n").replace("\t", "    "))


def _last(file: BinaryIO, count: int) -> deque[bytes]:
    """The last lines of a file; of a long one only the end is read."""
    end = file.seek(0, os.SEEK_END)
    start, lines = end, 0
    while start > 0 and lines <= count:
        start = max(0, start - _BLOCK_BYTES)
        file.seek(start)
        lines = file.read(end - start).count(b"\n")
    file.seek(start)
    return deque(file.read(end - start).splitlines(), maxlen=count)


def _follow(path: Path, end: int, inode: int) -> None:
    """Print what is written on, also into a new file of the same name."""
    rest = b""
    while True:
        try:
            found = path.stat()
            if found.st_ino != inode or found.st_size < end:
                end, inode = 0, found.st_ino
            if found.st_size > end:
                with path.open("rb") as file:
                    file.seek(end)
                    *lines, rest = (rest + file.read()).split(b"\n")
                    end = file.tell()
                for line in lines:
                    print(_shown(line), flush=True)
        except FileNotFoundError:
            pass  # it is being put aside, and a new one follows
        time.sleep(_LOOK_SECONDS)
