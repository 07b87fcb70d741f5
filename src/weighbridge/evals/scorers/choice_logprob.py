"""Multiple choice by likelihood: right where the letter that the model finds likeliest as first token is the target's.

The server must give `top_logprobs`. Nothing the model would go on to say counts, so that a model that cannot follow the
form can still show what it knows. Letters that are not among the likeliest tokens are taken for less likely than all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from weighbridge.evals.score import Answer, Score, ScoringFailed
from weighbridge.evals.scorers.choice import target_letter
from weighbridge.evals.task import Sample, letter


@dataclass(frozen=True, slots=True)
class ChoiceLogprob:
    """A letter's likelihood is that of all tokens that are it but for spaces and brackets."""

    request: Mapping[str, Any] = field(
        default_factory=lambda: {"max_tokens": 1, "logprobs": True, "top_logprobs": 20, "temperature": 0}
    )

    async def score(self, sample: Sample, answer: Answer) -> Score:
        """1 or 0. ScoringFailed where the server gave no log-probabilities, or none of a letter."""
        target = target_letter(sample)
        if not answer.top_logprobs:
            raise ScoringFailed("the server gave no top_logprobs: use the scorer choice")
        mass = dict.fromkeys((letter(index) for index in range(len(sample.choices))), 0.0)
        for token, logprob in answer.top_logprobs.items():
            plain = token.strip().strip("()[].*").upper()
            if plain in mass:
                mass[plain] += math.exp(logprob)
        likeliest = max(mass, key=mass.__getitem__)
        if not mass[likeliest]:
            raise ScoringFailed("no letter is among the 20 likeliest first tokens")
        shown = ", ".join(f"{name} {value:.3f}" for name, value in mass.items())
        return Score(float(likeliest == target), likeliest, shown)


def make() -> ChoiceLogprob:
    """It has no options."""
    return ChoiceLogprob()
