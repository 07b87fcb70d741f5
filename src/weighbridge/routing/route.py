"""`route(request, candidates)`: a pure function from a request and what is known to a model and a reason.

In layers: the name that was asked for; what a candidate must be able and allowed to do; rules; cards of specialists;
evidence of quality against cost, time and energy; a warm cache and waiting requests. Each layer says why.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from weighbridge.facts import Card
from weighbridge.figures import Basis, Figure, Range
from weighbridge.openai_api import AUTO, ApiError, Request

from .cards import Cards
from .cascade import ASSUMED, WITH_LOG_PROBABILITIES, Escalation
from .needs import Needs, forbidden, needs_of_request, obstacles, unknowns
from .policy import Policies, Policy, categories
from .weighing import burdens, takes

if TYPE_CHECKING:
    from .predictor import Prediction, Predictor

_NO_CARD = Card()
Thresholds = Mapping[tuple[str, str], Figure]
"""By small and big model: when the big one is asked, as learnt; assumed where it is not here."""
_NO_THRESHOLDS: Thresholds = {}
_PREFIX = f"{AUTO}:"
# One standard error and a half: about 90 % of what is expected lies within, were it normal.
_SPREAD = 1.645
# So many outcomes of a model, by weight, before its evidence counts.
_FEWEST_OUTCOMES = 5.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that could answer, with what its card says it is for and what is known of where it runs.

    None is unknown, and unknown is no obstacle, except to a rule on licences or places.
    """

    name: str
    card: Card = _NO_CARD
    context_tokens: int | None = None
    """Of one request, as it is served."""
    vision: bool | None = None
    tools: bool | None = None
    json_schema: bool | None = None
    licence: str | None = None
    """SPDX identifier."""
    place: str | None = "here"
    """Where the data goes."""
    loaded: bool = True
    loadable: bool | None = True
    """Whether it fits what is free, if it is not loaded."""
    load_seconds: Figure | None = None
    waiting: int = 0
    """Requests in its queue."""
    parallel: int = 1
    """Requests that it answers at once."""
    cost_per_token: Figure | None = None
    """Of its answer, in any one currency; of the prompt too, unless that is told."""
    cost_per_prompt_token: Figure | None = None
    tokens_per_second: Figure | None = None
    joules_per_token: Figure | None = None
    evidence_name: str | None = None
    """By which name the evidence knows it, where that differs."""

    @property
    def is_specialist(self) -> bool:
        """Whether its card shows what it was made to answer."""
        return bool(self.card.examples)


@dataclass(frozen=True, slots=True)
class Considered:
    """A candidate as it was weighed, or why it was not."""

    model: str
    obstacles: tuple[str, ...] = ()
    quality: Range | None = None
    worth: float | None = None
    """Expected quality less what cost, time, energy, waiting and a cold cache are worth; in points of quality."""
    cost: Figure | None = None
    seconds: Figure | None = None
    joules: Figure | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """The model that shall answer, and why, in words."""

    model: str
    reason: str
    basis: Basis = Basis.READ
    """What the choice rests on: read (a name, a rule, a card), measured (evidence), assumed (nothing known)."""
    layer: str = "name"
    """What decided: `name`, `only`, `rule`, `card`, `evidence`, `cascade` or `order`."""
    considered: tuple[Considered, ...] = ()
    escalation: Escalation | None = None
    """In a cascade: when not to keep the answer, and whom to ask then."""
    category: str | None = None
    """The task that the prompt was recognised as."""


@functools.lru_cache(maxsize=64)
def _cards(specialists: tuple[tuple[str, Card], ...]) -> Cards:
    """The specialists' cards, made ready once for a set of models."""
    return Cards(
        {name: card.examples for name, card in specialists},
        [text for _, card in specialists for text in card.counter_examples],
    )


