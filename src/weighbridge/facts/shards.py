"""The safetensors files that make up a model, by an index or by their names, and their headers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from weighbridge.errors import BadModelFile

from .config import MOST, MOST_INDEX_BYTES, Config, parse_json
from .safetensors import SafetensorsHeader, header_length, parse_header, read_header
from .shelf_reading import ShelfReading
from .shelves import Shelf

_MOST_SHARDS = 4096
PART = re.compile(r"(.*)-(\d{1,5})-of-(\d{1,6})\.safetensors")


class ShardReading(ShelfReading):
    """Finds the files of a model on a shelf, and reads their headers; not a byte of weights."""

    def __init__(self, shelf: Shelf) -> None:
        super().__init__(shelf)
        self.stated_bytes: int | None = None
        """Of all weights, as an index says."""
        self.indexed: dict[str, str] | None = None
        """The file that each tensor lies in, as an index says."""

    def _shards(self) -> list[str] | None:
        """The names of the safetensors files that make up the model; [] if only an index is here; None for none."""
        names = [name for name in self.names if "/" not in name]
        for index in (
            "model.safetensors.index.json",
            *sorted(n for n in names if n.endswith(".safetensors.index.json")),
        ):
            if index in names:
                return self._shards_of_index(index)
        files = [name for name in names if name.endswith(".safetensors")]
        if not files:
            return None
        for whole in ("model.safetensors", "diffusion_pytorch_model.safetensors", "consolidated.safetensors"):
            if whole in files:
                return [whole]
        parts = [name for name in files if PART.fullmatch(name)]
        if parts:
            return self._shards_of_part(sorted(parts)[0])
        if len(files) == 1:
            return files
        raise BadModelFile(
            f"{self.shelf.name}: holds {len(files)} safetensors files without an index ({', '.join(files[:5])}), "
            "expected one model",
            hint="name one of the files, or fetch model.safetensors.index.json too",
        )

    def _shards_of_part(self, name: str) -> list[str]:
        found = PART.fullmatch(name)
        if not found:
            return [name]
        index = f"{found[1]}.safetensors.index.json"
        if self._has(index):
            shards = self._shards_of_index(index)
            if name in shards or not shards:
                return shards
        count = int(found[3])
        if not 1 <= count <= _MOST_SHARDS:
            raise BadModelFile(
                f"{self.shelf.label(name)}: is named as one of {count:,} parts, expected at most {_MOST_SHARDS:,}",
                hint="name the files as they were published",
            )
        digits = len(found[2])
        shards = [f"{found[1]}-{number:0{digits}d}-of-{found[3]}.safetensors" for number in range(1, count + 1)]
        self._none_missing(shards, self.shelf.label(name))
        return shards

    def _shards_of_index(self, name: str) -> list[str]:
        """The files that an index names. [] where none of them is here: then the index' total stands for them."""
        raw = self._bytes(name, MOST_INDEX_BYTES)
        index = Config(parse_json(raw, self.shelf.label(name), MOST_INDEX_BYTES), self.shelf.label(name))
        places = index.section("weight_map").data
        for place in places.values():
            if not isinstance(place, str) or "/" in place or not place.endswith(".safetensors"):
                raise index.wrong("weight_map", place, "names of safetensors files in the same folder")
        # 90,000 tensors lie in 160 files: each name is put together once.
        folder = PurePosixPath(name).parent
        paths = {place: str(folder / place) for place in set(places.values())}
        shards = sorted(paths.values())
        if not shards or len(shards) > _MOST_SHARDS:
            raise index.wrong("weight_map", f"{len(shards):,} files", f"1 to {_MOST_SHARDS:,} files")
        total = index.section("metadata").data.get("total_size")
        if isinstance(total, int) and 0 < total < MOST:
            self.stated_bytes = total
        if not any(map(self._has, shards)):
            self.notes.append(f"none of the {len(shards)} files that the index names is here: weights are as it says")
            return []
        self._none_missing(shards, index.label)
        self.indexed = {tensor: paths[place] for tensor, place in places.items()}
        return shards

    def _none_missing(self, shards: Sequence[str], label: str) -> None:
        missing = [shard for shard in shards if not self._has(shard)]
        if missing:
            raise BadModelFile(
                f"{label}: part {PurePosixPath(missing[0]).name} of {len(shards)} is missing"
                + (f", and {len(missing) - 1} more" if len(missing) > 1 else ""),
                hint="fetch all parts into one folder",
            )

    def _headers(self, shards: Sequence[str]) -> list[SafetensorsHeader]:
        """The headers of these files; not a byte of weights."""
        headers = self._headers_elsewhere(shards) if self.is_remote else self._headers_here(shards)
        self.bytes_read += sum(header.header_bytes for header in headers)
        self._agree(shards, headers)
        if any(header.is_header_only for header in headers):
            self.notes.append("the files hold headers alone: no weights follow")
        return headers

    def _headers_here(self, shards: Sequence[str]) -> list[SafetensorsHeader]:
        headers = []
        for number, shard in enumerate(shards):
            with self.shelf.open(shard) as file:
                headers.append(read_header(file, self.shelf.label(shard), self.shelf.size(shard), number))
        return headers

    def _headers_elsewhere(self, shards: Sequence[str]) -> list[SafetensorsHeader]:
        """In two rounds, each side by side: all lengths, then all headers."""
        sizes = [self.shelf.size(shard) for shard in shards]
        firsts = self.shelf.read_many([(shard, 0, min(8, size)) for shard, size in zip(shards, sizes, strict=True)])
        lengths = [
            header_length(first, self.shelf.label(shard), size)
            for shard, first, size in zip(shards, firsts, sizes, strict=True)
        ]
        raws = self.shelf.read_many([(shard, 8, length) for shard, length in zip(shards, lengths, strict=True)])
        return [
            parse_header(raw, self.shelf.label(shard), size, number)
            for number, (shard, raw, size) in enumerate(zip(shards, raws, sizes, strict=True))
        ]

    def _agree(self, shards: Sequence[str], headers: Sequence[SafetensorsHeader]) -> None:
        """BadModelFile where a tensor is in two files, or not in the file that the index names."""
        places = {
            tensor.name: shard for shard, header in zip(shards, headers, strict=True) for tensor in header.tensors
        }
        if len(places) < sum(len(header.tensors) for header in headers):
            # The last file that holds a name stands in `places`; the first that it is in too is looked for.
            label, name = next(
                (header.label, tensor.name)
                for shard, header in zip(shards, headers, strict=True)
                for tensor in header.tensors
                if places[tensor.name] != shard
            )
            raise BadModelFile(
                f"{label}: tensor {name[:80]!r} is in {places[name]} too",
                hint="the files are of different models or revisions: fetch them again",
            )
        if self.indexed is None or self.indexed == places:
            return
        for name, place in self.indexed.items():
            if places.get(name, place) != place:
                raise BadModelFile(
                    f"{self.shelf.label(place)}: the index promises tensor {name[:80]!r} here, found in {places[name]}",
                    hint="index and files are of different revisions: fetch them again",
                )
        missing = [name for name in self.indexed if name not in places]
        if missing and len(missing) * 10 > len(self.indexed):
            raise BadModelFile(
                f"{self.shelf.name}: no file holds {len(missing):,} of the {len(self.indexed):,} tensors that "
                f"the index promises, {missing[0][:80]!r} for one",
                hint="index and files are of different revisions: fetch them again",
            )
        if missing:
            self.notes.append(f"the index names {len(missing)} tensors that no file holds, {missing[0][:60]!r} for one")
