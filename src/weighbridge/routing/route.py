"""`route(request, candidates)`: a pure function from a request and the models' cards to a model and a reason."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from weighbridge.facts import Card
from weighbridge.openai_api import ApiError, Request

from .likeness import Rarity, cosine

AUTO = "auto"
# Below this no card speaks of the request. In the bundled models' own lanes the right card scores 0.4 and more (median
# 0.7), and general chatter scores 0.15 and less.
_LEAST_LIKENESS = 0.22


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that could answer, with what its card says it is for."""

    name: str
    card: Card

    @property
    def is_specialist(self) -> bool:
        """Whether its card shows what it was made to answer."""
        return bool(self.card.examples)


@dataclass(frozen=True, slots=True)
class Route:
    """The model that shall answer, and why, in words."""

    model: str
    reason: str


@functools.lru_cache(maxsize=64)
def _index(candidates: tuple[Candidate, ...]) -> tuple[Rarity, tuple[tuple[str, str, dict[str, float]], ...]]:
    """Rarity over all cards, and each example's model, text and vector; made once for a set of models."""
    examples = [(candidate.name, text) for candidate in candidates for text in candidate.card.examples]
    rarity = Rarity(text for _, text in examples)
    return rarity, tuple((name, text, rarity.vector(text)) for name, text in examples)


def route(request: Request, candidates: Sequence[Candidate]) -> Route:
    """The model named in the request; for `auto`, the one whose card has the example most like the prompt.

    Where no card speaks of it, a model without a lane of its own, else the first. ApiError 404 for an unknown name.
    """
    if request.model != AUTO:
        if any(candidate.name == request.model for candidate in candidates):
            return Route(request.model, "named in the request")
        served = ", ".join([AUTO, *(candidate.name for candidate in candidates)])
        raise ApiError(
            404,
            f"The model {request.model!r} is not served here. There are: {served}.",
            code="model_not_found",
            param="model",
            source="router",
        )
    if not candidates:
        raise ApiError(503, "no model is served here", kind="server_error", source="router")
    if len(candidates) == 1:
        return Route(candidates[0].name, "auto: the only model served")
    best = _most_alike(request.prompt, tuple(candidates))
    if best:
        return best
    general = next((candidate for candidate in candidates if not candidate.is_specialist), None)
    if general:
        return Route(general.name, "auto: no card speaks of this, and this model is bound to no lane")
    return Route(candidates[0].name, "auto: no card speaks of this; first in the list")


def _most_alike(prompt: str, candidates: tuple[Candidate, ...]) -> Route | None:
    rarity, examples = _index(candidates)
    asked = rarity.vector(prompt)
    found: dict[str, tuple[float, str]] = {}
    for name, text, vector in examples:
        likeness = cosine(asked, vector)
        if likeness > found.get(name, (0.0, ""))[0]:
            found[name] = (likeness, text)
    ranked = sorted(found.items(), key=lambda entry: -entry[1][0])
    if not ranked or ranked[0][1][0] < _LEAST_LIKENESS:
        return None
    name, (likeness, example) = ranked[0]
    reason = f"auto: most like {example!r} on the card of {name} ({likeness:.2f}"
    reason += f"; next {ranked[1][0]}, {ranked[1][1][0]:.2f})" if len(ranked) > 1 else ")"
    return Route(name, reason)
