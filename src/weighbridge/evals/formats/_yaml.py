"""YAML of other harnesses: read without running anything, and templates without reaching anything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from weighbridge.errors import BadTask


class Function:
    """A `!function` of lm-eval: Python that would have to be run."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Loader(yaml.SafeLoader):
    """YAML's safe types, and `!function` as a mark."""


_Loader.add_constructor("!function", lambda _, node: Function(str(node.value)))


def load(path: Path) -> Any:
    """What a YAML file holds. BadTask where it is none."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506  (a safe loader, with a mark more)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise BadTask(f"{path}: {' '.join(str(error).split())}", hint="is it YAML?") from error


def _environment() -> SandboxedEnvironment:
    environment = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
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
