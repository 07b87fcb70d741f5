"""YAML of other harnesses: read without running anything, and templates without reaching anything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import StrictUndefined, TemplateError
from jinja2.exceptions import SecurityError
from jinja2.sandbox import SandboxedEnvironment

from weighbridge.errors import BadTask

_MOST_BYTES, _MOST_PARTS, _MOST_DEPTH = 64 << 20, 1_000_000, 64
_MOST_PRODUCT, _MOST_POWER = 10_000_000, 1000


class Function:
    """A `!function` of lm-eval: Python that would have to be run."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Loader(yaml.SafeLoader):
    """YAML's safe types, and `!function` as a mark."""


_Loader.add_constructor("!function", lambda _, node: Function(str(node.value)))


def load(path: Path) -> Any:
    """What a YAML file holds. BadTask where it is none, where its aliases make much of little, or hold themselves."""
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise BadTask(
                f"{path}: is larger than {_MOST_BYTES:,} bytes", hint="keep samples in a file beside it: JSONL"
            )
        found = yaml.load(text.decode("utf-8"), _Loader)  # noqa: S506  (a safe loader, with a mark more)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise BadTask(f"{path}: {' '.join(str(error).split())}", hint="is it YAML?") from error
    if _is_too_much(found):
        raise BadTask(
            f"{path}: unfolds to more than {_MOST_PARTS:,} values, or {_MOST_DEPTH} levels",
            hint="write it with fewer aliases",
        )
    return found


def _is_too_much(found: Any) -> bool:
    """Whether there is more in it than anybody writes, counting a value as often as an alias names it."""
    left, count = [(found, 0)], 0
    while left:
        value, depth = left.pop()
        count += 1
        if depth > _MOST_DEPTH or count > _MOST_PARTS:
            return True
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        left += [(part, depth + 1) for part in parts]
    return False


class _Environment(SandboxedEnvironment):
    """Jinja's sandbox, in which no product is larger than any text that a model is asked."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """The product or power, unless it is too large."""
        sizes = [len(each) if isinstance(each, str | list | tuple) else abs(each) for each in (left, right)]
        if (operator == "*" and sizes[0] * sizes[1] > _MOST_PRODUCT) or (operator == "**" and max(sizes) > _MOST_POWER):
            raise SecurityError(f"{operator} gives more than may be written")
        return super().call_binop(context, operator, left, right)


def _environment() -> SandboxedEnvironment:
    environment = _Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    environment.filters["regex_replace"] = lambda text, pattern, new="", count=0: re.sub(
        pattern, new, text, count=count
    )
    return environment


_ENVIRONMENT = _environment()


@lru_cache(maxsize=1024)
def _template(text: str) -> Any:
    return _ENVIRONMENT.from_string(text)


def render(text: str, values: Mapping[str, Any], place: str) -> str:
    """A template with the values put in, in a sandbox. BadTask where it asks for what is not there."""
    if "{" not in text:
        return text
    try:
        return str(_template(text).render(**{str(key): value for key, value in values.items()}))
    except (TemplateError, re.error, TypeError, ValueError, ArithmeticError) as error:
        raise BadTask(
            f"{place}: the template {text[:80]!r}: {error}", hint="does the data have these fields?"
        ) from error
