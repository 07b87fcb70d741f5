"""The models that no other beats in both quality and cost."""

from __future__ import annotations

from collections.abc import Mapping


def front(points: Mapping[str, tuple[float, float]]) -> tuple[str, ...]:
    """The names, from the best on, of those that no other equals or beats in both and beats in one.

    A point is (quality, the more the better; cost, the less the better).
    """
    kept = []
    for name, (quality, cost) in points.items():
        beaten = any(
            other_quality >= quality and other_cost <= cost and (other_quality, other_cost) != (quality, cost)
            for other_quality, other_cost in points.values()
        )
        if not beaten:
            kept.append(name)
    return tuple(sorted(kept, key=lambda name: -points[name][0]))