def route(
    request: Request,
    candidates: Sequence[Candidate],
    predictor: Predictor | None = None,
    policies: Policies = Policies(),  # noqa: B008 - it never changes
    *,
    needs: Needs | None = None,
    warm: str | None = None,
    task: str | None = None,
    thresholds: Thresholds = _NO_THRESHOLDS,
) -> Route:
    """The model named in the request; for `auto` and its kin, the best of those that can and may.

    `predictor` is what was learnt from evidence, `needs` what the request asks beside words (found in its body where it
    is not given), `warm` the model that holds this conversation's cache, `task` the request's task where the caller
    knows it, `thresholds` what was learnt of when a cascade escalates. ApiError 404 for an unknown name, 403 for one
    that the policy forbids, 400 where no candidate can do what is asked, 503 where there is none.
    """
    policy = policies.of(request)
    if policy is None:
        return _named(request, candidates, policies)
    if not candidates:
        raise ApiError(503, "no model is served here", kind="server_error", source="router")
    needs = needs or needs_of_request(request)
    able, refused = _able(candidates, needs, policy)
    if len(able) == 1:
        why = "the only model served" if len(candidates) == 1 else f"the only one that can: {_refusals(refused)}"
        return Route(able[0].name, f"{policy.name}: {why}", Basis.READ, "only", refused)
    prediction = predictor.predict(request.prompt, task) if predictor and policy.needs_task else None
    ruled = _by_rule(request, able, policy, needs, prediction)
    if ruled:
        return replace(ruled, considered=(*ruled.considered, *refused))
    asks_first = policy.cascade and request.path in WITH_LOG_PROBABILITIES
    if asks_first and len(told := _told_cascade(policy, able)) == 2:
        return _asking_first(Route("", "", considered=refused), policy, told, "is asked first", thresholds)
    carded = _by_cards(request.prompt, able, policy)
    if carded and carded.layer == "card":
        return replace(carded, considered=refused)
    prediction = prediction or (predictor.predict(request.prompt, task) if predictor else None)
    weighed = _by_evidence(request, able, policy, predictor, prediction, warm) if predictor and prediction else None
    chosen = weighed or carded or _in_order(able, policy, warm)
    if refused:
        chosen = replace(chosen, considered=(*chosen.considered, *refused))
    return _cascaded(chosen, policy, able, thresholds) if asks_first else chosen


def _named(request: Request, candidates: Sequence[Candidate], policies: Policies) -> Route:
    """A name is obeyed, unless the standing policy forbids the model."""
    for candidate in candidates:
        if candidate.name == request.model:
            standing = policies.named.get(AUTO)
            against = forbidden(candidate, standing) if standing else []
            if against:
                raise ApiError(
                    403,
                    f"{candidate.name} may not answer: {', '.join(against)}.",
                    code="model_forbidden",
                    param="model",
                    source="router",
                )
            return Route(candidate.name, "named in the request")
    names = [AUTO, *(candidate.name for candidate in candidates)]
    if request.model.startswith(_PREFIX):
        names += [name for name in policies.names if name != AUTO]
    raise ApiError(
        404,
        f"The model {request.model[:100]!r} is not served here. There are: {', '.join(names)}.",
        code="model_not_found",
        param="model",
        source="router",
    )


def _able(
    candidates: Sequence[Candidate], needs: Needs, policy: Policy
) -> tuple[list[Candidate], tuple[Considered, ...]]:
    """Those that nothing is known against, of these the ones of which all that matters is known, if there are any."""
    against = {candidate.name: obstacles(candidate, needs, policy) for candidate in candidates}
    refused = tuple(Considered(name, why) for name, why in against.items() if why)
    able = [candidate for candidate in candidates if not against[candidate.name]]
    if not able:
        too_long = all("tokens" in " ".join(each.obstacles) for each in refused)
        raise ApiError(
            400,
            f"No model served here can answer this: {_refusals(refused)}.",
            code="context_length_exceeded" if too_long else "no_model_can",
            source="router",
        )
    counts = [unknowns(candidate, needs) for candidate in able]
    least = min(counts)
    return [candidate for candidate, count in zip(able, counts, strict=True) if count == least], refused


def _refusals(refused: Sequence[Considered]) -> str:
    return "; ".join(f"{each.model} {', '.join(each.obstacles)}" for each in refused) or "of the others less is known"


def _by_rule(
    request: Request, able: Sequence[Candidate], policy: Policy, needs: Needs, prediction: Prediction | None
) -> Route | None:
    if not policy.rules:
        return None
    found = categories(request.prompt, needs)
    task = prediction.task if prediction and prediction.task_probability > 0.5 else None
    here = {candidate.name for candidate in able}
    for rule in policy.rules:
        if rule.category in found or (task and rule.category == f"task:{task}"):
            model = next((name for name in rule.models if name in here), None)
            if model:
                return Route(
                    model, f"{policy.name}: rule {rule.category} -> {model}", Basis.READ, "rule", category=task
                )
    return None


