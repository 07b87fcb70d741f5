"""Small models that come with the package: each does one narrow job, and says so on its card."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent


def bundled() -> dict[str, Path]:
    """The bundled models' files by name, sorted."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.gguf"))}


def bundled_file(name: str) -> Path | None:
    """The bundled model that a name means; None where there is none, or a path of that name."""
    path = bundled().get(name)
    return None if path is None or Path(name).exists() else path
