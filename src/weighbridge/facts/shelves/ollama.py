"""An entry of Ollama's store: a manifest lists layers, each a blob named by its hash.

The layers get names as files would have: model.gguf, mmproj.gguf, template, params.json, license, license-2. Layouts:
ollama's docs/import and its manifest package; newer entries hold safetensors, one blob a tensor, with names of their
own.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from weighbridge.errors import BadModelFile

from ..config import parse_json
from .access import HubAccess
from .local import LocalShelf
from .shelf import MOST_ENTRIES, ReadableFile, checked_name, too_many

_DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")
_PART = re.compile(r"[\w.:-]{1,256}", re.ASCII)
_MOST_MANIFEST_BYTES = 4 << 20
_KIND = "application/vnd.ollama.image."
# How a layer's kind is called as a file; the ending keeps its place when a kind occurs again.
_NAMES = {
    "model": ("model", ".gguf"),
    "projector": ("mmproj", ".gguf"),
    "adapter": ("adapter", ".gguf"),
    "template": ("template", ""),
    "system": ("system", ""),
    "prompt": ("prompt", ""),
    "license": ("license", ""),
    "params": ("params", ".json"),
    "messages": ("messages", ".json"),
    "tokenizer": ("tokenizer", ".json"),
    "tokenizer.config": ("tokenizer_config", ".json"),
}
_USUAL = ("registry.ollama.ai", "library")


class OllamaShelf(LocalShelf):
    """The layers of one entry, as files."""

    def __init__(self, store: Path, manifest: Path, name: str) -> None:
        super().__init__(store / "blobs", place="ollama", name=name)
        self._blobs = _blobs(store, manifest)
        if "model.gguf" in self._blobs:
            self.wanted = "model.gguf"

    def names(self) -> list[str]:
        """The layers' names, sorted."""
        return sorted(self._blobs)

    def open(self, name: str) -> ReadableFile:
        """The layer's blob."""
        self.size(name)
        return super().open(name)

    def size(self, name: str) -> int:
        """The blob's bytes, which must be as many as the manifest says."""
        size = super().size(name)
        promised = self._blobs[name][1]
        if size != promised:
            raise BadModelFile(
                f"{self.label(name)}: has {size:,} bytes, and the manifest says {promised:,}",
                hint=f"the download was cut off: ollama pull {self.name}",
            )
        return size

    def label(self, name: str) -> str:
        """The blob's path, and what it is."""
        return f"{self.path(name)} ({name} of {self.name})"

    def path(self, name: str) -> Path:
        """The blob's path."""
        if name not in self._blobs:
            raise BadModelFile(
                f"ollama:{self.name}: has no layer {name[:200]!r}, there are {', '.join(self.names()[:12])}",
                hint=f"fetch it again: ollama pull {self.name}",
            )
        return self._blobs[name][0]


def entry(text: str, access: HubAccess) -> OllamaShelf:
    """The entry `llama3.2:3b`, `llama3.2`, `namespace/model:tag` or `hf.co/org/name:Q4_K_M` of the store."""
    *before, last = text.split("/")
    model, _, tag = last.partition(":")
    parts = [*_USUAL[: max(0, 2 - len(before))], *before, model, tag or "latest"]
    if len(parts) != 4 or not all(_PART.fullmatch(part) and part not in (".", "..") for part in parts):
        raise BadModelFile(f"ollama:{text}: is no name of an Ollama model", hint="write it like ollama:llama3.2:3b")
    manifest = access.ollama.joinpath("manifests", *parts)
    if not manifest.is_file():
        held = _entries(access.ollama)
        raise BadModelFile(
            f"ollama:{text}: is not in the store {access.ollama}",
            hint=f"there are {', '.join(held[:12])}" if held else "set OLLAMA_MODELS to the store's folder, or pull it",
        )
    return OllamaShelf(access.ollama, manifest, _called(parts))


def names(access: HubAccess) -> list[str]:
    """The entries of the store, as Ollama shows them."""
    return _entries(access.ollama)