def _by_cards(prompt: str, able: Sequence[Candidate], policy: Policy) -> Route | None:
    """The best card if it speaks of the prompt; else the model without a lane, or the card that comes nearest."""
    specialists = tuple((candidate.name, candidate.card) for candidate in able if candidate.is_specialist)
    if not specialists:
        return None
    cards = _cards(specialists)
    judged = cards.judge(prompt)
    best, *others = judged.ranked
    if judged.by_card[best] > judged.by_none:
        runner_up = (
            f", {judged.by_card[best] - judged.by_card[others[0]]:.2f} nats ahead of {others[0]}" if others else ""
        )
        reason = f"in form like {cards.nearest(best, prompt)!r} on the card of {best}{runner_up}"
        return Route(best, f"{policy.name}: {reason}", Basis.READ, "card")
    general = next((candidate for candidate in able if not candidate.is_specialist), None)
    if general:
        reason = f"{policy.name}: no card speaks of this, and this model is bound to no lane"
        return Route(general.name, reason, Basis.READ, "order")
    return Route(best, f"{policy.name}: no card speaks of this; the nearest is {best}", Basis.ASSUMED, "order")


def _in_order(able: Sequence[Candidate], policy: Policy, warm: str | None) -> Route:
    """Nothing is known of quality: where the conversation's cache is, else what the policy can see, else the first."""
    kept = next((candidate for candidate in able if candidate.name == warm), None)
    if kept and policy.stickiness:
        return Route(kept.name, f"{policy.name}: it holds this conversation's cache", Basis.READ, "order")
    if policy.cost_worth or policy.seconds_worth or policy.energy_worth:
        heavy = burdens(takes(able, 0), policy)
        if all(burden is not None for burden in heavy) and len({round(b or 0, 9) for b in heavy}) > 1:
            best = min(range(len(able)), key=lambda at: heavy[at] or 0.0)
            reason = f"{policy.name}: nothing is known of quality; it asks least in cost, time and energy"
            return Route(able[best].name, reason, Basis.ASSUMED, "order", tuple(_considered(able)))
    reason = f"{policy.name}: no card shows what its model is for; first in the list"
    return Route(able[0].name, reason, Basis.ASSUMED, "order")


def _by_evidence(
    request: Request,
    able: Sequence[Candidate],
    policy: Policy,
    predictor: Predictor,
    prediction: Prediction,
    warm: str | None,
) -> Route | None:
    """The best by expected quality less what it takes. None where the evidence knows fewer than two of them."""
    known, places, counts = [], [], predictor.counts
    for candidate in able:
        place = predictor.places.get(candidate.evidence_name or candidate.name)
        if place is not None and counts[place] >= _FEWEST_OUTCOMES:
            known.append(candidate)
            places.append(place)
    if len(known) < 2:
        return None
    costs, seconds = prediction.costs.tolist(), prediction.seconds.tolist()
    taken = takes(known, len(request.prompt), [costs[at] for at in places], [seconds[at] for at in places])
    qualities, deviations = prediction.quality.tolist(), prediction.deviation.tolist()
    # What is not known to be cheap is taken for as dear as the dearest.
    heavy = burdens(taken, policy)
    most = max([burden for burden in heavy if burden is not None], default=0.0)
    found = []
    for candidate, place, burden, cost, time, energy in zip(known, places, heavy, *taken, strict=True):
        quality, spread = qualities[place], _SPREAD * deviations[place]
        worth = quality - (most if burden is None else burden)
        if candidate.waiting:
            worth -= policy.queue_worth * candidate.waiting / max(candidate.parallel, 1)
        if candidate.name == warm:
            worth += policy.stickiness
        low, high = quality - spread, quality + spread
        span = Range(low if low > 0 else 0.0, high if high < 1 else 1.0, Basis.MEASURED, predictor.rests_on[place])
        found.append(Considered(candidate.name, (), span, worth, cost, time, energy))
    found.sort(key=_worth, reverse=True)
    return Route(
        found[0].model,
        f"{policy.name}: {_told(found, predictor, prediction, warm)}",
        Basis.MEASURED,
        "evidence",
        tuple(found),
        category=prediction.task if prediction.task_probability > 0.5 else None,
    )


def _worth(each: Considered) -> float:
    return each.worth or 0.0


