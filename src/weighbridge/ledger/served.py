"""`Served`: what the ledger is told of one request, and the row that it becomes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from json.encoder import encode_basestring_ascii as _quoted
from typing import NamedTuple

try:
    from . import _rows  # type: ignore[attr-defined,unused-ignore]  # compiled when the package is installed
except ImportError:  # no compiler, or no headers of Python, was there then
    _rows = None

_LONGEST_WORD = 300
_LONGEST_REASON = 1000


class Served(NamedTuple):
    """One request and how it ended; None is unknown, or was not come to."""

    at: float
    """When it was over, in seconds since 1970."""
    id: str
    path: str
    asked: str | None
    """The model as the client named it."""
    model: str | None
    """The one that was chosen."""
    layer: str | None
    """What decided: `routing.Route.layer`."""
    reason: str | None
    engine: str | None
    """Hash of what the row of its engine says: plan, engine, files."""
    key: str | None
    """The name of the client's key."""
    status: int | None
    """None where the client got nothing of it: it left before, or something else was answered."""
    outcome: str
    """`done`; `gone`: the client left; `failed`: the engine did; `error`: it was refused; `dropped`: nobody wanted
    it any more, since another model was quicker or the time was over."""
    error: str | None
    """Code of the error that the client was told."""
    stream: bool
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None
    """Of the prompt, those that the engine had computed for an earlier request."""
    queue_us: int | None
    """Microseconds in the model's queue, loading it included."""
    first_us: int | None
    """Microseconds from the request's last byte to the answer's first."""
    total_us: int
    """Microseconds from the request's last byte to the answer's last."""
    prompt: str | None = None
    """The request's text, where the settings have it kept."""
    answer: str | None = None


Fields = tuple[
    float, str, str, str | None, str | None, str | None, str | None, str | None, str | None, int | None, str,
    str | None, bool, int | None, int | None, int | None, int | None, int | None, int, str | None, str | None,
]  # fmt: skip
"""All that a `Served` has, in its order."""
served_of: Callable[[Fields], Served] = functools.partial(tuple.__new__, Served)
"""A `Served` of its fields, at a quarter of the price of its constructor."""


Chain = Callable[[str, int, str, float, list[Served]], tuple[str, str] | None]
chain: Chain | None = getattr(_rows, "chain", None)
"""chain(hash, number, time, second, told): the lines of rows that follow on a row with such a hash and number, and the
last one's hash; `time` is as rows have it, up to the point of its second. None where not all are plain."""


def row_of(number: int, time: str, served: Served) -> str:
    """Its row, in the same letters as `canonical` would write: by rows.c where that was compiled and the row is plain,
    as nearly all are."""
    row: str | None = None if _rows is None else _rows.row_of(number, time, served)
    return _row_in_full(number, time, served) if row is None else row


def _row_in_full(number: int, time: str, served: Served) -> str:
    """By hand, for it is made for every request."""
    (
        _, name, path, asked, model, layer, reason, engine, key, status, outcome, error, stream, prompt_tokens,
        completion_tokens, cached_tokens, queue_us, first_us, total_us, prompt, answer,
    ) = served  # fmt: skip
    texts = "" if answer is None else f'"answer":{_quoted(answer)},'
    said = "" if prompt is None else f'"prompt":{_quoted(prompt)},'
    return (
        f'{{{texts}"asked":{"null" if asked is None else _quoted(asked[:_LONGEST_WORD])}'
        f',"cached_tokens":{"null" if cached_tokens is None else cached_tokens}'
        f',"completion_tokens":{"null" if completion_tokens is None else completion_tokens}'
        f',"engine":{"null" if engine is None else _quoted(engine)}'
        f',"error":{"null" if error is None else _quoted(error[:_LONGEST_WORD])}'
        f',"first_us":{"null" if first_us is None else first_us},"id":{_quoted(name)}'
        f',"key":{"null" if key is None else _quoted(key[:_LONGEST_WORD])},"kind":"request"'
        f',"layer":{"null" if layer is None else _quoted(layer)}'
        f',"model":{"null" if model is None else _quoted(model[:_LONGEST_WORD])},"number":{number}'
        f',"outcome":{_quoted(outcome)},"path":{_quoted(path[:_LONGEST_WORD])},{said}'
        f'"prompt_tokens":{"null" if prompt_tokens is None else prompt_tokens}'
        f',"queue_us":{"null" if queue_us is None else queue_us}'
        f',"reason":{"null" if reason is None else _quoted(reason[:_LONGEST_REASON])}'
        f',"status":{"null" if status is None else status},"stream":{"true" if stream else "false"}'
        f',"time":"{time}","total_us":{total_us}}}'
    )
