"""Where pages, releases and counts come from: a module a kind, found by its name: `KIND:WHAT`, like `hf:trending`.

A module has `HINT`, the forms that WHAT may have; `check(what)`, which raises BadSetting; and `read(what, reader,
cursor)`, which yields a `Step` for each part that is kept together.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Protocol, cast

from weighbridge.digest.found import Step
from weighbridge.errors import BadSetting

from .reader import Endpoints, Reader

__all__ = ["Endpoints", "Reader", "Source", "kinds", "source"]
_NO_KINDS = frozenset({"reader"})


class _Module(Protocol):
    HINT: str

    def check(self, what: str) -> None:
        """Raises BadSetting."""

    def read(self, what: str, reader: Reader, cursor: str | None) -> Iterator[Step]:
        """What the source has, from `cursor` on."""


class Source:
    """One that is followed, by its text: `github:ggml-org/llama.cpp`."""

    def __init__(self, text: str, kind: str, what: str, module: _Module) -> None:
        self.text, self.kind, self.what = text, kind, what
        self._module = module

    @property
    def is_local(self) -> bool:
        """Whether it is read without a network."""
        return self.kind == "file"

    def read(self, reader: Reader, cursor: str | None = None) -> Iterator[Step]:
        """What it has, from `cursor` on. Raises WeighbridgeError."""
        return self._module.read(self.what, reader, cursor)


def kinds() -> list[str]:
    """All kinds, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in _NO_KINDS)


def source(text: str) -> Source:
    """The source that a text names. Raises BadSetting."""
    kind, colon, what = text.strip().partition(":")
    if not colon or kind not in kinds() or not what or not text.isprintable() or len(text) > 2000:
        hints = [cast("_Module", importlib.import_module(f".{each}", __name__)).HINT for each in kinds()]
        raise BadSetting(f"{text[:200]!r} is no source", hint=f"one of: {', '.join(hints)}")
    module = cast("_Module", importlib.import_module(f".{kind}", __name__))
    module.check(what)
    return Source(f"{kind}:{what}", kind, what, module)
