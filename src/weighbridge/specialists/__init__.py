"""Small models that come with the package: each does one narrow job, and says so on its card."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent


def bundled() -> dict[str, Path]:
    """The bundled models' files by name, sorted."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.gguf"))}
