"""`Text`: what models are compared over: a file of the user's, or the one that comes with the package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from weighbridge.errors import BadSetting

BUNDLED = Path(__file__).with_name("text.md")
_MOST_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Text:
    """A text, and where it comes from."""

    content: str
    source: str


def read_text(path: Path | None = None) -> Text:
    """The file's text, or the bundled one; BadSetting where it can't be read, is no UTF-8, or is over 16 MiB."""
    source = "the bundled text" if path is None else str(path)
    path = path or BUNDLED
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise BadSetting(f"{source}: {said}", hint="--text takes a file of plain text") from error
    if len(raw) > _MOST_BYTES:
        raise BadSetting(
            f"{source} is over 16 MiB", hint="cut a part out of it: some hundred KB tell all there is to tell"
        )
    try:
        return Text(raw.decode(), source)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise BadSetting(
            f"{source}, line {line}: found byte 0x{raw[error.start]:02x}, expected UTF-8",
            hint="--text takes plain text, with its letters in UTF-8",
        ) from error
