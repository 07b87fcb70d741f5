"""`diverge()`: how far two models' predictions of the same tokens lie apart, from their raw scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
# Rows are taken so many bytes at a time that a group of them stays in a core's cache.
_GROUP_BYTES = 1 << 19


@dataclass(frozen=True, slots=True)
class Divergence:
    """Two models at each of some positions; each field has a value a position."""

    kl: Floats
    """Kullback-Leibler divergence of the other's prediction from the base's, in nats; rounding below 0 is cut off."""
    base_loss: Floats
    """-log of what the base gave to the token that came, in nats."""
    other_loss: Floats
    base_top: npt.NDArray[np.int64]
    """The token that the base held likeliest."""
    other_top: npt.NDArray[np.int64]
    base_top_probability: Floats
    other_top_probability: Floats

    @property
    def agrees(self) -> npt.NDArray[np.bool_]:
        """Whether both held the same token likeliest."""
        return np.asarray(self.base_top == self.other_top)


def diverge(base: npt.NDArray[np.float32], other: npt.NDArray[np.float32], targets: Sequence[int]) -> Divergence:
    """Compare rows of scores (logits), a row a position, over the whole vocabulary.

    KL(p, q) = sum p (log p - log q), Kullback and Leibler (1951); e.g. p = (1/2, 1/2), q = (1/4, 3/4): log 2 -
    log(3) / 2 = 0.1438. With scores a and b, p = exp(a) / A and q = exp(b) / B: sum exp(a) (a - b) / A + log B - log A.
    Differences of like scores are exact in 32 bits and sums are of 64, so that a model against itself gives 0 and the
    error is below 1e-6. ValueError where scores are no finite numbers.
    """
    count, size = base.shape
    rows = max(1, _GROUP_BYTES // (4 * size))
    wanted = np.asarray(targets, dtype=np.int64)
    parts = [
        _group(base[at : at + rows], other[at : at + rows], wanted[at : at + rows]) for at in range(0, count, rows)
    ]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Divergence(*columns)


def _group(
    base: npt.NDArray[np.float32], other: npt.NDArray[np.float32], targets: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.generic], ...]:
    with np.errstate(invalid="ignore", over="ignore"):
        return _finite(base, other, targets)


def _finite(
    base: npt.NDArray[np.float32], other: npt.NDArray[np.float32], targets: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.generic], ...]:
    each = np.arange(len(base))
    base_top, other_top = base.argmax(axis=1), other.argmax(axis=1)
    mine = base - base[each, base_top][:, None]
    its = other - other[each, other_top][:, None]
    base_target, other_target = mine[each, targets].astype(np.float64), its[each, targets].astype(np.float64)
    apart = mine - its
    np.exp(mine, out=mine)
    np.exp(its, out=its)
    base_sum, other_sum = mine.sum(axis=1, dtype=np.float64), its.sum(axis=1, dtype=np.float64)
    np.multiply(apart, mine, out=apart)
    base_log, other_log = np.log(base_sum), np.log(other_sum)
    kl = apart.sum(axis=1, dtype=np.float64) / base_sum + other_log - base_log
    if not np.isfinite(kl).all():
        raise ValueError("scores that are no finite numbers")
    return (
        np.maximum(kl, 0.0), base_log - base_target, other_log - other_target,
        base_top, other_top, 1 / base_sum, 1 / other_sum,
    )  # fmt: skip
