"""`weigh`: finds the command's module, and turns what goes wrong into one line what and one line how to mend it."""

from __future__ import annotations

import argparse
import ast
import errno
import importlib
import io
import os
import pkgutil
import sys
import textwrap
import traceback
from pathlib import Path
from typing import Any, NoReturn, Protocol, cast

from weighbridge import __version__
from weighbridge.disk import DISK_IS_FULL
from weighbridge.errors import EngineFailed, WeighbridgeError

from . import commands
from .output import tell, width

DONE, YOURS_TO_MEND, OUR_FAULT, INTERRUPTED = 0, 1, 2, 130
# What a path, its permissions or its disk are at fault for, wherever it comes up.
_OF_THE_DISK = frozenset({
    *DISK_IS_FULL, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO,
    errno.ENAMETOOLONG, errno.ELOOP,
})  # fmt: skip


class Command(Protocol):
    """What a module in `commands` offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare its arguments."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; the exit code."""


class _Parser(argparse.ArgumentParser):
    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        print(f"weigh: {message}\n  {self.prog} --help shows what there is", file=sys.stderr)
        raise SystemExit(YOURS_TO_MEND)


def command_names() -> list[str]:
    """All commands, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(commands.__path__))


def documentation(name: str) -> str:
    """A command's docstring, read from its source: the command itself, with all that it imports, is not loaded."""
    source = Path(commands.__path__[0], f"{name}.py").read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source)) or ""


def _wrapped(text: str) -> str:
    """A docstring in the terminal's width; an example stays as it is."""
    paragraphs = text.split("\n\n")
    return "\n\n".join(
        part if part.startswith("example:") else textwrap.fill(" ".join(part.split()), width() - 2)
        for part in paragraphs
    )


def _overview() -> str:
    lines = [
        textwrap.fill(
            documentation(name).splitlines()[0], width() - 2, initial_indent=f"  {name:<10}", subsequent_indent=" " * 12
        )
        for name in command_names()
    ]
    return "\n".join(["commands:", *lines, "", 'example:\n  weigh up --once "What is 37 plus 58?"'])


def parser_of(name: str) -> tuple[argparse.ArgumentParser, Command]:
    """A command's parser, and the command."""
    command = cast("Command", importlib.import_module(f"{commands.__name__}.{name}"))
    parser = _Parser(
        prog=f"weigh {name}",
        description=_wrapped(documentation(name)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_arguments(parser)
    return parser, command


def main(arguments: list[str] | None = None) -> int:
    """Run the command that the arguments name; the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that can't show a sign shows another, and nothing fails for it.
            stream.reconfigure(errors="replace")
    top = _Parser(
        prog="weigh",
        description="What an open-weight model is, whether it runs here, and a door to those that do.",
        epilog=_overview() if not given or given[0] in ("-h", "--help") else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="weigh COMMAND [ARGUMENTS]",
    )
    top.add_argument("--version", action="version", version=f"weigh {__version__}")
    top.add_argument("command", choices=command_names(), help=argparse.SUPPRESS)
    if not given:
        top.print_help()
        return YOURS_TO_MEND
    chosen = top.parse_args(given[:1])
    return _run(chosen.command, given[1:])


def _run(name: str, given: list[str]) -> int:
    """Run a command with its arguments, and say what goes wrong; the exit code."""
    try:
        # Loading a command takes long enough to be stopped in.
        parser, command = parser_of(name)
        code = command.run(parser.parse_args(given))
        # What cannot be printed is told here, and not when Python ends.
        sys.stdout.flush()
        return code
    except WeighbridgeError as error:
        tell(f"weigh: {error}")
        if error.hint:
            tell(f"  {error.hint}")
        if isinstance(error, EngineFailed):
            for line in error.log[-5:]:
                tell(f"  | {line}")
        return YOURS_TO_MEND
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough. Python would complain once more while it closes stdout.
        _forget_output()
        return DONE
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            return _our_fault()
        # Of what we print ourselves, or of a file that nobody guards.
        tell(f"weigh: {error.filename or 'the output'}: {error.strerror}")
        tell("  check the path and its permissions, and what room its disk has")
        if error.errno in DISK_IS_FULL:
            _forget_output()
        return YOURS_TO_MEND
    except Exception:
        return _our_fault()


def _our_fault() -> int:
    """Print what is being raised; the exit code."""
    traceback.print_exc()
    print("weigh: this is a fault of weighbridge; please report it with the lines above", file=sys.stderr)
    return OUR_FAULT


def _forget_output() -> None:
    """What is not printed yet goes nowhere: nobody takes it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
