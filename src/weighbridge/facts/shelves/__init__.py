"""`open_shelf(source)`: where a model's files lie, be it a path, a cache, an Ollama store, a hub or a URL."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from weighbridge.errors import BadModelFile, SourceUnreachable

from . import local
from .access import HubAccess, Patience
from .references import parse
from .shelf import ReadableFile, Shelf

__all__ = ["HubAccess", "Patience", "ReadableFile", "Shelf", "open_shelf"]

# In the path of every file in a store of Ollama's or a cache of the hub's.
_STORED = re.compile(r"[/\\](manifests|models--[^/\\]*)[/\\]")
_KINDS = "a path, org/name of a repository (@revision, :Q4_K_M), ollama:name:tag, lmstudio:org/name, or a URL of a file"


def open_shelf(source: str | os.PathLike[str], access: HubAccess | None = None) -> Shelf:
    """The shelf that the source names; no weights are read.

    What is there as a path wins; then come ollama: and lmstudio: names, repositories in the local cache or in LM
    Studio's folder, repositories on the hub, and URLs. Raises BadModelFile for what is not there or not safe,
    SourceUnreachable for trouble on the network.
    """
    text = os.fspath(source)
    if path := _existing(text):
        if path.suffix == ".gguf" and not _STORED.search(os.path.abspath(text)):  # noqa: PTH100 - a quick look
            # The commonest source is in no store, and what looks into those takes a while to import.
            return local.at(path)
        from . import huggingface_cache, ollama

        return ollama.at(path) or huggingface_cache.at(path) or local.at(path)
    from . import huggingface_cache, lmstudio, ollama

    access = access or HubAccess()
    if not isinstance(source, str):
        raise BadModelFile(f"{text}: is not there", hint="check the path")
    if text.startswith("ollama:"):
        return ollama.entry(text.removeprefix("ollama:"), access)
    if text.startswith(lmstudio.PREFIX):
        return lmstudio.entry(text.removeprefix(lmstudio.PREFIX), access)
    if reference := parse(text, access.endpoint):
        cached = huggingface_cache.find(reference, access)
        cached = cached or lmstudio.find(reference, access)
        if cached is not None:
            return cached
        if access.offline:
            raise SourceUnreachable(
                f"{text}: HF_HUB_OFFLINE is set, and {reference.repository} is not in the cache {access.cache}",
                hint="unset HF_HUB_OFFLINE, or name a local file",
            )
        # The client for HTTP costs a tenth of a second, and most sources are files.
        from .hub import HubShelf

        return HubShelf(reference, access)
    if text.startswith(("http://", "https://")):
        from .url import UrlShelf

        return UrlShelf(text, access)
    raise BadModelFile(f"{text[:400]}: is not there", hint=f"give {_KINDS}")


def _existing(text: str) -> Path | None:
    """The path, if there is something; BadModelFile if that cannot be told."""
    try:
        path = Path(text).expanduser() if text.startswith("~") else Path(text)
        path.stat()
    except (ValueError, RuntimeError):
        return None
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            return None
        raise BadModelFile(
            f"{text[:400]}: {error.strerror or error}", hint="check the path and its permissions"
        ) from error
    return path if text else None
