"""A request's JSON body, looked at once: what it asks for, without taking apart what only the engine needs."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from weighbridge.openai_api import ApiError

from .folding import Folding
from .heads import Request
from .quick import Spans, outline

# Up to this size C reads the whole of it, in a microsecond or some, and its every byte is checked. Above it strings are
# stepped over at the speed of memory, since reading 8 MB of images would hold up every other stream for milliseconds.
_WHOLE_BYTES = 64 << 10
_MOST_DEPTH = 500
_MOST_STEPS = 10_000
# A body that is taken apart holds up everybody meanwhile, for as long as it has pieces: a tenth of a second for these.
_COUNTED_BYTES = 1 << 20
_MOST_STRINGS = 200_000
_MOST_COMMAS = 2_000_000
_SIGN = re.compile(rb'["{}\[\]]')
_SPACE = re.compile(rb"[ \t\r\n]*")
_ATOM = re.compile(rb"(?:true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?=[ \t\r\n,}\]])")
_MODEL = re.compile(rb'"model"[ \t\r\n]*:[ \t\r\n]*("[^"\\]*")')
_CLOSES = {b"{": b"}", b"[": b"]"}


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
_scan: Callable[[str, int], tuple[Any, int]] = _DECODER.scan_once  # type: ignore[attr-defined]


class Body:
    """What a request's body says: `model` and `stream` at its top level, and on demand all of it.

    Of a key that is given twice the last one counts, as in every engine's JSON. ApiError 400 on creation: not UTF-8,
    not JSON, no object, nested too deeply, `model` no string, `stream` no boolean. Of a body above 64 KiB only the top
    level is checked then; damage deeper inside is found when `fields` is read, or by the engine.

    Of a body that is folded, `bytes` and all that is read from it have marks instead of its data; `parts` is the whole.
    """

    __slots__ = ("_fields", "_spans", "bytes", "folding", "has_messages", "model", "stream")

    def __init__(self, raw: bytes, folding: Folding | None = None) -> None:
        self.bytes = raw
        self.folding = folding
        """What its marks stand for; None: it has none."""
        self._fields: dict[str, Any] | None = None
        self._spans: Spans | None
        self.model: str | None
        self.has_messages: bool
        """True where `messages` is known to be a list of objects, and of one at least."""
        plain = outline(raw) if len(raw) <= _WHOLE_BYTES else None
        if plain is None:
            self._spans, self.has_messages = None, False
            self.model, self.stream = self._read(raw)
        else:
            self._spans, self.model, self.stream, self.has_messages = plain

    def _read(self, raw: bytes) -> tuple[str | None, bool]:
        """`model` and `stream` of a body in any form."""
        fields: Any
        if len(raw) <= _WHOLE_BYTES:
            try:
                text = raw.decode()
                fields, end = _scan(text, 0)
            except (ValueError, StopIteration, RecursionError):
                fields, end = None, -1
            if type(fields) is not dict or end != len(text):
                # Spaces around it, or damage, which is told in full.
                fields = _decoded(raw)
            self._fields = fields
        else:
            if not raw.isascii():
                _check_text(raw)
            fields = self._stepped_through(raw)
        model, stream = fields.get("model"), fields.get("stream")
        if model is not None and not isinstance(model, str):
            raise ApiError(400, f"model is {_shown(model)}, expected a name", param="model")
        if stream is not None and not isinstance(stream, bool):
            raise ApiError(400, f"stream is {_shown(stream)}, expected true or false", param="stream")
        return model, bool(stream)

    @classmethod
    def of(cls, request: Request) -> Body:
        """That of a request which is here."""
        folding = request.folding
        if folding is None:
            return cls(request.body)
        request.parts = folding.pieces()
        short = folding.folded()
        if short is not None:
            with contextlib.suppress(ApiError):  # whose words would be of places in what is left of it
                return cls(short, folding)
        return cls(request.body)

    @property
    def parts(self) -> Sequence[bytes]:
        """All of it, as it goes to an engine."""
        return [self.bytes] if self.folding is None else self.folding.unfold(self.bytes)

    def unfolded(self, *, but: str) -> Body:
        """The same with its data, where a mark stands in another of its fields than this one; else as it is."""
        if self.folding is None or not self.folding.is_in(json.dumps({**self.fields, but: None}).encode()):
            return self
        return type(self)(b"".join(self.parts))

    @property
    def is_large(self) -> bool:
        """Whether it is so long that reading all of it would hold up others."""
        return len(self.bytes) > _WHOLE_BYTES

    def _stepped_through(self, raw: bytes) -> dict[str, Any]:
        try:
            spans = _TopLevel(raw).spans
        except _ManySteps:
            self._fields = _decoded(raw)
            return self._fields
        self._spans = spans
        return {name: value_of(raw, *spans[name]) for name in ("model", "stream") if name in spans}

    @property
    def fields(self) -> dict[str, Any]:
        """The whole body as a dictionary; read on first use. ApiError 400 where it turns out damaged."""
        if self._fields is None:
            self._fields = _decoded(self.bytes)
        return self._fields

    def value(self, name: str) -> Any:
        """What stands at a key of the top level, None where there is none; the rest is not taken apart for it."""
        if self._fields is not None or self._spans is None:
            return self.fields.get(name)
        span = self._spans.get(name)
        return None if span is None else value_of(self.bytes, *span)

    def is_list(self, name: str) -> bool:
        """Whether a list stands at a key of the top level; it is not read for that."""
        if self._spans is None:
            return isinstance(self.fields.get(name), list)
        span = self._spans.get(name)
        return span is not None and self.bytes[span[0]] == 0x5B

    def renamed(self, model: str) -> Sequence[bytes]:
        """All of it with another model's name, and no other byte changed but in one of very many small pieces."""
        written = self._renamed(model)
        return [written] if self.folding is None else self.folding.unfold(written)

    def _renamed(self, model: str) -> bytes:
        try:
            span = self._spans.get("model") if self._spans is not None else self._model_span()
        except _ManySteps:
            return json.dumps({**self.fields, "model": model}).encode()
        name = json.dumps(model).encode()
        if span is None:
            start = self.bytes.index(b"{") + 1
            comma = b"," if self.fields else b""
            return b'%b"model":%b%b%b' % (self.bytes[:start], name, comma, self.bytes[start:])
        return self.bytes[: span[0]] + name + self.bytes[span[1] :]

    def _model_span(self) -> tuple[int, int] | None:
        raw = self.bytes
        if raw.count(b'"model"') == 1 and b"\\u00" not in raw and self.model is not None:
            # The one place where it stands, since the top level is known to have it, and it is not written in escapes.
            found = _MODEL.search(raw)
            if found:
                return found.span(1)
        return _TopLevel(raw).spans.get("model")


