"""Names of a package that are loaded when they are first asked for: who needs one part need not hold all others."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def later(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package whose names come from these of its modules, each with the names it has.

    Worked example: `later("weighbridge.hub", {"fetching": "fetch"})("fetch")` loads `weighbridge.hub.fetching`.
    """
    places = {name: module for module, names in modules.items() for name in names.split()}

    def find(name: str) -> Any:
        module = places.get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = getattr(importlib.import_module(f"{package}.{module}"), name)
        # Found without this function from now on.
        setattr(sys.modules[package], name, found)
        return found

    return find
