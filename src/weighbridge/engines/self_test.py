"""The test that every engine must pass before it is called ready: one token, or one embedding, that makes sense.

A file with zeros or no-numbers in it loads without complaint and answers nonsense. What is looked for is what no whole
model gives: scores that are no numbers, or the same score for each of the likeliest tokens.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import Iterator
from typing import Any

from weighbridge.errors import EngineFailed
from weighbridge.openai_api import HttpAnswer, ask

from .endpoint import Endpoint

_PROMPT = "Hello"
# vLLM gives at most 20 unless it is told otherwise.
_SCORES = 8
# Two scores of 32 bits that differ by less are one score.
_SAME = 1e-6
_ASK_SECONDS = 0.02
# A vector of 65,536 values, written out.
_LARGEST_ANSWER_BYTES = 4 << 20
_DAMAGED = "the file is damaged: fetch it again and compare its checksum"


def ask_endpoint(
    endpoint: Endpoint, method: str, path: str, content: object = None, *, seconds: float | None = None
) -> contextlib.AbstractAsyncContextManager[HttpAnswer]:
    """One request to an engine, through its socket or its address, as `openai_api.ask`. Without `seconds`, what it
    costs to load is the caller's to bound."""
    return ask(
        method,
        endpoint.base_url + path,
        content,
        socket=endpoint.socket,
        headers={"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {},
        verify_tls=endpoint.verify_tls,
        seconds=seconds,
    )


async def until_healthy(endpoint: Endpoint) -> None:
    """Return when `/health` says 200; the caller bounds the time."""
    waited = _ASK_SECONDS
    while True:
        with contextlib.suppress(OSError):
            async with ask_endpoint(endpoint, "GET", "/health", seconds=5) as answer:
                if answer.status == 200:
                    return
        await asyncio.sleep(waited)
        waited = min(1.0, waited * 1.3)


async def self_test(endpoint: Endpoint, name: str, *, gives: str) -> None:
    """Ask for one token, or of a model that gives `embedding` or `score` for one of these. EngineFailed tells what is
    wrong with the answer."""
    asked = {"embedding": _ask_embedding, "score": _ask_score}.get(gives, _ask_token)
    try:
        await asked(endpoint, endpoint.model or name)
    except OSError as error:
        raise EngineFailed(f"it loaded, but its first answer broke off: {error}") from error


async def _ask_token(endpoint: Endpoint, model: str) -> None:
    request = {"model": model, "prompt": _PROMPT, "max_tokens": 1, "temperature": 0, "logprobs": _SCORES}
    answer = await _post(endpoint, "/v1/completions", request)
    try:
        scores = list(_scores(answer["choices"][0].get("logprobs") or {}))
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise EngineFailed(f"it loaded, but its first answer is none: {str(answer)[:200]}") from error
    numbers = [score for score in scores if score is not None and not math.isnan(score)]
    if len(numbers) < len(scores):
        raise EngineFailed("it loaded, but computes no numbers (NaN): some of its weights are none", hint=_DAMAGED)
    if len(numbers) > 2 and max(numbers) - min(numbers) < _SAME:
        raise EngineFailed(
            f"it loaded, but every token is as likely as any other ({math.exp(numbers[0]):.2g} each): weights are "
            "missing or zero",
            hint=_DAMAGED,
        )


def _scores(logprobs: dict[str, Any]) -> Iterator[float | None]:
    """The scores of the likeliest tokens, as llama.cpp writes them and as OpenAI does."""
    for token in logprobs.get("content") or ():
        yield from (other["logprob"] for other in token["top_logprobs"])
    for tokens in logprobs.get("top_logprobs") or ():
        yield from tokens.values()


async def _ask_embedding(endpoint: Endpoint, model: str) -> None:
    answer = await _post(endpoint, "/v1/embeddings", {"model": model, "input": _PROMPT})
    try:
        vector = list(answer["data"][0]["embedding"])
    except (KeyError, IndexError, TypeError) as error:
        raise EngineFailed(f"it loaded, but its first answer is no embedding: {str(answer)[:200]}") from error
    if not vector or any(not isinstance(value, int | float) or math.isnan(value) for value in vector):
        raise EngineFailed("it loaded, but its embeddings are no numbers (NaN)", hint=_DAMAGED)
    if len(vector) > 1 and max(vector) - min(vector) < _SAME:
        raise EngineFailed("it loaded, but all values of its embeddings are the same", hint=_DAMAGED)


async def _ask_score(endpoint: Endpoint, model: str) -> None:
    answer = await _post(endpoint, "/v1/rerank", {"model": model, "query": _PROMPT, "documents": [_PROMPT]})
    try:
        score = float(answer["results"][0]["relevance_score"])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise EngineFailed(f"it loaded, but its first answer is no ranking: {str(answer)[:200]}") from error
    if math.isnan(score):
        raise EngineFailed("it loaded, but its scores are no numbers (NaN)", hint=_DAMAGED)


async def _post(endpoint: Endpoint, path: str, request: dict[str, object]) -> dict[str, Any]:
    async with ask_endpoint(endpoint, "POST", path, request) as response:
        raw = await response.read(_LARGEST_ANSWER_BYTES)
        text = raw[:300].decode(errors="replace")
        if response.status != 200:
            raise EngineFailed(f"it loaded, but answers {response.status}: {text}")
        try:
            answer: dict[str, Any] = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise EngineFailed(f"it loaded, but its answer is no JSON: {text[:200]}") from error
        return answer
