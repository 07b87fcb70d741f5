"""How near the answer's meaning is to the target's: the cosine of their embeddings, from 0 to 1.

The cosine of two texts of one language is seldom near 0: compare models by it, or give a `threshold` of your own.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from weighbridge.errors import BadTask
from weighbridge.evals.http import Connection, ConnectionLost, Target
from weighbridge.evals.score import Answer, Score, ScoringFailed
from weighbridge.evals.scorers._needs import targets
from weighbridge.evals.task import Sample

_SECONDS = 120.0


@dataclass(slots=True)
class Similar:
    """Asks an embedding model; with a `threshold`, the score is 1 from there on and 0 below."""

    target: Target
    threshold: float | None
    _idle: list[Connection] = field(default_factory=list)

    async def score(self, sample: Sample, answer: Answer) -> Score:
        """The best cosine with one of the targets. ScoringFailed where the server gives no embeddings."""
        said, *wanted = await self._embedded([answer.text, *targets(sample)])
        nearest = max(_cosine(said, each) for each in wanted)
        value = max(0.0, min(1.0, nearest)) if self.threshold is None else float(nearest >= self.threshold)
        return Score(value, None, f"cosine {nearest:.4f}")

    async def _embedded(self, texts: list[str]) -> list[Sequence[float]]:
        connection = self._idle.pop() if self._idle else Connection(self.target)
        body = json.dumps({"model": self.target.model, "input": texts}).encode()
        try:
            response = await connection.request("POST", "/v1/embeddings", body, timeout=_SECONDS)
            if response.status != 200:
                raise ScoringFailed(f"the embedding model: HTTP {response.status}: {response.body[:200]!r}")
            found = sorted(json.loads(response.body)["data"], key=lambda each: int(each["index"]))
            vectors = [each["embedding"] for each in found]
        except (ConnectionLost, TimeoutError, ValueError, KeyError, TypeError) as error:
            raise ScoringFailed(f"the embedding model gives none: {error}") from error
        finally:
            self._idle.append(connection)
        if len(vectors) != len(texts) or len({len(vector) for vector in vectors}) != 1:
            raise ScoringFailed(f"{len(vectors)} embeddings of {len(texts)} texts")
        return vectors

    def close(self) -> None:
        """Give the connections back."""
        while self._idle:
            self._idle.pop().close()


def _cosine(first: Sequence[float], second: Sequence[float]) -> float:
    lengths = math.hypot(*first) * math.hypot(*second)
    return math.fsum(a * b for a, b in zip(first, second, strict=True)) / lengths if lengths else 0.0


def make(url: str = "", model: str = "", threshold: float | None = None, api_key_variable: str = "") -> Similar:
    """By the options of a task: the embedding model's `url` and `model`."""
    if not url or not model:
        raise BadTask("scorer similar needs url and model", hint="of a server that has /v1/embeddings")
    key = os.environ.get(api_key_variable, "") if api_key_variable else ""
    return Similar(Target(url.rstrip("/").removesuffix("/v1"), model, key), threshold)
