"""`ModelFiles`: the files that make one model, where they are on this machine, or where they would be fetched from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from weighbridge.errors import BadModelFile


@dataclass(frozen=True, slots=True)
class File:
    """One file of a model."""

    name: str
    """Relative to the model's place, with `/` between folders."""
    size_bytes: int
    sha256: str | None = None
    """What the hub or the store states; large files have it."""
    git_sha1: str | None = None
    """What git calls the content (sha1 of `blob SIZE`, a zero byte and the bytes); small files have it."""
    path: Path | None = None
    """Where it is on this machine; None where it is not."""
    fetched: bool = False
    """Whether it is on this machine with all its bytes."""
    present_bytes: int = 0
    """How many of its bytes are on this machine: all, none, or those of a fetch that was cut off."""

    @property
    def identity(self) -> str | None:
        """The sum by which the content is known; None where nobody states one."""
        return self.sha256 or self.git_sha1


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of one model: the parts of a GGUF file or the shards of a checkpoint, and the texts beside them."""

    source: str
    """The text that `find` takes for just this model."""
    name: str
    """What a person would call it: org/name:Q4_K_M, a file's or folder's name, llama3.2:3b."""
    place: str
    """Where it is: file, folder, hf_cache, ollama, lmstudio, url (a server, or kept from there); hub: not here yet."""
    revision: str | None
    """The commit of a repository, where the model is of one."""
    files: tuple[File, ...]
    repository: str | None = None
    """org/name, where the model is of a hub."""
    wanted: str | None = None
    """The GGUF file that is loaded, of a split one the first part; None: the folder is."""
    folder: Path | None = None
    """The folder that the files' names are relative to; None for files that lie elsewhere under other names."""
    unchanged: tuple[File, ...] = ()
    """Other files of the repository that are here under an older commit and are the same in this one."""

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(file.size_bytes for file in self.files)

    @property
    def missing_bytes(self) -> int:
        """What would have to be fetched."""
        return sum(file.size_bytes - file.present_bytes for file in self.files)

    @property
    def is_here(self) -> bool:
        """Whether all files are on this machine."""
        return bool(self.files) and all(file.fetched for file in self.files)

    @property
    def first(self) -> Path:
        """What an engine loads: the GGUF file, of a split one the first part, or the folder of a checkpoint.

        BadModelFile where it is not on this machine.
        """
        if self.wanted is None and self.folder is not None and self.is_here:
            return self.folder
        for file in self.files:
            if file.path is not None and file.name == (self.wanted or file.name):
                return file.path
        raise BadModelFile(f"{self.name}: is not on this machine", hint=f"fetch it: weigh get {self.source}")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a fetch is."""

    name: str
    """The model's name."""
    phase: str
    """checking (sums of what is here), waiting (for another process, or for the hub), or fetching."""
    done_bytes: int
    total_bytes: int
    bytes_per_second: float
    """Over the last seconds; 0 before the first bytes."""
    seconds_left: float | None
    """At that rate; None where there is none."""
    resumed_bytes: int
    """Of what is done, what an earlier run had fetched."""
