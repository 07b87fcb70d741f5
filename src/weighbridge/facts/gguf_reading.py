"""A model in GGUF on its shelf: its parts, its projector, and what lies beside them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import PurePosixPath

from weighbridge.errors import BadModelFile

from . import gguf_facts
from .chat import read_go_template
from .gguf import Header, read_header_of
from .licences import MOST_TEXT_BYTES, of_front_matter
from .model_facts import Chat, LicenceStatement, ModelFacts
from .shelf_reading import ShelfReading
from .shelves import Shelf
from .shelves.references import first_parts, is_gguf_model

# How a header of unknown length is fetched: little that is not needed, and not too many requests for a vocabulary.
_CHUNK_BYTES_REMOTE, _MOST_CHUNK_BYTES_REMOTE = 64 << 10, 512 << 10


class GGUFReading(ShelfReading):
    """Reads headers and hands them to `gguf_facts`."""

    def one_of(self, ggufs: Sequence[str]) -> str:
        """The one model among these files; projectors and later parts aside."""
        models = first_parts(filter(is_gguf_model, ggufs))
        if len(models) == 1:
            return models[0]
        if not models:
            raise BadModelFile(
                f"{self.shelf.name}: holds no GGUF model, only {', '.join(ggufs[:4])}",
                hint="projectors and importance matrices go with a model: fetch that too",
            )
        shown = ", ".join(models[:6]) + (", ..." if len(models) > 6 else "")
        raise BadModelFile(
            f"{self.shelf.name}: holds {len(models)} GGUF models ({shown}), expected one",
            hint=f"say which one, e.g. {models[0]}; of a repository: org/name:Q4_K_M",
        )

    def facts(self, name: str) -> ModelFacts:
        """The facts of the file, or the first part, of that name."""
        first = self._header(name)
        names = gguf_facts.part_names(name, first)
        missing = [part for part in names[1:] if not self._has(part)]
        if missing:
            raise BadModelFile(
                f"{first.label}: part {PurePosixPath(missing[0]).name} of {len(names)} is missing",
                hint="fetch all parts into one folder",
            )
        headers = [first, *map(self._header, names[1:])]
        gguf_facts.check_parts(headers)
        projector = self._projector(name)
        labels = [header.label for header in (*headers, *([projector] if projector else []))]
        licences, served, chat = self._beside_gguf()
        found = gguf_facts.facts_of(
            headers, self._source("gguf", labels), _stem(name, self.shelf), projector, licences, served
        )
        if not found.chat.template and chat is not None:
            found = dataclasses.replace(found, chat=chat)
        return dataclasses.replace(found, notes=(*found.notes, *self.notes)) if self.notes else found

    def _header(self, name: str) -> Header:
        label, size = self.shelf.label(name), self.shelf.size(name)
        with self.shelf.open(name) as file:
            if self.is_remote:
                header = read_header_of(
                    file, label, size, chunk_bytes=_CHUNK_BYTES_REMOTE, most_chunk_bytes=_MOST_CHUNK_BYTES_REMOTE
                )
            else:
                header = read_header_of(file, label, size)
        self.bytes_read += header.bytes_read
        return header

    def _projector(self, name: str) -> Header | None:
        """The vision part beside a model, where the source is a whole shelf with one of them."""
        if self.shelf.place in ("file", "url") or _is_projector(name):
            return None
        found = [other for other in self.names if other.endswith(".gguf") and _is_projector(other)]
        if not found:
            return None
        # Of one projector in several types the smallest is what most people load.
        chosen = min(found, key=lambda other: (self.shelf.size(other), other))
        return self._header(chosen)

    def _beside_gguf(self) -> tuple[list[LicenceStatement], int | None, Chat | None]:
        """What lies beside a GGUF file: licences; in an Ollama store parameters and a template too."""
        if self.shelf.place == "file" or self.shelf.place == "url":
            return [], None, None
        served = chat = None
        if self.shelf.place == "ollama":
            if "params.json" in self.names:
                parameters = self._json("params.json")
                served = parameters.number("num_ctx") if parameters else None
            if "template" in self.names:
                chat = read_go_template(self._text("template", MOST_TEXT_BYTES))
        front, card = self._front_matter()
        return [*of_front_matter(front, card), *self._licences()], served, chat


def _is_projector(name: str) -> bool:
    return "mmproj" in PurePosixPath(name).name.lower()


def _stem(name: str, shelf: Shelf) -> str:
    return shelf.name if shelf.place == "ollama" else PurePosixPath(name).name.removesuffix(".gguf")
