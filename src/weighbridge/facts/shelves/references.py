"""`Reference`: which repository, which commit and which of its files a text names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from weighbridge.errors import BadModelFile

_REPOSITORY = re.compile(r"(?=[^/]{1,96}/[^/]{1,96}$)[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*", re.ASCII)
_REVISION = re.compile(r"\w(?:(?!\.\.)[\w./-]){0,254}", re.ASCII)
_HOSTS = ("huggingface.co", "hf.co", "www.huggingface.co")
_FILES = (".gguf", ".safetensors", ".json", ".bin", ".pt", ".pth", ".onnx")
_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<end>\.gguf|\.safetensors)")
_MOST_PARTS = 4096
# They lie beside the models, and are none.
_COMPANIONS = ("mmproj", "imatrix")


@dataclass(frozen=True, slots=True)
class Reference:
    """A repository of a hub, as a person names it."""

    repository: str
    revision: str | None = None
    selector: str | None = None
    """A file's name, or what the names of GGUF files tell apart: Q4_K_M."""

    def choose(self, names: Sequence[str]) -> str | None:
        """The file that the selector names, the first part of a split one; BadModelFile if none or several match."""
        if self.selector is None:
            return None
        if self.selector in names:
            return self.selector
        firsts = first_parts(name for name in names if is_gguf_model(name))
        # Before the quantization may stand anything that is no letter; after it comes the end of a word. So Q4_K
        # is not found in Q4_K_M, nor Q4_XS in IQ4_XS.
        word = re.compile(rf"(?<![A-Za-z0-9]){re.escape(self.selector)}(?![A-Za-z0-9_])", re.IGNORECASE)
        found = [name for name in firsts if word.search(name.removesuffix(".gguf"))]
        if len(found) > 1:
            # Q4_K_XL and UD-Q4_K_XL are two kinds; the longer name is asked for in full.
            found = [name for name in found if not re.search(rf"UD-{re.escape(self.selector)}", name, re.I)] or found
        if len(found) == 1:
            return found[0]
        if found:
            raise BadModelFile(
                f"{self.repository}: {self.selector} matches {len(found)} files: {_some(found)}",
                hint=f"name one: {self.repository}:{found[0]}",
            )
        raise BadModelFile(
            f"{self.repository}: no GGUF file is named {self.selector}; "
            + (f"there are {_some(firsts)}" if firsts else "there are no GGUF files at all"),
            hint=f"name one that is there: {self.repository}:{firsts[0]}" if firsts else "leave the selector out",
        )


def parse(text: str, endpoint: str) -> Reference | None:
    """What the text names on a hub; None if it is of another form.

    Forms: org/name, org/name@revision, org/name:Q4_K_M, each also after hf.co/, huggingface.co/ or hf://, and the
    address of a repository, of one of its branches or files.
    """
    if text.startswith(f"{endpoint}/"):
        return _from_address(text.removeprefix(f"{endpoint}/"))
    if text.startswith(("https://", "http://")):
        try:
            parts = urlsplit(text)
        except ValueError:
            return None
        return _from_address(parts.path[1:]) if parts.hostname in _HOSTS else None
    named = text.removeprefix("hf://")
    host, _, rest = named.partition("/")
    is_plain = named == text and host not in _HOSTS
    if host in _HOSTS:
        named = rest
    # A path with a typing error is no repository.
    if is_plain and (text.partition(":")[0].endswith(_FILES) or text.startswith(("/", ".", "~"))):
        return None
    return _from_name(named.rstrip("/"))


def _from_name(text: str) -> Reference | None:
    before, _, selector = text.partition(":")
    repository, _, revision = before.partition("@")
    if not is_repository(repository) or (":" in text and not selector):
        return None
    if "@" in before and not _REVISION.fullmatch(revision):
        return None
    return Reference(repository, revision or None, selector or None)


def _from_address(path: str) -> Reference | None:
    """The reference in an address's path: org/name, org/name/tree/main, org/name/resolve/main/file."""
    path = path.split("?")[0].split("#")[0].rstrip("/")
    parts = [unquote(part) for part in path.split("/")]
    if parts[0] in ("datasets", "spaces", "api", "models"):
        return None
    if len(parts) <= 2:
        return _from_name("/".join(parts))
    if not is_repository("/".join(parts[:2])) or parts[2] not in ("tree", "blob", "resolve", "raw"):
        return None
    if len(parts) < 4 or not _REVISION.fullmatch(parts[3]):
        return None
    return Reference("/".join(parts[:2]), parts[3], "/".join(parts[4:]) or None)


def is_repository(text: str) -> bool:
    """Whether a hub could have a repository of this name."""
    return bool(_REPOSITORY.fullmatch(text)) and "--" not in text and ".." not in text and not text.endswith(".git")


def is_gguf_model(name: str) -> bool:
    """Whether the file is a GGUF model by its name, and not its projector."""
    last = name.rsplit("/", 1)[-1].lower()
    return last.endswith(".gguf") and not any(word in last for word in _COMPANIONS)


def parts_of(name: str) -> list[str]:
    """All parts of a split file, told from the name of one; the name alone where it is not split."""
    named = _PART.fullmatch(name)
    if not named or not 1 <= int(named["number"]) <= int(named["count"]) <= _MOST_PARTS:
        return [name]
    count = int(named["count"])
    return [f"{named['stem']}-{number:05d}-of-{count:05d}{named['end']}" for number in range(1, count + 1)]


def title_of(name: str) -> str:
    """A file's name without what tells its format and part: qwen3 of qwen3-00001-of-00002.gguf."""
    named = _PART.fullmatch(name)
    return named["stem"] if named else name.rpartition(".")[0] or name


def first_parts(names: Iterable[str]) -> list[str]:
    """The names, of a split file the first part only."""
    return [name for name in names if parts_of(name)[0] == name]


def _some(names: list[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12:,} more" if len(names) > 12 else "")
