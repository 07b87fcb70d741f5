"""`Rates`: what work costs on one device, in seconds; and how the types of matrices compare on one thread."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from .synthetic import TYPES

# Up to so many tokens a product is computed column by column; from so many on in tiles that reuse what was read.
_FEW, _MANY = 8, 64


@dataclass(frozen=True, slots=True)
class TypeRate:
    """Seconds for one byte of a matrix of one type: of the first token of a step, and of each further one when a step
    has few tokens, and many. `first` has reading and computing in it; neither of the others is more."""

    first: float
    few: float
    many: float

    def seconds(self, tokens: float) -> float:
        """Seconds a byte of a step of so many tokens; fewer than one are a share of one."""
        if tokens <= 1:
            return self.first * tokens
        place = min(1.0, max(0.0, math.log2(tokens / _FEW) / math.log2(_MANY / _FEW)))
        return self.first + (tokens - 1) * (self.few + (self.many - self.few) * place)


@dataclass(frozen=True, slots=True)
class Rates:
    """What work costs on one device, in seconds."""

    types: Mapping[str, TypeRate]
    """By ggml type; one under the name `*` stands for all types that are not named."""
    cache: float
    """A byte of cache that decode reads."""
    attention: float
    """A value of attention (`Touched.attended`) of one token by itself."""
    attention_many: float
    """The same where many tokens are computed at once."""
    layer: float
    """One layer of one step."""
    vocabulary: float
    """One entry of a row of scores, with its share of choosing from it."""
    mixture: float = 1.0
    """A layer with experts costs so many times `layer`."""
    look: float = 0.0
    """One head's look at one earlier token, beside its values."""
    piece: float = 0.0
    """Fetching the keys and values that one kept head has of one earlier token. They lie apart from those of the next
    token by all other heads', so a processor waits for each: some 110 ns for lengths of 64 and of 128 alike, where
    reading as many bytes in order takes a fifth (four shapes, 2 to 24 layers, an EPYC of Zen 4, 2026-11)."""
    activation: float = 0.0
    """One value of a token's width, in one layer: all that is no product of matrices."""
    row: float = 0.0
    """One row of a matrix (as many as `parameters / width`), beside its weights: short rows cost more a weight."""
    row_many: float = 0.0
    """The same for each further token of a step."""
    experts: float | None = None
    """What a further token costs an expert's matrix, as a share of `first`; None: as it does others. llama.cpp
    multiplies experts token by token on a processor."""

    def of(self, name: str) -> TypeRate | None:
        """A type's, None where it is not known."""
        return self.types.get(name) or self.types.get("*")


# Nanoseconds a weight on one thread: (one token, each of a few together, each of many together). How types compare
# where a processor was not measured, and whether arithmetic is what limits it. Measured by `benchmarks/fit_speed.py
# --types` on an EPYC of Zen 4 with xllamacpp 2026.10, which is built for AVX2 (2026-11; the least of several runs).
THREAD_NANOSECONDS: dict[str, tuple[float, float, float]] = {
    "F32": (0.165, 0.085, 0.085), "F16": (0.083, 0.046, 0.042), "BF16": (0.090, 0.037, 0.037),
    "Q4_0": (0.036, 0.025, 0.020), "Q4_1": (0.045, 0.044, 0.043), "Q5_0": (0.061, 0.043, 0.030),
    "Q5_1": (0.058, 0.043, 0.041), "Q8_0": (0.051, 0.023, 0.017), "Q2_K": (0.030, 0.030, 0.016),
    "Q3_K": (0.042, 0.042, 0.017), "Q4_K": (0.030, 0.021, 0.016), "Q5_K": (0.048, 0.038, 0.014),
    "Q6_K": (0.041, 0.041, 0.016), "IQ2_XXS": (0.072, 0.056, 0.019), "IQ2_XS": (0.075, 0.057, 0.020),
    "IQ2_S": (0.073, 0.073, 0.023), "IQ3_XXS": (0.102, 0.065, 0.021), "IQ3_S": (0.123, 0.067, 0.020),
    "IQ4_NL": (0.036, 0.023, 0.019), "IQ4_XS": (0.054, 0.053, 0.018), "MXFP4": (0.039, 0.025, 0.021),
}  # fmt: skip
# Weights a byte of each.
_WEIGHTS_A_BYTE = {name: of.weights / of.block_bytes for name, of in TYPES.items()}
# A type that is not in the table is held for one of the slower.
_UNKNOWN_NANOSECONDS, _UNKNOWN_WEIGHTS = 0.1, 2.0


def thread_seconds_a_byte(type_name: str) -> float:
    """Seconds that one thread takes for a byte of a matrix of this ggml type, for one token, by `THREAD_NANOSECONDS`.

    E.g. Q4_K: 256 weights in 144 bytes at 0.030 ns each are 0.053 ns. Of unknown types as of one of the slower.
    """
    nanoseconds = THREAD_NANOSECONDS.get(type_name, (_UNKNOWN_NANOSECONDS,))[0]
    return _WEIGHTS_A_BYTE.get(type_name, _UNKNOWN_WEIGHTS) * nanoseconds * 1e-9
