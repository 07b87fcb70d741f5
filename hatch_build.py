"""Compiles what is written in C when the package is installed or a wheel is built.

Without a compiler, or without Python's own headers, the package is whole too: the same in Python takes its place.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any, NamedTuple

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import sys_tags


class Library(NamedTuple):
    """One source, or several, and what is made of them beside it."""

    source: str
    made: str
    loss: str
    """What is lost without it."""
    is_module: bool
    """Whether it is a module of Python, by the interface that holds from 3.11 on; else it knows nothing of Python."""
    others: tuple[str, ...] = ()
    """More sources, beside the first."""


LIBRARIES = (
    Library("src/weighbridge/facts/walk.c", "_walk.so", "large GGUF headers are read slowly", is_module=False),
    Library("src/weighbridge/ledger/rows.c", "_rows.abi3.so", "the gateway is slower", is_module=True),
    Library("src/weighbridge/routing/looks.c", "_looks.abi3.so", "routing is slower", is_module=True),
    Library(
        "src/weighbridge/gateway/wire/quick.c",
        "_quick.abi3.so",
        "the gateway is slower",
        is_module=True,
        others=("plain.c",),
    ),
)


class WalkBuildHook(BuildHookInterface[Any]):
    """Puts the libraries beside their sources, where an editable install finds them, and into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile; `version` is "standard" or "editable"."""
        made = []
        for library in LIBRARIES:
            source = Path(self.root, library.source)
            target = source.with_name(library.made)
            # One from another machine, or from an older source, is worse than none.
            target.unlink(missing_ok=True)
            problem = _compile(source, target, library)
            if problem:
                self.app.display_warning(f"{library.source} was not compiled, {library.loss}: {problem}")
                continue
            made.append(library)
            # Git ignores the library, and hatchling what git ignores.
            build_data["artifacts"].append(str(Path(library.source).with_name(library.made)))
        if not made:
            return
        build_data["pure_python"] = False
        # Each fits any Python from 3.11 on; none is held to be fit for any Linux.
        platform = next(tag.platform for tag in sys_tags() if "manylinux" not in tag.platform)
        interface = "cp311-abi3" if any(library.is_module for library in made) else "py3-none"
        build_data["tag"] = f"{interface}-{platform}"


def _compile(source: Path, target: Path, library: Library) -> str | None:
    """Compile it; what went wrong, or None."""
    named = os.environ.get("CC")
    compiler = shlex.split(named) if named else [next(filter(shutil.which, ("cc", "gcc", "clang")), "")]
    if not compiler or not shutil.which(compiler[0]):
        return f"no C compiler {named}" if named else "no C compiler was found"
    headers = Path(sysconfig.get_paths()["include"])
    if library.is_module and not (headers / "Python.h").is_file():
        return "Python's headers are not installed (on Debian: apt-get install python3-dev)"
    # Written beside and renamed: a running process may have the old one loaded.
    built = target.with_suffix(f".{os.getpid()}")
    options = [f"-I{headers}"] if library.is_module else []
    sources = [str(source), *(str(source.with_name(other)) for other in library.others)]
    command = [*compiler, "-std=c99", "-O3", "-fPIC", "-shared", *options, "-o", str(built), *sources]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            return (done.stderr or done.stdout).strip()[-500:] or f"{compiler[0]} ended with {done.returncode}"
        built.replace(target)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    finally:
        built.unlink(missing_ok=True)
    return None