def _shown(value: object) -> str:
    return json.dumps(value)[:60]


def _check_text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise ApiError(400, f"the body is not UTF-8: byte {error.start} is {raw[error.start]:#04x}") from error


def _check_pieces(raw: bytes) -> None:
    strings = (raw.count(b'"') - raw.count(b'\\"')) // 2
    if strings > _MOST_STRINGS or raw.count(b",") > _MOST_COMMAS:
        raise ApiError(413, f"the body has more than {_MOST_STRINGS:,} strings or {_MOST_COMMAS:,} commas",
                       code="body_too_large")  # fmt: skip


def _decoded(raw: bytes) -> dict[str, Any]:
    text = _check_text(raw)
    if len(raw) > _COUNTED_BYTES:
        _check_pieces(raw)
    try:
        fields = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise ApiError(
            400, f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from error
    except RecursionError as error:
        raise ApiError(400, "the body's JSON is nested too deeply") from error
    except ValueError as error:
        raise ApiError(400, f"the body is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise ApiError(400, f"the body is a JSON {type(fields).__name__}, expected an object")
    return fields


def _not_json(at: int) -> ApiError:
    return ApiError(400, f"the body is not JSON: byte {at:,} is not what must stand there")


class _ManySteps(Exception):
    """A body of so many small pieces that reading all of it in C is quicker."""


class _TopLevel:
    """Where the value of each key of the top level begins and ends, as `spans`.

    What lies deeper is stepped over: strings as a whole, brackets in pairs. Its grammar is the engine's to check.
    ApiError 400 where the structure is not JSON's, _ManySteps where this takes too long.
    """

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.steps = 0
        self.spans: Spans = {}
        at = self._space(0)
        if raw[at : at + 1] == b"[":
            raise ApiError(400, "the body is a JSON list, expected an object")
        self._expect(at, b"{")
        at = self._space(at + 1)
        if raw[at : at + 1] == b"}":
            at += 1
        else:
            at = self._members(at)
        if self._space(at) != len(raw):
            raise _not_json(at)

    def _members(self, at: int) -> int:
        while True:
            end = self._end_of_string(at)
            name = value_of(self.raw, at, end)
            at = self._space(end)
            self._expect(at, b":")
            begin = self._space(at + 1)
            at = self._end_of_value(begin)
            self.spans[name] = (begin, at)
            at = self._space(at)
            if self.raw[at : at + 1] == b"}":
                return at + 1
            self._expect(at, b",")
            at = self._space(at + 1)

    def _expect(self, at: int, sign: bytes) -> None:
        if self.raw[at : at + 1] != sign:
            raise _not_json(at)

    def _space(self, at: int) -> int:
        found = _SPACE.match(self.raw, at)
        return found.end() if found else at

    def _step(self) -> None:
        self.steps += 1
        if self.steps > _MOST_STEPS:
            raise _ManySteps

    def _end_of_string(self, at: int) -> int:
        raw, end = self.raw, at
        self._expect(at, b'"')
        while True:
            self._step()
            before, end = end + 1, raw.find(b'"', end + 1)
            if end < 0:
                raise _not_json(at)
            if raw[end - 1] != 0x5C:
                return end + 1
            piece = raw[before:end]
            if (len(piece) - len(piece.rstrip(b"\\"))) % 2 == 0:
                return end + 1

    def _end_of_value(self, at: int) -> int:
        first = self.raw[at : at + 1]
        if first == b'"':
            return self._end_of_string(at)
        if first in _CLOSES:
            return self._end_of_nested(at)
        found = _ATOM.match(self.raw, at)
        if found is None:
            raise _not_json(at)
        return found.end()

    def _end_of_nested(self, at: int) -> int:
        waited_for: list[bytes] = []
        while True:
            self._step()
            found = _SIGN.search(self.raw, at)
            if found is None:
                raise _not_json(at)
            at, sign = found.start(), found[0]
            if sign == b'"':
                at = self._end_of_string(at)
                continue
            at += 1
            if sign in _CLOSES:
                waited_for.append(_CLOSES[sign])
                if len(waited_for) > _MOST_DEPTH:
                    raise ApiError(400, "the body's JSON is nested too deeply")
            elif waited_for.pop() != sign:
                raise _not_json(at - 1)
            if not waited_for:
                return at


def value_of(raw: bytes, begin: int, end: int) -> Any:
    """The JSON value at a place. ApiError 400 where it is none."""
    try:
        return _DECODER.decode(raw[begin:end].decode())
    except (ValueError, RecursionError) as error:
        raise _not_json(begin) from error
