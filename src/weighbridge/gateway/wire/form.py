"""A form's body (multipart/form-data), as audio comes: which model it asks for, without taking its files apart."""

from __future__ import annotations

import re
from collections.abc import Sequence

from weighbridge.openai_api import ApiError

# RFC 2046: at most 70 letters of these.
_BOUNDARY = re.compile(rb"""boundary=(?:"([0-9A-Za-z'()+_,\-./:=? ]{1,70})"|([0-9A-Za-z'()+_,\-./:=?]{1,70}))""", re.I)
_NAME = re.compile(rb'content-disposition:[ \t]*form-data(?:;[^\r\n]*?)?;[ \t]*name="([^"\r\n]*)"', re.I)
_MOST_PARTS = 200
_MOST_HEAD_BYTES = 8_192
_MOST_VALUE_BYTES = 1_024
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Form:
    """What a form says: the fields `model` and `stream`; of a field that is given twice the last one counts.

    ApiError 400 on creation: no form, not whole, or a model's name that is none. Files are stepped over at the speed of
    memory; what is in them is the engine's to check.
    """

    __slots__ = ("_spans", "bytes", "model", "stream")

    def __init__(self, content_type: bytes, raw: bytes) -> None:
        self.bytes = raw
        found = _BOUNDARY.search(content_type)
        if not content_type.lower().startswith(b"multipart/form-data") or found is None:
            raise ApiError(400, "the body is no form: its type is not multipart/form-data with a boundary")
        self._spans = _spans(raw, b"--" + (found[1] or found[2]))
        model = self._text("model")
        if model is not None and _CONTROL.search(model):
            raise ApiError(400, f"model is {model[:60]!r}, expected a name", param="model")
        self.model = model
        self.stream = self._text("stream") in ("true", "True", "1")

    def _text(self, name: str) -> str | None:
        span = self._spans.get(name)
        if span is None:
            return None
        if span[1] - span[0] > _MOST_VALUE_BYTES:
            raise ApiError(400, f"{name} is longer than {_MOST_VALUE_BYTES:,} bytes", param=name)
        try:
            return self.bytes[slice(*span)].decode()
        except UnicodeDecodeError as error:
            raise ApiError(400, f"{name} is not UTF-8", param=name) from error

    @property
    def parts(self) -> Sequence[bytes]:
        """All of it, as it goes to an engine."""
        return [self.bytes]

    def renamed(self, model: str) -> Sequence[bytes]:
        """The form with another model's name, and no other byte changed; as it is where it names none."""
        span = self._spans.get("model")
        if span is None:
            return self.parts
        return [self.bytes[: span[0]], model.encode(), self.bytes[span[1] :]]


def _spans(raw: bytes, mark: bytes) -> dict[str, tuple[int, int]]:
    """Where the value of each field begins and ends."""
    spans: dict[str, tuple[int, int]] = {}
    between = b"\r\n" + mark
    at = 0 if raw.startswith(mark) else raw.find(between) + 2
    for _ in range(_MOST_PARTS):
        at += len(mark)
        if raw[at : at + 2] == b"--":
            return spans
        head_end = raw.find(b"\r\n\r\n", at, at + _MOST_HEAD_BYTES)
        end = raw.find(between, head_end + 2) if head_end >= 0 else -1
        if end < 0:
            raise ApiError(400, "the form is not whole: it lacks its last boundary")
        found = _NAME.search(raw, at, head_end)
        if found:
            spans[found[1].decode("utf-8", "replace")] = (min(head_end + 4, end), end)
        at = end + 2
    raise ApiError(400, f"the form has more than {_MOST_PARTS} parts")
