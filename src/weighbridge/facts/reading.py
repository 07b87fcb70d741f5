"""`read(source)`: the one door from a model's files to its facts."""

from __future__ import annotations

import os

from weighbridge.errors import BadModelFile

from .gguf_reading import GGUFReading
from .model_facts import ModelFacts
from .shelves import HubAccess, Shelf, open_shelf

_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def read(source: str | os.PathLike[str], access: HubAccess | None = None) -> ModelFacts:
    """The facts of the model at `source`.

    `source` is a file (.gguf, .safetensors, .json), a folder, a snapshot in a Hugging Face cache, `ollama:name`, a
    repository `org/name` on the hub, or a URL. Only headers, configs and cards are read, never weights. Raises
    BadModelFile for what is missing, damaged or no model, SourceUnreachable for what the network does not give.
    """
    with open_shelf(source, access) as shelf:
        if shelf.wanted is None:
            return _whole_shelf(shelf)
        if shelf.wanted.endswith(".gguf"):
            return GGUFReading(shelf).facts(shelf.wanted)
        if shelf.wanted.endswith((".json", ".safetensors")):
            # Imported where it is needed: most sources are GGUF files, and starting up counts.
            from .checkpoint_reading import CheckpointReading

            return CheckpointReading(shelf).facts(shelf.wanted)
        return _by_content(shelf, shelf.wanted)


def _by_content(shelf: Shelf, name: str) -> ModelFacts:
    """A file whose name tells no format: its first bytes do."""
    [first] = shelf.read_many([(name, 0, min(8, shelf.size(name)))])
    if first.startswith(b"GGUF"):
        return GGUFReading(shelf).facts(name)
    if first.startswith(_PICKLES):
        raise BadModelFile(
            f"{shelf.label(name)}: is a pickle or an archive with pickles",
            hint="a pickle can run code when it is read, so it is never read here: use safetensors or GGUF",
        )
    if not first:
        raise BadModelFile(f"{shelf.label(name)}: the file is empty", hint="fetch it again")
    raise BadModelFile(
        f"{shelf.label(name)}: begins with {first!r}, expected b'GGUF', a safetensors header or JSON: "
        "this is no GGUF file, and no other model file known here",
        hint="give a .gguf or .safetensors file, a config.json, or a folder with them",
    )


def _whole_shelf(shelf: Shelf) -> ModelFacts:
    """Weights in safetensors come before GGUF, and a config alone comes last."""
    from .checkpoint_reading import CheckpointReading

    checkpoint = CheckpointReading(shelf)
    if found := checkpoint.facts_of_weights():
        return found
    if ggufs := [name for name in checkpoint.names if name.endswith(".gguf")]:
        reading = GGUFReading(shelf)
        return reading.facts(reading.one_of(ggufs))
    if found := checkpoint.facts_of_config():
        return found
    listed = ", ".join(checkpoint.names[:5]) or "nothing"
    raise BadModelFile(
        f"{shelf.name}: is a folder with {listed}, expected a .gguf file, .safetensors files or a config.json",
        hint="name the folder that holds the model's own files",
    )
