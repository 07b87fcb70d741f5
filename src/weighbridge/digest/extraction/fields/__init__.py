"""What may be said of a model: a module a kind of statement, found by its name.

A module has `find(scene) -> Iterator[Found]`. It yields what a sentence, an item or a cell says, whoever is meant.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Iterator

from ..scene import Found, Scene

Finder = Callable[[Scene], Iterator[Found]]


@functools.cache
def finders() -> tuple[Finder, ...]:
    """Every module's `find`, by the modules' names."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return tuple(importlib.import_module(f"{__name__}.{name}").find for name in names)
