"""What `weigh calibrate` runs: made models of which each shows one rate, and what a run of one took."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from weighbridge.facts import Layer
from weighbridge.fit.synthetic import TYPES, Shape, tensors_of
from weighbridge.fit.touched import Touched


@dataclass(frozen=True, slots=True)
class Trial:
    """One made model and what to run on it: for each prompt length, so many tokens of an answer after it."""

    name: str
    shape: Shape
    runs: tuple[tuple[int, int], ...]
    """(tokens of the prompt, tokens of the answer)."""
    needed: bool = True
    """Whether a calibration without it is of no use."""


def trials(*, quick: bool = False) -> tuple[Trial, ...]:
    """What is measured, the needed ones first: most have weights that no cache holds, so that they come from memory as
    those of larger models do. `quick`: an eighth of that, for tests."""
    less = 8 if quick else 1
    # Lengths that are no powers of two: rows that lie so apart share few places of a cache, and would be slow.
    width, inner = (2560, 6912) if not quick else (512, 1280)

    def typed(kind: str, layers: int, *, needed: bool = True) -> Trial:
        shape = Shape(layers, width, inner, width // 64, width // 256, type=kind)
        return Trial(kind, shape, ((8, 13), (96, 2)), needed)

    def attending(name: str, layers: int, heads: int, kv_heads: int, length: int) -> Trial:
        shape = Shape(max(2, layers // less), 768, 2048, heads, kv_heads, length, type="Q8_0")
        return Trial(name, shape, ((64, 9), (640 // (2 if quick else 1), 9)))

    mixture = Shape(3 if not quick else 2, 1024, 768, 16, 4, type="Q8_0", experts=32, used=4)
    return (
        Trial("layers", Shape(32, 256, 256, 4, 2, type="Q8_0"), ((8, 33), (128, 2))),
        Trial("vocabulary", Shape(2, 64, 64, 1, 1, vocabulary=65536 // less, type="Q8_0"), ((8, 33),)),
        typed("Q4_K", 5),
        typed("Q8_0", 3),
        attending("full", 12, 12, 12, 64),
        attending("grouped", 12, 12, 4, 64),
        attending("long", 12, 12, 4, 128),
        Trial("mixture", mixture, ((8, 9), (96, 2))),
        typed("Q6_K", 4, needed=False),
        typed("Q4_0", 5, needed=False),
        typed("F16", 2, needed=False),
    )


@dataclass(frozen=True, slots=True)
class Run:
    """What one run took: seconds of a step of decode, with how the repeats differed, and of the prompt's prefill."""

    prompt_tokens: int
    answer_tokens: int
    decode_seconds: float
    decode_spread: float
    """Second quickest over quickest repeat, or slower over quicker visit, less 1."""
    prefill_seconds: float
    prefill_spread: float = 0.0
    """Slower over quicker visit, less 1."""

    def better(self, other: Run) -> Run:
        """The best of two visits to a model, apart in time: other programs only ever slow one down. How far they lie
        apart says how much they did."""
        decode, prefill = (self.decode_seconds, other.decode_seconds), (self.prefill_seconds, other.prefill_seconds)
        return replace(
            self,
            decode_seconds=min(decode),
            decode_spread=max(decode) / min(decode) - 1,
            prefill_seconds=min(prefill),
            prefill_spread=max(prefill) / min(prefill) - 1,
        )


def touched_by(shape: Shape) -> Touched:
    """What an engine touches of a made model, by its shape alone."""
    weights: dict[str, float] = {}
    output: dict[str, float] = {}
    experts: dict[str, float] = {}
    parameters = output_parameters = 0.0
    for name, lengths, kind in tensors_of(shape):
        count = math.prod(lengths)
        size = count / TYPES[kind].weights * TYPES[kind].block_bytes
        if name == "token_embd.weight":
            continue
        if name == "output.weight":
            output[kind], output_parameters = output.get(kind, 0.0) + size, output_parameters + count
        elif "_exps" in name:
            experts[kind] = experts.get(kind, 0.0) + size
            parameters += count * shape.used / shape.experts
        else:
            weights[kind] = weights.get(kind, 0.0) + size
            parameters += count
    kept = shape.kv_heads * shape.head_length
    kind = "full" if shape.kv_heads == shape.heads else "grouped_query"
    return Touched(
        weights, output, experts, ((shape.layers, Layer(kind, kept, kept)),), parameters, output_parameters,
        shape.heads, shape.head_length, shape.vocabulary, shape.width, shape.experts or 1, shape.used or 1,
    )  # fmt: skip
