"""The bytes of one HTTP/1.1 answer, told apart as they come: no socket, so that any client may use it."""

from __future__ import annotations

from collections.abc import Callable

import httptools

_LARGEST_HEAD_BYTES = 256 << 10


class AnswerParser:
    """One answer: `headers` by their names in lower case; each piece of its body goes to `on_piece`.

    Provisional answers (100 Continue) are passed over. What `on_piece` raises comes out of `feed` as it is.
    """

    __slots__ = ("_feed_parser", "_head_bytes", "_on_piece", "_parser", "has_head", "headers", "is_whole", "status")

    def __init__(self, on_piece: Callable[[bytes], None]) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.has_head = self.is_whole = False
        self._on_piece = on_piece
        self._head_bytes = 0
        self._parser = httptools.HttpResponseParser(self)
        self._feed_parser = self._parser.feed_data

    def feed(self, data: bytes) -> None:
        """The next bytes. ConnectionError where they are no HTTP, or the head is larger than any server's."""
        if not self.has_head:
            self._head_bytes += len(data)
        try:
            self._feed_parser(data)
        except httptools.HttpParserCallbackError as error:
            raise error.__context__ or ConnectionError(str(error)) from None
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise ConnectionError(f"its answer is no HTTP: {error}") from error
        if not self.has_head and self._head_bytes > _LARGEST_HEAD_BYTES:
            raise ConnectionError(f"its answer's head is larger than {_LARGEST_HEAD_BYTES:,} bytes")

    def end(self) -> None:
        """The connection ended. ConnectionError unless the answer is whole: one with neither a length nor chunks ends
        so."""
        if self.has_head and not self.headers.keys() & {"content-length", "transfer-encoding"}:
            self.is_whole = True
        if not self.is_whole:
            raise ConnectionError("it ended the connection in the midst of its answer" if self.has_head else
                                  "it ended the connection before it answered")  # fmt: skip

    def keeps_connection(self) -> bool:
        """Whether the connection may serve another request, as the whole answer says."""
        return bool(self._parser.should_keep_alive())

    # What httptools calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        """One line of the head; of those behind the body nothing is kept."""
        if not self.has_head:
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head is here, unless it is that of a provisional answer."""
        if not self.has_head:
            self.status = self._parser.get_status_code()
            self.has_head = self.status >= 200

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if not self.is_whole:
            self._on_piece(body)

    def on_message_complete(self) -> None:
        """The answer is whole, or a provisional one is over."""
        if self.has_head:
            self.is_whole = True
        else:
            self.headers.clear()
