"""A single file on a web server, with the files beside it that belong to it by their names."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

from weighbridge.errors import BadModelFile

from ..config import MOST_INDEX_BYTES, parse_json
from .access import HubAccess
from .http_answers import AccessRefused, Remote, shown
from .http_ranges import RangeClient, RemoteFile
from .references import parts_of, title_of
from .shelf import ReadableFile, Shelf, checked_name, checked_names

# What lies beside weights and tells more about them. A web server lists nothing: each is asked for.
_BESIDE = (
    "config.json",
    "generation_config.json",
    "model.safetensors.index.json",
    "tokenizer_config.json",
)


class UrlShelf(Shelf):
    """A file by its address. A .gguf brings its other parts; others bring the shards and configs that are there."""

    place = "url"

    def __init__(self, url: str, access: HubAccess) -> None:
        self._address = _parts(url)
        folder, _, last = self._address.path.rpartition("/")
        self._folder = folder
        self.wanted = checked_name(unquote(last), shown(url)) if last else ""
        # As with a file on this machine: a config or a safetensors file is called alike everywhere.
        is_gguf = self.wanted.endswith(".gguf")
        self.name = title_of(self.wanted) if is_gguf else unquote(folder.rpartition("/")[2]) or self.wanted
        if not self.wanted:
            raise BadModelFile(
                f"{shown(url)}: names no file", hint="give the address of one .gguf, .safetensors or config.json"
            )
        self._sizes: dict[str, int] = {}
        self._names: list[str] | None = None
        self._client = RangeClient(access)
        try:
            self.size(self.wanted)
        except BaseException:
            self._client.close()
            raise

    @property
    def transferred(self) -> int:
        """Bytes of answers that came over the network so far."""
        return self._client.transferred

    def names(self) -> list[str]:
        """The file's name and those that belong to it; the parts of a split file are taken to be there."""
        if self._names is None:
            assert self.wanted
            found = set(parts_of(self.wanted))
            if not self.wanted.endswith(".gguf"):
                found |= {name for name in _BESIDE if name not in found and self._is_there(name)}
            for index in [name for name in found if name.endswith(".index.json")]:
                shards = parse_json(self.read(index, MOST_INDEX_BYTES), self.label(index), MOST_INDEX_BYTES).get(
                    "weight_map"
                )
                if isinstance(shards, dict):
                    found |= {str(shard) for shard in shards.values()}
            self._names = checked_names(found, self.label(self.wanted))
        return list(self._names)

    def size(self, name: str) -> int:
        """A file's bytes, asked for once."""
        if name not in self._sizes:
            self._sizes[name] = self._client.size(self._remote(name))
        return self._sizes[name]

    def open(self, name: str) -> ReadableFile:
        """The file; each read is a request for just these bytes."""
        return RemoteFile(self._client, self._remote(name), self.size(name))

    def read(self, name: str, most: int) -> bytes:
        """A small file, whole, in one request."""
        return self._client.whole(self._remote(name), most)

    def read_many(self, requests: Sequence[tuple[str, int, int]]) -> list[bytes]:
        """The bytes of each (name, offset, count), eight at a time."""
        return self._client.fetch_many([(self._remote(name), offset, count) for name, offset, count in requests])

    def label(self, name: str) -> str:
        """The file's address, without a password or a query's values."""
        return shown(self._url(name))

    def close(self) -> None:
        """End connections."""
        self._client.close()

    def _is_there(self, name: str) -> bool:
        try:
            self.size(name)
        except (BadModelFile, AccessRefused):
            return False
        return True

    def _url(self, name: str) -> str:
        path = f"{self._folder}/{quote(checked_name(name, shown(urlunsplit(self._address))))}"
        return urlunsplit(self._address._replace(path=path, fragment=""))

    def _remote(self, name: str) -> Remote:
        url = self._url(name)
        return Remote(url, shown(url))


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or not url.isprintable() or " " in url:
        raise BadModelFile(
            f"{url.rpartition('@')[2][:200]!r}: is no address of a web server",
            hint="give it like https://example.org/model.gguf",
        )
    return parts
