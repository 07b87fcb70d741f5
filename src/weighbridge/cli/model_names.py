"""From what a user names to what `hub` finds: paths, bundled models, repositories, and the catalogue's names."""

from __future__ import annotations

import re
from pathlib import Path

from weighbridge import catalogue
from weighbridge.errors import UnknownModel
from weighbridge.facts import HubAccess
from weighbridge.facts.shelves.references import parse
from weighbridge.specialists import bundled_file

PLACES = {"hf_cache": "cache", "lmstudio": "LM Studio", "ollama": "Ollama", "url": "address"}
"""Where models lie, as people read it."""
_SCHEMES = ("http://", "https://", "ollama:", "lmstudio:", "hf://")


def source_of(name: str, access: HubAccess, folder: Path) -> str:
    """The source that a name means. A name of the catalogue, `qwen3-8b` or `qwen3-8b:Q6_K`, means the GGUF repository
    of that model that is fetched most, or the maker's own where there is none.

    Raises UnknownModel or AmbiguousModel, with the nearest names.
    """
    if path := bundled_file(name):
        return str(path)
    if _is_source(name, access):
        return name
    plain, _, quantization = name.partition(":")
    variant = catalogue.resolve(plain, folder)
    ggufs = [repository for repository in variant.repositories if repository.format == "gguf"]
    if quantization:
        wanted = quantization.lower()
        ggufs = [each for each in ggufs if wanted in map(str.lower, each.quantizations)] or ggufs
    if ggufs:
        best = max(ggufs, key=lambda repository: repository.downloads or 0)
        return best.name + (f":{quantization}" if quantization else "")
    if quantization:
        raise UnknownModel(
            f"{variant.name}: no GGUF repository of it is known, so there is no {quantization}",
            hint=f"its own files are in {variant.repository}",
        )
    return variant.repository


def _is_source(name: str, access: HubAccess) -> bool:
    if name.startswith(_SCHEMES) or re.match(r"[./~]", name) or parse(name, access.endpoint) is not None:
        return True
    try:
        # A file that is not there is told as that, and not as a model that nobody knows.
        return Path(name).exists() or name.endswith((".gguf", ".safetensors"))
    except (OSError, ValueError):
        return False
