"""Between what a client says and what an engine understands: requests as dictionaries, answers as bytes.

Nothing here knows of sockets or waits for anything; a stream's bytes may come cut anywhere.
"""

from typing import Protocol

from .anthropic_answer import Messages
from .choices import Choices, one_choice
from .events import BadAnswer
from .named_tool import NamedTool, force, force_any, named_tool
from .responses_answer import Responses


class Translation(Protocol):
    """An answer put into other words: either `whole`, or `feed` for each piece of a stream and `end`. BadAnswer where
    it is not what its API says."""

    def whole(self, body: bytes) -> bytes:
        """A plain answer."""

    def feed(self, piece: bytes) -> bytes:
        """More of a stream."""

    def end(self) -> bytes:
        """What is left once the stream has ended."""


class InTurn:
    """Two translations, one after the other."""

    def __init__(self, first: Translation, second: Translation) -> None:
        self._first, self._second = first, second

    def whole(self, body: bytes) -> bytes:
        """A plain answer."""
        return self._second.whole(self._first.whole(body))

    def feed(self, piece: bytes) -> bytes:
        """More of a stream."""
        return self._second.feed(self._first.feed(piece))

    def end(self) -> bytes:
        """What is left once the stream has ended."""
        return self._second.feed(self._first.end()) + self._second.end()


__all__ = [
    "BadAnswer",
    "Choices",
    "InTurn",
    "Messages",
    "NamedTool",
    "Responses",
    "Translation",
    "force",
    "force_any",
    "named_tool",
    "one_choice",
]
