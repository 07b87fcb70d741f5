"""Compiles src/weighbridge/facts/walk.c when the package is installed or a wheel is built.

Without a compiler the package is whole too: the same loops in Python take its place.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import sys_tags

_SOURCE = "src/weighbridge/facts/walk.c"
_LIBRARY = "src/weighbridge/facts/_walk.so"


class WalkBuildHook(BuildHookInterface[Any]):
    """Puts the library beside its source, where an editable install finds it, and into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile; `version` is "standard" or "editable"."""
        library = Path(self.root, _LIBRARY)
        # One from another machine, or from an older source, is worse than none.
        library.unlink(missing_ok=True)
        problem = _compile(Path(self.root, _SOURCE), library)
        if problem:
            self.app.display_warning(f"{_SOURCE} was not compiled, large GGUF headers are read slowly: {problem}")
            return
        # Git ignores the library, and hatchling what git ignores.
        build_data["artifacts"].append(_LIBRARY)
        build_data["pure_python"] = False
        # The library knows nothing of Python, so it fits any; it is not held to be fit for any Linux.
        platform = next(tag.platform for tag in sys_tags() if "manylinux" not in tag.platform)
        build_data["tag"] = f"py3-none-{platform}"


def _compile(source: Path, library: Path) -> str | None:
    """Compile it; what went wrong, or None."""
    named = os.environ.get("CC")
    compiler = shlex.split(named) if named else [next(filter(shutil.which, ("cc", "gcc", "clang")), "")]
    if not compiler or not shutil.which(compiler[0]):
        return f"no C compiler {named}" if named else "no C compiler was found"
    # Written beside and renamed: a running process may have the old one loaded.
    built = library.with_suffix(f".{os.getpid()}")
    command = [*compiler, "-std=c99", "-O3", "-fPIC", "-shared", "-o", str(built), str(source)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            return (done.stderr or done.stdout).strip()[-500:] or f"{compiler[0]} ended with {done.returncode}"
        built.replace(library)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    finally:
        built.unlink(missing_ok=True)
    return None
