"""`Feedback`: what users think of answers, joined to the requests that got them; routing learns from it later."""

from __future__ import annotations

import asyncio
import functools
import json
import math
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from weighbridge import routing
from weighbridge.errors import WeighbridgeError
from weighbridge.openai_api import ApiError, prompt_of
from weighbridge.routing import excerpt

from .guard import Caller
from .recent import Asked, Recent
from .wire import Body, Form

PATHS = frozenset(b"/v1/chat/completions /v1/completions /v1/messages /v1/responses".split())
"""Where a prompt is answered by a text that one may like or not."""
# A body so short is kept as it came; of a longer one the part of its prompt that will be asked for.
_SHORT_BYTES = 4096
_MOST_BODY_BYTES = 64 << 10
_MOST_COMMENT_LETTERS = 2000
_FIELDS = frozenset({"request_id", "score", "thumb", "correct_model", "comment"})
_THUMBS = {"up": 1.0, "down": 0.0, True: 1.0, False: 0.0}


Kept = tuple[str, bytes, None, str, str | None, str]
"""Name, body, and of a long one later the letters of its prompt; the model that answered, the task, and whom."""
# At a quarter of the price of its constructor.
_asked_of: Callable[[Kept], Asked] = functools.partial(tuple.__new__, Asked)


class Answered(NamedTuple):
    """What is remembered of a request."""

    model: str
    prompt: str
    letters: int
    task: str | None
    caller: str


class Feedback:
    """The latest requests, in memory alone, and what was said of them, in the store: written on a thread of its own."""

    def __init__(self, state_path: Path, most: int) -> None:
        self._state_path, self._most = state_path, most
        self._recent = Recent(most)
        self.elsewhere: Callable[[str], Awaitable[Answered | None]] | None = None
        """Asks what another process of the gateway remembers of a request."""
        self._thread: ThreadPoolExecutor | None = None

    def remember(self, name: str, path: bytes, body: Body | Form, model: str, task: str | None, caller: Caller) -> None:
        """A request was answered. One that is too long to be taken apart here is passed over."""
        if path not in PATHS or isinstance(body, Form) or body.is_large:
            return
        self._recent.add(Asked(name, *_kept_of(body), model, task, caller.name))

    def remember_bodies(self, told: Iterable[Kept]) -> None:
        """Requests were answered: of each what `Asked` has, with the whole JSON body."""
        every = [*map(_asked_of, told)]
        for at, asked in enumerate(every):
            if len(asked[1]) > _SHORT_BYTES:
                kept, letters = _kept_of(Body(asked.kept))
                every[at] = asked._replace(kept=kept, letters=letters)
        self._recent.add(*every)

    def remembered(self, name: str) -> Answered | None:
        """What is remembered of a request, the latest of its name."""
        found = self._recent.find(name)
        if found is None:
            return None
        if found.letters is None:
            prompt = prompt_of(Body(found.kept).fields)
            shown, letters = excerpt(prompt), len(prompt)
        else:
            shown, letters = found.kept.decode(errors="surrogatepass"), found.letters
        return Answered(found.model, shown, letters, found.task, found.caller)

    async def take(self, raw: bytes, caller: Caller, models: frozenset[str]) -> dict[str, Any]:
        """What a user says of one answer: kept when this returns. ApiError 400 for what cannot be read, 404 for a
        request that is not remembered, or was another's."""
        said = _read(raw)
        name = said["request_id"]
        answered = self.remembered(name)
        if answered is None and self.elsewhere is not None:
            answered = await self.elsewhere(name)
        if answered is None or not (caller.is_admin or caller.name == answered.caller):
            raise ApiError(
                404,
                f"No request {name[:80]!r} is remembered: the latest {self._most:,} are, since the gateway started.",
                code="request_not_found",
                param="request_id",
            )
        better = said.get("correct_model")
        if better is not None and better not in models:
            raise ApiError(
                400,
                f"correct_model is {better[:80]!r}, which is not served; there are: {', '.join(sorted(models))}.",
                param="correct_model",
            )
        score = said["score"]
        if score is None:
            score = float(better == answered.model)
        await self._write(name, answered, score, better, said.get("comment"))
        return {"object": "feedback", "request_id": name, "model": answered.model, "score": score}

    async def _write(
        self, name: str, answered: Answered, score: float, better: str | None, comment: str | None
    ) -> None:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="feedback")

        def write() -> None:
            # Arrays are only loaded where somebody said something.
            thumb = routing.Thumb(name, answered.model, score, answered.task, better, comment)
            routing.keep_thumb(self._state_path, thumb, answered.prompt, answered.letters)

        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, write)
        except WeighbridgeError as error:
            raise ApiError(
                503, f"It could not be kept: {error}", kind="server_error", code="feedback_not_kept"
            ) from error

    async def close(self) -> None:
        """Returns when all that was said is kept."""
        if self._thread is not None:
            await asyncio.to_thread(self._thread.shutdown)


def _kept_of(body: Body) -> tuple[bytes, int | None]:
    """What is kept of a body, and how many letters its prompt has where that is no more the body itself."""
    if len(body.bytes) <= _SHORT_BYTES:
        return body.bytes, None
    prompt = prompt_of(body.fields)
    # A lone surrogate, which JSON can name, is kept too.
    return excerpt(prompt).encode(errors="surrogatepass"), len(prompt)


def _read(raw: bytes) -> dict[str, Any]:
    if len(raw) > _MOST_BODY_BYTES:
        raise ApiError(413, f"feedback is {len(raw):,} bytes, at most {_MOST_BODY_BYTES:,} are taken")
    try:
        said = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"the body is not JSON: {error}") from error
    if not isinstance(said, dict):
        raise ApiError(400, f"the body is a JSON {type(said).__name__}, expected an object")
    unknown = sorted(set(said) - _FIELDS)
    if unknown:
        raise ApiError(
            400,
            f"{unknown[0][:80]!r} is no part of feedback; there are: {', '.join(sorted(_FIELDS))}",
            param=unknown[0][:80],
        )
    for field in ("request_id", "correct_model", "comment"):
        if said.get(field) is not None and not isinstance(said[field], str):
            raise ApiError(400, f"{field} is {json.dumps(said[field])[:60]}, expected a text", param=field)
    if not said.get("request_id"):
        raise ApiError(400, "request_id is missing: an answer's x-request-id names it", param="request_id")
    if said.get("comment"):
        said["comment"] = said["comment"][:_MOST_COMMENT_LETTERS]
    said["score"] = _score(said)
    return said


def _score(said: dict[str, Any]) -> float | None:
    score, thumb = said.get("score"), said.get("thumb")
    if score is not None:
        if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1 or math.isnan(score):
            raise ApiError(
                400, f"score is {json.dumps(score)[:60]}, expected 0, useless, to 1, all right", param="score"
            )
        return float(score)
    if thumb is not None:
        if not isinstance(thumb, str | bool) or thumb not in _THUMBS:
            raise ApiError(400, f'thumb is {json.dumps(thumb)[:60]}, expected "up" or "down"', param="thumb")
        return _THUMBS[thumb]
    if said.get("correct_model") is None:
        raise ApiError(400, "nothing is said: expected score, thumb or correct_model", param="score")
    return None
