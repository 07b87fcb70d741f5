"""A call that an answer tells as {"name": ..., "arguments": {...}}, read as it comes."""

from __future__ import annotations

import json
import re

from .events import BadAnswer

_BEGIN = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*(?=\{)')
# What matters of an object's text: strings as they begin and end, what they escape, and brackets.
_SIGN = re.compile(r'[{}"\\]')
# A name and the blanks around it; an engine that keeps to the schema needs a little of it.
_MOST_BEGIN_LETTERS = 4096


class Told:
    """Takes the answer's text in pieces cut anywhere; `name` is there once it is told."""

    def __init__(self) -> None:
        self.name: str | None = None
        self._begin = ""
        self._depth = 0
        self._in_string = self._is_escaped = self._is_over = False

    def feed(self, piece: str) -> str:
        """What a piece says of the arguments. BadAnswer where the text is no such call."""
        if self.name is None:
            self._begin += piece
            found = _BEGIN.match(self._begin)
            if found is None:
                if len(self._begin) > _MOST_BEGIN_LETTERS:
                    raise BadAnswer("it calls no tool")
                return ""
            try:
                self.name = json.loads(found[1])
            except ValueError as error:
                raise BadAnswer("it calls no tool") from error
            piece, self._begin = self._begin[found.end() :], ""
        return self._arguments(piece)

    def _arguments(self, piece: str) -> str:
        """So much of it as belongs to the arguments: to the end of their object."""
        if self._is_over:
            return ""
        at = 0
        if self._is_escaped and piece:
            self._is_escaped, at = False, 1
        while (sign := _SIGN.search(piece, at)) is not None:
            at = sign.end()
            match sign[0]:
                case '"':
                    self._in_string = not self._in_string
                case "\\" if self._in_string:
                    self._is_escaped = at == len(piece)
                    at += 1
                case "{" if not self._in_string:
                    self._depth += 1
                case "}" if not self._in_string:
                    self._depth -= 1
                    if self._depth <= 0:
                        self._is_over = True
                        return piece[:at] if self._depth == 0 else piece[: at - 1]
        return piece
