"""`Comparison`: what a quantized file, or a cache of fewer bits, costs a model, as it was measured."""

from __future__ import annotations

from dataclasses import dataclass

from .intervals import Interval
from .verdict import Verdict


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that were compared."""

    name: str
    file: str
    file_bytes: int
    """Of its tensors."""
    quantization: str | None
    cache_type_k: str
    cache_type_v: str
    perplexity: float
    """exp of its mean loss a token, over the text's tokens by their contexts here."""
    noise: Interval
    """Divergence of its predictions token by token from those of whole steps: the engine against itself."""
    noise_agreement: Interval
    """The share of positions where those two held the same token likeliest."""
    forward_seconds: float
    forward_cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Worst:
    """A place where the two lie far apart."""

    position: int
    """The number of the token in the text that was to be foretold."""
    kl: float
    context: str
    """The text before it."""
    actual: str
    """What came."""
    base_top: str
    """What the base held likeliest."""
    base_top_probability: float
    quant_top: str
    quant_top_probability: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models over one text; divergences in nats a token, intervals of 95 %."""

    base: Side
    quant: Side
    text: str
    """Where the text comes from."""
    positions: int
    """Tokens that both foretold."""
    text_tokens: int
    """Tokens of the whole text."""
    context_tokens: int
    """Length of the pieces that the text was read in; each began anew."""
    kl: Interval
    """Mean divergence of the quantized model's predictions from the base's, over the whole vocabulary."""
    kl_median: float
    kl_p99: float
    """What one position in a hundred exceeds."""
    kl_max: float
    agreement: Interval
    """The share of positions where both hold the same token likeliest."""
    perplexity_ratio: Interval
    """The quantized model's perplexity over the base's."""
    noise_positions: int
    """Tokens over which the engine was compared with itself."""
    verdict: Verdict
    worst: tuple[Worst, ...]
    engine_version: str
    threads: int
    """Of each of the two."""
    seconds: float
    comparing_cpu_seconds: float
    """What the comparison took of this process, beside the models' own work."""
    notes: tuple[str, ...] = ()
