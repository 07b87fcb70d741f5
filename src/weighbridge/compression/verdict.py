"""`Verdict`: what a measured loss amounts to, in words that are no stronger than its interval."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .intervals import Interval

SOURCE = "llama.cpp, tools/perplexity/README.md: Llama 3 8B against its 16-bit file over Wikitext-2, revision f364eb6f"


class Loss(StrEnum):
    """Classes of loss, from none that could be seen to one that nobody should use."""

    NONE = "indistinguishable from the base within the engine's noise"
    VERY_SMALL = "a very small loss"
    SMALL = "a small loss"
    CLEAR = "a clear loss"
    SEVERE = "a severe loss"


# Mean divergence up to which a class goes, in nats a token, and the quantization of Llama 3 8B that came to it.
THRESHOLDS = ((Loss.VERY_SMALL, 0.0055, "Q6_K"), (Loss.SMALL, 0.0313, "Q4_K_M"), (Loss.CLEAR, 0.102, "Q3_K_M"))
"""A convention, and no law: other models at the same divergence may do better or worse at a task."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The class of loss that the interval allows: one, or all from `least` to `most`."""

    least: Loss | None
    """None where there is too little text to tell."""
    most: Loss | None
    sentence: str
    thresholds_source: str = SOURCE


def judge(kl: Interval, noise: Interval | None) -> Verdict:
    """The verdict on a mean divergence, in nats a token, with its interval, beside that of the engine against itself.

    `NONE` needs the whole interval to be at most the low end of the engine's noise; where the two overlap, that is said
    and nothing more.
    """
    if kl.low is None or kl.high is None:
        return Verdict(None, None, "too little text for a verdict: give a longer one")
    noise_low = noise.low if noise is not None and noise.low is not None else 0.0
    noise_high = noise.high if noise is not None and noise.high is not None else noise_low
    if kl.high <= noise_low:
        return Verdict(Loss.NONE, Loss.NONE, Loss.NONE.value)
    least = Loss.NONE if kl.low <= noise_high else _class_of(kl.low)
    most = _class_of(kl.high)
    if least is most:
        return Verdict(least, most, f"{most.value} ({_beside(most)})")
    if least is Loss.NONE:
        return Verdict(least, most, f"perhaps no loss, as the engine's noise is as large, and at most {most.value}")
    return Verdict(least, most, f"between {least.value} and {most.value}: a longer text would tell")


def _class_of(divergence: float) -> Loss:
    return next((loss for loss, limit, _ in THRESHOLDS if divergence <= limit), Loss.SEVERE)


def _beside(loss: Loss) -> str:
    """What a class is measured by."""
    limits = {each: (limit, name) for each, limit, name in THRESHOLDS}
    if loss is Loss.SEVERE:
        limit, name = limits[Loss.CLEAR]
        return f"more than {limit:g} nats a token, which {name} cost Llama 3 8B"
    limit, name = limits[loss]
    return f"at most {limit:g} nats a token, which {name} cost Llama 3 8B"
