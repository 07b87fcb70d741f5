"""Server-sent events as they come, in pieces cut anywhere: which are whole, and what they say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

# Of one event: more than a model says in one breath, and less than would hurt.
_MOST_EVENT_BYTES = 32 << 20


class BadAnswer(Exception):
    """An engine's answer that is not what its API says, so that nobody can put it into another one's words."""


class Events:
    """Takes a stream's bytes and gives its events' data; a comment, by which servers keep a connection alive, is b"".

    Lines end by LF or CRLF. BadAnswer where one event grows beyond 32 MiB.
    """

    def __init__(self) -> None:
        self._line = bytearray()
        self._searched = 0
        self._data: list[bytes] = []
        self._data_bytes = 0

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """More bytes; the data of each event that became whole."""
        line = self._line
        line += piece
        begin = 0
        while (end := line.find(b"\n", max(begin, self._searched))) >= 0:
            found = bytes(line[begin : end - 1 if end > begin and line[end - 1] == 0x0D else end])
            begin = self._searched = end + 1
            if found:
                if found[:1] == b":":
                    yield b""
                elif found[:5] == b"data:":
                    self._take(found[6:] if found[5:6] == b" " else found[5:])
            elif self._data:
                yield self._whole()
        del line[:begin]
        self._searched = len(line)
        self._check(len(line))

    def end(self) -> Iterator[bytes]:
        """The stream is over: an event that lacks its blank line counts too."""
        yield from self.feed(b"\n\n")

    def _take(self, data: bytes) -> None:
        self._data.append(data)
        self._data_bytes += len(data)
        self._check(0)

    def _whole(self) -> bytes:
        whole = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        self._data = []
        self._data_bytes = 0
        return whole

    def _check(self, more: int) -> None:
        if self._data_bytes + more > _MOST_EVENT_BYTES:
            raise BadAnswer(f"one event of its stream is longer than {_MOST_EVENT_BYTES >> 20} MiB")


def read_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in an answer or an event. BadAnswer where it is none."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"it is no JSON: {raw[:100]!r}") from error
    if not isinstance(found, dict):
        raise BadAnswer(f"it is a JSON {type(found).__name__}, not an object")
    return found


def write(content: object) -> bytes:
    """JSON as it goes over the wire: short, and in UTF-8; half a character that JSON can name and UTF-8 can't stays an
    escape."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(content, separators=(",", ":")).encode()


def event(content: dict[str, Any]) -> bytes:
    """An event named by its content's type, as Anthropic's messages and OpenAI's responses have them."""
    return b"event: %b\ndata: %b\n\n" % (str(content["type"]).encode(), write(content))
