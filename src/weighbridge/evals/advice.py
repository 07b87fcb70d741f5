"""`Advice`: which model to use for a task, and how sure that is, by what was compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .statistics import Comparison, Estimate, Place, leaders_of

_FROM = 1e-4


@dataclass(frozen=True, slots=True)
class Advice:
    """A model to use, or several that the data do not tell apart."""

    use: tuple[str, ...]
    """The best; several where none is better beyond chance; none where nothing could be scored."""
    sure: str
    """How sure that is, in words."""
    is_sure: bool = False
    """Whether the one is better than each other beyond chance."""
    cheapest: Mapping[str, str] = field(default_factory=dict)
    """Of several, the one that takes least, by the cost."""


def advise(
    estimates: Mapping[str, Estimate | None],
    comparisons: Sequence[Comparison],
    places: Sequence[Place],
    costs: Mapping[str, Mapping[str, float]],
) -> Advice:
    """From the scores, the comparisons and places that `rank` gave, and each cost by model."""
    leaders = tuple(model for model in leaders_of(places, comparisons) if estimates[model] is not None)
    if not leaders:
        return Advice((), "nothing could be scored")
    if len(estimates) == 1:
        return Advice(leaders, "no other model was asked")
    if len(leaders) == 1:
        [model] = leaders
        p = max((each.corrected_p for each in comparisons if model in (each.first, each.second)), default=1.0)
        told = f"p < {_FROM:.4f}" if p < _FROM else f"p = {p:.2g}"
        return Advice(leaders, f"better than each other one beyond chance ({told}, corrected)", is_sure=True)
    among = [each for each in comparisons if {each.first, each.second} <= set(leaders)]
    more = [each.samples_to_tell for each in among if each.samples_to_tell is not None]
    words = "the data do not tell them apart"
    if more:
        words += f"; about {min(more):,} samples in all would tell the two that differ most"
    cheapest = {
        cost: min(leaders, key=found.__getitem__)
        for cost, found in costs.items()
        if set(leaders) <= set(found) and len({found[model] for model in leaders}) > 1
    }
    if cheapest:
        words += "; least " + ", ".join(f"{cost}: {model}" for cost, model in cheapest.items())
    return Advice(leaders, words, cheapest=cheapest)
