"""`bound()`: how far two models lie apart at least, by the likeliest tokens alone that servers tell.

The likeliest tokens of two predictions, and one bucket for all others, are a coarser view of both; no coarser view has
a larger divergence (the data-processing inequality: Cover and Thomas, Elements of Information Theory, 2.8). So what is
told here is a lower bound. There is no upper one: of tokens that are not told the other model may think anything.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from weighbridge.errors import BadSetting, EngineFailed
from weighbridge.evals import Target
from weighbridge.evals.http import Connection, ConnectionLost

from .intervals import Interval, Segments, interval_of_mean, interval_of_share
from .text import Text

TOP = 100
_CONTEXT_CHARACTERS = 800
_LEAST_POSITIONS, _LEAST_CONTEXT = 20, 200
_SECONDS = 120.0
_TINY = 1e-12
_WORD_END = re.compile(r"(?<=\S)(?=\s)")


class _TooLong(EngineFailed):
    """A request that a server does not take, as one that is longer than its context: a shorter one may do."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the likeliest tokens tell of two models; divergences in nats a token, intervals of 95 %."""

    base: str
    quant: str
    text: str
    positions: int
    top: int
    """How many of the likeliest tokens were told, at the fewest."""
    kl_at_least: Interval
    """The mean over the positions of a lower bound of the divergence: the divergence itself is this or more."""
    agreement: Interval
    """The share of positions where both hold the same token likeliest: no bound, for that both tell."""
    covered: float
    """The share of the base's probability that lies on tokens which both told: the nearer to 1, the tighter."""


def lower_bound(base: Mapping[str, float], quant: Mapping[str, float]) -> tuple[float, float]:
    """Of KL(base, quant) in nats, from the log-probabilities of each one's likeliest tokens; and the base's probability
    on the tokens that both tell.

    Over the tokens S that both tell: sum p log(p / q) + (1 - P) log((1 - P) / (1 - Q)), P and Q their sums. E.g.
    p = {a: 1/2}, q = {a: 1/4}: log(2) / 2 + log(2 / 3) / 2 = 0.1438.
    """
    both = [(math.exp(base[token]), math.exp(quant[token])) for token in base if token in quant]
    both = [(p, q) for p, q in both if p > 0 and q > 0]
    p_all, q_all = (min(1.0, math.fsum(values)) for values in zip(*both, strict=True)) if both else (0.0, 0.0)
    told = math.fsum(p * math.log(p / q) for p, q in both)
    p_rest, q_rest = max(1.0 - p_all, 0.0), max(1.0 - q_all, _TINY)
    rest = p_rest * math.log(p_rest / q_rest) if p_rest > _TINY else 0.0
    return max(0.0, told + rest), p_all


def places(text: str, most: int) -> list[int]:
    """Ends of words, spread over the text, each with enough before it to foretell from."""
    ends = [found.start() for found in _WORD_END.finditer(text) if found.start() >= _LEAST_CONTEXT]
    if len(ends) < _LEAST_POSITIONS:
        raise BadSetting(
            f"the text has {len(ends)} words that something stands before, and {_LEAST_POSITIONS} are needed",
            hint="--text takes any file of plain text",
        )
    count = min(most, len(ends))
    return [ends[number * len(ends) // count] for number in range(count)]


async def bound(quant: Target, base: Target, text: Text, positions: int = 200) -> Bounds:
    """Ask two servers what comes after the same words. EngineFailed where one tells no log-probabilities."""
    kls, agrees, covered, top = [], [], [], TOP
    connections = [Connection(target) for target in (quant, base)]
    try:
        characters = _CONTEXT_CHARACTERS
        for at in places(text.content, positions):
            while True:
                prompt = text.content[max(0, at - characters) : at]
                try:
                    mine, its = [
                        await _likeliest(connection, target, prompt)
                        for connection, target in zip(connections, (quant, base), strict=True)
                    ]
                    break
                except _TooLong:
                    if characters <= _LEAST_CONTEXT // 2:
                        raise
                    characters //= 2
            kl, share = lower_bound(its, mine)
            kls.append(kl)
            covered.append(share)
            agrees.append(float(max(mine, key=mine.__getitem__) == max(its, key=its.__getitem__)))
            top = min(top, len(mine), len(its))
    finally:
        for connection in connections:
            connection.close()
    lengths = [1] * len(kls)
    return Bounds(
        base.label, quant.label, text.source, len(kls), top,
        interval_of_mean(Segments.of(np.array(kls), lengths)),
        interval_of_share(Segments.of(np.array(agrees), lengths)),
        math.fsum(covered) / len(covered),
    )  # fmt: skip


async def _likeliest(connection: Connection, target: Target, prompt: str) -> dict[str, float]:
    body = {"model": target.model, "prompt": prompt, "max_tokens": 1, "temperature": 0, "logprobs": TOP}
    try:
        response = await connection.request("POST", "/v1/completions", json.dumps(body).encode(), timeout=_SECONDS)
        if response.status != 200:
            raise (_TooLong if response.status in (400, 413) else EngineFailed)(
                f"{target.label}: HTTP {response.status}: {response.body[:200].decode(errors='replace')}",
                hint="it must answer /v1/completions with logprobs",
            )
        found = _read(json.loads(response.body)["choices"][0]["logprobs"])
    except (ConnectionLost, TimeoutError) as error:
        raise EngineFailed(f"{target.label}: {error}", hint="is the server running?") from error
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise EngineFailed(
            f"{target.label} tells no log-probabilities: {error!r}", hint="it must answer /v1/completions with logprobs"
        ) from error
    return found


def _read(logprobs: Any) -> dict[str, float]:
    """The first token's alternatives, as llama.cpp has them (a list) or as OpenAI and vLLM do (a mapping)."""
    if "content" in logprobs:
        entries = [(each["token"], each["logprob"]) for each in logprobs["content"][0]["top_logprobs"]]
    else:
        entries = list(logprobs["top_logprobs"][0].items())
    # Tokens that are no whole letters may bear one name: their probabilities are added.
    found: dict[str, float] = {}
    for token, logprob in entries:
        value = float(logprob)
        found[str(token)] = value if token not in found else float(np.logaddexp(found[str(token)], value))
    if not found or any(not value <= 1e-6 for value in found.values()):
        raise ValueError("no log-probabilities below 0")
    return found
