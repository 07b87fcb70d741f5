"""What quick.c reads in one pass, where it was compiled from the source that is here; else the same in Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from weighbridge import openai_api

_VERSION = 2
"""As in quick.c."""

try:
    from . import _quick  # type: ignore[attr-defined,unused-ignore]  # compiled when the package is installed
except ImportError:  # no compiler, or no headers of Python, was there then
    _quick = None

compiled: Any = _quick if getattr(_quick, "VERSION", 0) == _VERSION else None
"""The module that was compiled, or None."""

Spans = dict[str, tuple[int, int]]

outline: Callable[[bytes], tuple[Spans, str | None, bool, bool] | None]
"""Of a body that is a plain JSON object: where the value of each key of the top level begins and ends, `model`,
`stream`, and whether `messages` is a list of objects, and of one at least; None where it is not plain."""
usage_of: Callable[[bytes], dict[str, int]]
"""As `openai_api.usage_of`."""
if compiled is None:
    outline, usage_of = lambda raw: None, openai_api.usage_of
else:
    outline, usage_of = compiled.outline, compiled.usage_of
