"""`route(request, candidates)`: a pure function from a request and the models' cards to a model and a reason."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from weighbridge.facts import Card
from weighbridge.openai_api import AUTO, ApiError, Request

from .cards import Cards


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
def _cards(candidates: tuple[Candidate, ...]) -> Cards:
    """The specialists' cards, made ready once for a set of models."""
    specialists = [candidate for candidate in candidates if candidate.is_specialist]
    return Cards(
        {candidate.name: candidate.card.examples for candidate in specialists},
        [text for candidate in specialists for text in candidate.card.counter_examples],
    )


def route(request: Request, candidates: Sequence[Candidate]) -> Route:
    """The model named in the request; for `auto`, the one whose card's examples have the prompt's form.

    Where no card speaks of it, a model without a lane of its own, else the nearest. ApiError 404 for an unknown name.
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
    specialists = [candidate for candidate in candidates if candidate.is_specialist]
    general = next((candidate for candidate in candidates if not candidate.is_specialist), None)
    if not specialists:
        return Route(candidates[0].name, "auto: no card shows what its model is for; first in the list")
    return _by_cards(_cards(tuple(candidates)), request.prompt, general)


def _by_cards(cards: Cards, prompt: str, general: Candidate | None) -> Route:
    """The best card if it speaks of the prompt; else the model without a lane, or the card that comes nearest."""
    judged = cards.judge(prompt)
    best, *others = judged.ranked
    if judged.by_card[best] > judged.by_none:
        runner_up = (
            f", {judged.by_card[best] - judged.by_card[others[0]]:.2f} nats ahead of {others[0]}" if others else ""
        )
        return Route(best, f"auto: in form like {cards.nearest(best, prompt)!r} on the card of {best}{runner_up}")
    if general:
        return Route(general.name, "auto: no card speaks of this, and this model is bound to no lane")
    return Route(best, f"auto: no card speaks of this; the nearest is {best}")