def at(path: Path) -> OllamaShelf | None:
    """The entry that a path in a store's manifests is; None for other paths."""
    path = path.absolute()
    for folder in (path, *path.parents):
        if folder.name == "manifests" and (folder.parent / "blobs").is_dir():
            break
        if folder == path and (folder / "manifests").is_dir() and (folder / "blobs").is_dir():
            folder = folder / "manifests"
            break
    else:
        return None
    store = folder.parent
    parts = list(path.relative_to(folder).parts) if path != store else []
    if path.is_file() and len(parts) == 4:
        return OllamaShelf(store, path, _called(parts))
    prefix = f"{_called([*parts, ''])}:" if len(parts) == 3 else ""
    held = [name for name in _entries(store) if name.startswith(prefix)]
    raise BadModelFile(
        f"{path}: belongs to an Ollama store with {len(held):,} entries, expected one entry",
        hint=f"name one: {', '.join(f'ollama:{name}' for name in held[:8])}" if held else "pull a model first",
    )


def _called(parts: list[str]) -> str:
    """The name as Ollama shows it: without the usual registry and namespace."""
    host, namespace, model, tag = parts
    shown = [namespace, model] if host == _USUAL[0] else [host, namespace, model]
    if shown[:-1] == [_USUAL[1]]:
        shown = [model]
    return "/".join(shown) + (f":{tag}" if tag else "")


def _entries(store: Path) -> list[str]:
    shelf = LocalShelf(store / "manifests")
    try:
        names = [name.split("/") for name in shelf.names()]
    except BadModelFile:
        return []
    return [_called(parts) for parts in names if len(parts) == 4]


def _blobs(store: Path, manifest: Path) -> dict[str, tuple[Path, int]]:
    """Each layer's name with its blob's path and promised size."""
    data = parse_json(LocalShelf(manifest.parent).read(manifest.name, _MOST_MANIFEST_BYTES), str(manifest))
    layers = data.get("layers")
    if not isinstance(layers, list) or not layers:
        raise BadModelFile(f"{manifest}: has no layers, expected an Ollama manifest", hint="pull the model again")
    if len(layers) > MOST_ENTRIES:
        raise too_many(str(manifest))
    found: dict[str, tuple[Path, int]] = {}
    for number, layer in enumerate(layers):
        blob = _blob(store, layer, f"{manifest}: layers[{number}]")
        name = _name(layer, str(manifest))
        if name is None:
            continue
        stem, dot, end = name.rpartition(".") if "." in name else (name, "", "")
        again = 2
        while name in found:
            name, again = f"{stem}-{again}{dot}{end}", again + 1
        found[name] = blob
    return found


def _blob(store: Path, layer: Any, label: str) -> tuple[Path, int]:
    digest = layer.get("digest") if isinstance(layer, dict) else None
    named = _DIGEST.fullmatch(digest) if isinstance(digest, str) else None
    size = layer.get("size") if isinstance(layer, dict) else None
    if not named or type(size) is not int or size < 0:
        raise BadModelFile(
            f"{label}: digest is {str(digest)[:100]!r} and size {str(size)[:40]}, expected sha256:… and a number",
            hint="the manifest is damaged: pull the model again",
        )
    # Older stores have a colon in the name.
    paths = [store / "blobs" / f"sha256{sign}{named[1]}" for sign in "-:"]
    return next((path for path in paths if path.exists()), paths[0]), size


def _name(layer: dict[str, Any], label: str) -> str | None:
    """The layer's name as a file; None for a kind that is not known here."""
    kind = str(layer.get("mediaType", ""))
    if not kind.startswith(_KIND):
        return None
    kind = kind.removeprefix(_KIND)
    own = layer.get("name")
    if kind in ("tensor", "json") and isinstance(own, str):
        end = ".safetensors" if kind == "tensor" else ".json"
        return checked_name(own if own.endswith(end) else own + end, label)
    return "".join(_NAMES[kind]) if kind in _NAMES else None
