"""A repository on a Hugging Face hub, or a mirror that speaks its API.

The listing is fetched by our own client and not by huggingface_hub: that reads an answer of any length, waits for it
without end, and follows redirects from https to http. The API: https://huggingface.co/docs/hub/api, /api/models/.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from weighbridge.errors import BadModelFile

from ..config import parse_json
from .access import HubAccess
from .http_answers import Remote
from .http_ranges import RangeClient, RemoteFile
from .references import Reference
from .shelf import ReadableFile, Shelf, checked_names, too_large

# 100,000 files with long names.
_MOST_LISTING_BYTES = 16 << 20


class HubShelf(Shelf):
    """The files of one commit: the listing tells the commit, and all files are read at it."""

    place = "hub"

    def __init__(self, reference: Reference, access: HubAccess) -> None:
        self.name = reference.repository
        self._base = f"{access.endpoint}/{reference.repository}"
        self._client = RangeClient(access)
        try:
            asked = f"/revision/{quote(reference.revision, safe='')}" if reference.revision else ""
            url = f"{access.endpoint}/api/models/{reference.repository}{asked}"
            label = self._base + (f" at {reference.revision}" if reference.revision else "")
            data = parse_json(
                self._client.whole(Remote(f"{url}?blobs=true", label), _MOST_LISTING_BYTES), label, _MOST_LISTING_BYTES
            )
            commit = data.get("sha")
            self.revision = commit if isinstance(commit, str) and commit.isalnum() and commit.isascii() else None
            self._at = quote(self.revision or reference.revision or "main", safe="")
            self._sizes = _sizes(data, label)
            self._sums = _sums(data)
            self._names = checked_names(self._sizes, label)
            self.wanted = reference.choose(self._names)
        except BaseException:
            self._client.close()
            raise

    @property
    def transferred(self) -> int:
        """Bytes of answers that came over the network so far."""
        return self._client.transferred

    def names(self) -> list[str]:
        """The files' names, sorted."""
        return list(self._names)

    def size(self, name: str) -> int:
        """A file's bytes, from the listing; asked for where that leaves it out."""
        remote = self._remote(name)
        size = self._sizes[name]
        if size is None:
            size = self._sizes[name] = self._client.size(remote)
        return size

    def sums(self, name: str) -> tuple[str | None, str | None]:
        """A file's sha256, which large files have, and its git blob sha1, which the others have, as the hub states."""
        return self._sums.get(name, (None, None))

    def remote(self, name: str) -> Remote:
        """A file's address at this commit."""
        return self._remote(name)

    def open(self, name: str) -> ReadableFile:
        """The file; each read is a request for just these bytes."""
        return RemoteFile(self._client, self._remote(name), self.size(name))

    def read(self, name: str, most: int) -> bytes:
        """A small file, whole, in one request."""
        remote = self._remote(name)
        size = self._sizes[name]
        if size is not None and size > most:
            raise too_large(remote.label, size, most)
        content = self._client.whole(remote, most if size is None else size)
        if size is not None and size != len(content):
            raise BadModelFile(
                f"{remote.label}: has {len(content):,} bytes, and the listing says {size:,}", hint="try again later"
            )
        return content

    def read_many(self, requests: Sequence[tuple[str, int, int]]) -> list[bytes]:
        """The bytes of each (name, offset, count), eight at a time."""
        return self._client.fetch_many([(self._remote(name), offset, count) for name, offset, count in requests])

    def label(self, name: str) -> str:
        """The file's page."""
        return f"{self._base}/blob/{self._at}/{quote(name)}"

    def close(self) -> None:
        """End connections."""
        self._client.close()

    def _remote(self, name: str) -> Remote:
        if name not in self._sizes:
            raise BadModelFile(
                f"{self._base}: has no file {name[:200]!r}", hint="the repository is not complete: choose another one"
            )
        return Remote(f"{self._base}/resolve/{self._at}/{quote(name)}", self.label(name))


def _sizes(data: dict[str, Any], label: str) -> dict[str, int | None]:
    """Each listed file's bytes; None where the hub does not say."""
    siblings = data.get("siblings")
    if not isinstance(siblings, list):
        raise BadModelFile(f"{label}: the listing has no siblings, expected a hub's", hint="check HF_ENDPOINT")
    found: dict[str, int | None] = {}
    for entry in siblings:
        name = entry.get("rfilename") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            raise BadModelFile(
                f"{label}: the listing has an entry without a name: {str(entry)[:80]}", hint="check HF_ENDPOINT"
            )
        size = entry.get("size")
        found[name] = size if type(size) is int and size >= 0 else None
    return found


def _sums(data: dict[str, Any]) -> dict[str, tuple[str | None, str | None]]:
    """Each listed file's sha256 and git sha1. A large file's blob in git is a pointer: its sha1 says nothing of it."""
    found = {}
    for entry in data["siblings"]:
        lfs = entry.get("lfs")
        sha256 = _hexadecimal(lfs.get("sha256") or lfs.get("oid"), 64) if isinstance(lfs, dict) else None
        found[entry["rfilename"]] = sha256, None if isinstance(lfs, dict) else _hexadecimal(entry.get("blobId"), 40)
    return found


def _hexadecimal(text: object, digits: int) -> str | None:
    if not isinstance(text, str):
        return None
    text = text.lower().removeprefix("sha256:")
    return text if len(text) == digits and not set(text) - set("0123456789abcdef") else None