def _considered(able: Sequence[Candidate]) -> list[Considered]:
    """What an answer to a short prompt would take of each, where nothing is known of quality."""
    taken = takes(able, 0)
    return [
        Considered(each.name, (), None, None, *own) for each, own in zip(able, zip(*taken, strict=True), strict=True)
    ]


def _told(found: Sequence[Considered], predictor: Predictor, prediction: Prediction, warm: str | None) -> str:
    """The choice in words, with its numbers and what they rest on."""
    best, second = found[0], found[1]
    assert best.quality is not None
    assert second.quality is not None
    words = [
        f"expected quality {best.quality.low:.2f} to {best.quality.high:.2f}, "
        f"measured on {predictor.examples} prompts ({best.quality.source} of it)"
    ]
    if prediction.task and prediction.task_probability > 0.5:
        words.append(f"looks like {prediction.task} ({prediction.task_probability:.0%})")
    if prediction.trust <= 0.05:
        words.append(f"unlike the evidence (familiarity {prediction.familiarity:.2f}): the models' means decide")
    else:
        words.append(f"familiarity {prediction.familiarity:.2f}: {prediction.trust:.0%} of what was learnt counts")
    gap = (best.worth or 0.0) - (second.worth or 0.0)
    words.append(f"{gap:.3f} points of quality ahead of {second.model}, all weighed")
    if best.model == warm:
        words.append("it holds this conversation's cache")
    return "; ".join(words)


def _told_cascade(policy: Policy, able: Sequence[Candidate]) -> list[str]:
    """The models that the policy's cascade names, as far as they can answer."""
    return [name for name in policy.cascade_models if any(name == each.name for each in able)]


def _cascaded(chosen: Route, policy: Policy, able: Sequence[Candidate], thresholds: Thresholds) -> Route:
    """Ask the one that takes least first, and the best when that is unsure; nobody first where that is not known."""
    by_name = {each.model: each for each in chosen.considered if each.worth is not None}
    weighed = [by_name.get(each.model, each) for each in _considered(able)]
    small = min(weighed, key=_dearness)
    big = max(
        weighed, key=lambda each: (each.quality.low + each.quality.high, 0.0) if each.quality else _dearness(each)
    )
    if policy.cascade_models or small.model == big.model or _dearness(small) == (math.inf, math.inf):
        return chosen
    return _asking_first(chosen, policy, [small.model, big.model], "takes least", thresholds)


def _asking_first(chosen: Route, policy: Policy, models: Sequence[str], why: str, thresholds: Thresholds) -> Route:
    small, big = models
    threshold = thresholds.get((small, big), ASSUMED)
    return replace(
        chosen,
        model=small,
        reason=f"{policy.name}: {small} {why}; {big} if its mean log-probability is below "
        f"{threshold.value:.2f} ({threshold.basis.value})",
        basis=threshold.basis,
        layer="cascade",
        escalation=Escalation(big, threshold),
    )


def _dearness(each: Considered) -> tuple[float, float]:
    return (
        each.cost.value if each.cost else math.inf,
        each.seconds.value if each.seconds else math.inf,
    )


def explain(
    chosen: Route,
    candidates: Sequence[Candidate],
    request: Request,
    needs: Needs | None = None,
    predictor: Predictor | None = None,
) -> list[str]:
    """The decision line by line: what was asked, who was left out and why, how the others were weighed, by what."""
    needs = needs or needs_of_request(request)
    lines = [f"{chosen.model}: {chosen.reason}", f"needs about {needs.context_tokens:,} tokens of context"]
    lines += [
        what
        for asked, what in ((needs.vision, "sees images"), (needs.tools, "calls tools"), (needs.json_schema, "schema"))
        if asked
    ]
    for each in chosen.considered:
        if each.obstacles:
            lines.append(f"{each.model} is left out: {', '.join(each.obstacles)}")
        elif each.quality:
            lines.append(
                f"{each.model}: quality {each.quality.low:.2f} to {each.quality.high:.2f} ({each.quality.source})"
            )
    if chosen.layer == "evidence":
        known = {each.model for each in chosen.considered}
        lines += [f"{each.name}: the evidence does not know it" for each in candidates if each.name not in known]
        if predictor and predictor.embedding:
            lines.append(f"the prompt's embedding was looked at too: {predictor.embedding.name}")
        elif predictor and predictor.lacks:
            lines.append(predictor.lacks)
    return lines
