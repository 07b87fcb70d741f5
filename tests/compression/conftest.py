"""Variants of the bundled specialists, made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.compression.variants import remake
from weighbridge.specialists import bundled


@pytest.fixture(scope="session")
def variant(tmp_path_factory) -> Callable[[str, str], Path]:
    """A bundled specialist's file in another type."""
    folder = tmp_path_factory.mktemp("variants")

    def made(name: str, kind: str) -> Path:
        path = folder / f"{name}-{kind}.gguf"
        return path if path.exists() else remake(bundled()[name], path, kind)

    return made
